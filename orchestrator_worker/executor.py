"""Run one step: claim it, resolve it, perform it, and hand what it wants to the scheduler."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, assert_never

from orchestrator_client.contract.errors import OrchestratorError, RunNotFound, StoreUnavailable, ToolFailed
from orchestrator_client.contract.plan import Step, StepKind
from orchestrator_client.contract.run import Outcome
from orchestrator_client.contract.template import evaluate, render
from orchestrator_worker.context.runs import Runs
from orchestrator_worker.context.scope import scope_of
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.records import Claim, Refusal
from orchestrator_worker.scheduler import Attempt, Ended, Left, Scheduler, Verdict
from orchestrator_worker.steps.base import Call, Fail, Skip, StepPerformer, Want
from orchestrator_worker.store import Store


class Executor:
    """Runs the steps whose messages this process takes."""

    def __init__(
        self,
        store: Store,
        runs: Runs,
        scheduler: Scheduler,
        calls: Calls,
        performers: Mapping[StepKind, StepPerformer],
        worker: str,
    ) -> None:
        self._store, self._runs, self._scheduler = store, runs, scheduler
        self._calls, self._performers, self._worker = calls, performers, worker

    def run_step(self, run_id: str, instance: str, number: int) -> Verdict:
        """One attempt at one instance, from its claim to the publication of what follows."""
        try:
            run, graph = self._runs.open(run_id)
        except RunNotFound:
            return Left()
        step = graph.steps[instance]
        claim = self._store.claim(run_id, instance, number, secrets.token_hex(4), self._worker, step.reads)
        if isinstance(claim, Refusal):
            return self._refused(run_id, instance, claim)
        attempt = Attempt(run, graph, instance, number, claim.started_ms, claim.dead, self._worker)
        want = self._perform(attempt, step, claim)
        return self._scheduler.conclude(attempt, want)

    def _perform(self, attempt: Attempt, step: Step, claim: Claim) -> Want:
        """What the step wants; whatever goes wrong on the way is a want too."""
        if claim.dead:
            graph = attempt.graph.plan.channels is not None
            return Skip("nothing that leads here was taken" if graph else "a step before it failed")
        key = (attempt.run.run, attempt.instance, attempt.number)
        try:
            with self._calls.under_way(key, step.timeout_seconds):
                scope = scope_of(attempt.run, attempt.graph.plan, claim.values)
                return self._resolve_and_call(attempt, step, scope)
        except StoreUnavailable:
            raise
        except OrchestratorError as error:
            return Fail(error)
        except Exception as error:  # noqa: BLE001 - a tool is somebody else's code: whatever it raises is its failure
            return Fail(ToolFailed(f"{step.uses} raised {type(error).__name__}: {error}"))

    def _resolve_and_call(self, attempt: Attempt, step: Step, scope: Mapping[str, Any]) -> Want:
        if step.condition is not None and not evaluate(step.condition, scope):
            return Skip("its condition is false")
        parameters = render(step.parameters, scope)
        if step.model is not None:
            parameters["model"] = render(step.model, scope)
        call = Call(attempt.run.run, attempt.instance, attempt.number, step, parameters)
        return self._performers[step.kind].perform(call)

    def _refused(self, run_id: str, instance: str, refusal: Refusal) -> Verdict:
        match refusal:
            case Refusal.REFUSED:
                return Left()
            case Refusal.CANCELLED:
                return Ended(Outcome.CANCELLED, "the run was halted before the step started")
            case Refusal.SETTLED:
                receipt = self._store.receipt(run_id, instance)
                return Ended(receipt.outcome, receipt.explanation) if receipt else Left()
            case _:
                assert_never(refusal)
