"""Run one step: claim it, resolve it, perform it, and hand what it wants to the scheduler."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from orchestrator_client.contract.errors import OrchestratorError, RunNotFound, StoreUnavailable, ToolFailed
from orchestrator_client.contract.plan import StepKind
from orchestrator_client.contract.run import Outcome
from orchestrator_worker.admission import call_of
from orchestrator_worker.context.runs import Runs
from orchestrator_worker.lifecycle import Standing
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.process.deltas import Deltas
from orchestrator_worker.records import Claim, Ready, Refusal
from orchestrator_worker.scheduler import Attempt, Ended, Left, Scheduler, Verdict
from orchestrator_worker.steps.base import Call, Fail, Skip, StepPerformer, Want
from orchestrator_worker.steps.conversation import Memo
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
        deltas: Deltas,
        worker: str,
    ) -> None:
        self._store, self._runs, self._scheduler = store, runs, scheduler
        self._calls, self._performers, self._deltas, self._worker = calls, performers, deltas, worker

    def run_step(self, run_id: str, instance: str, number: int) -> Verdict:
        """One attempt at one instance, from its claim to the publication of what follows."""
        try:
            run, graph = self._runs.open(run_id)
        except RunNotFound:
            return Left()
        reads = graph.steps[instance].reads if instance in graph.steps else ()
        claim = self._store.claim(run_id, instance, number, secrets.token_hex(4), self._worker, reads)
        if isinstance(claim, Refusal):
            return self._refused(run_id, instance, claim)
        standing = Standing(number, claim.excused, claim.started_ms, self._worker, claim.dead)
        attempt = Attempt.at(run, graph, instance, standing, claim.memo)
        return self._scheduler.conclude(attempt, self._perform(attempt, claim))

    def _perform(self, attempt: Attempt, claim: Claim) -> Want:
        """What the step wants; whatever goes wrong on the way is a want too."""
        if claim.dead:
            graph = attempt.graph.plan.channels is not None
            return Skip("nothing that leads here was taken" if graph else "a step before it failed")
        step = attempt.step
        try:
            with self._calls.under_way(attempt.key, step.timeout_seconds):
                call = self._call(attempt, claim)
                if call is None:
                    return Skip("its condition is false")
                return self._performers[step.kind].perform(call)
        except StoreUnavailable:
            raise
        except OrchestratorError as error:
            return Fail(error)
        except Exception as error:  # noqa: BLE001 - a tool is somebody else's code: whatever it raises is its failure
            return Fail(ToolFailed(f"{step.uses} raised {type(error).__name__}: {error}"))

    def _call(self, attempt: Attempt, claim: Claim) -> Call | None:
        """What is performed; None if the step's condition does not hold."""
        run, step, ready = attempt.run, attempt.step, Ready(attempt.instance, attempt.standing.number)
        if attempt.asked is not None:
            return Call(run.run, ready.instance, ready.attempt, step, dict(attempt.asked.arguments))
        if step.kind is not StepKind.MODEL:
            return call_of(run, attempt.graph, step, ready, claim.values)
        returned = self._store.values(run.run, Memo.of(claim.memo).asked)
        call = call_of(run, attempt.graph, step, ready, claim.values, claim.memo, returned)
        if call is None:
            return None
        wanted = claim.deltas or bool(call.parameters.get("stream"))
        on_text = self._deltas.of(run.run, ready.instance, ready.attempt) if wanted else None
        return replace(call, admitted=claim.admitted, on_text=on_text)

    def _refused(self, run_id: str, instance: str, refusal: Refusal) -> Verdict:
        match refusal:
            case Refusal.REFUSED | Refusal.PARKED:
                return Left()
            case Refusal.CANCELLED:
                return Ended(Outcome.CANCELLED, "the run was halted before the step started")
            case Refusal.SETTLED:
                receipt = self._store.receipt(run_id, instance)
                return Ended(receipt.outcome, receipt.explanation) if receipt else Left()
            case _:
                assert_never(refusal)
