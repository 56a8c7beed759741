"""Run one step: claim it, resolve it, perform it, and hand what it wants to the scheduler."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, assert_never

from orchestrator_client.contract.errors import (
    OrchestratorError,
    RunNotFound,
    StepCancelled,
    StoreUnavailable,
    ToolFailed,
)
from orchestrator_client.contract.plan import Json, Loop, LoopKind, StepKind
from orchestrator_client.contract.run import Outcome
from orchestrator_worker import meters, traces
from orchestrator_worker.context.asked import AskedStep
from orchestrator_worker.context.handling import Handling
from orchestrator_worker.context.inspection import Inspection
from orchestrator_worker.context.places import pass_bindings, place_of, scope_name, state_memo
from orchestrator_worker.context.runs import Runs
from orchestrator_worker.context.sight import Sight, Unanswered
from orchestrator_worker.context.ways import sent_to
from orchestrator_worker.lifecycle import Standing
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.process.deltas import Deltas
from orchestrator_worker.quality.inspector import Inspector
from orchestrator_worker.records import NOTHING_SENT, Claim, Ready, Refusal
from orchestrator_worker.recovery import Recovery
from orchestrator_worker.scheduler import Attempt, Ended, Left, Scheduler, Verdict
from orchestrator_worker.steps import subpipeline
from orchestrator_worker.steps.allowance import check_allowed
from orchestrator_worker.steps.base import Call, Fail, Output, Skip, StepPerformer, Turn, Want
from orchestrator_worker.steps.conversation import Memo
from orchestrator_worker.steps.loop import LoopCall, LoopStep
from orchestrator_worker.steps.region import RegionCall, RegionStep
from orchestrator_worker.steps.subpipeline import Descent
from orchestrator_worker.steps.waiting import Waited, performed, resumed
from orchestrator_worker.store import Store
from orchestrator_worker.vault import Vault


class Calling:
    """The moment at which an attempt calls a tool of no catalogue."""

    def __init__(self, store: Store, key: tuple[str, str, int]) -> None:
        self._store, self._key = store, key
        self.repeatable = False
        """What the tool says of itself: whether it may be called twice."""

    def __call__(self, repeatable: bool) -> None:
        """Record it: whoever finds the attempt lost then knows that it may have done its work, and what follows.

        Raises:
            StepCancelled: the attempt was believed lost, and another one has taken over.
        """
        self.repeatable = repeatable
        if not self._store.begin_call(*self._key, repeatable):
            raise StepCancelled("it was believed lost before it called its tool")


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
        vault: Vault,
        inspector: Inspector,
        worker: str,
    ) -> None:
        self._store, self._runs, self._scheduler = store, runs, scheduler
        self._calls, self._performers, self._deltas, self._worker = calls, performers, deltas, worker
        self._vault, self._inspector = vault, inspector
        self._loops, self._regions = LoopStep(), RegionStep()

    def run_step(self, run_id: str, instance: str, number: int) -> Verdict:
        """One attempt at one instance, from its claim to the publication of what follows."""
        try:
            run, graph = self._runs.open(run_id)
        except RunNotFound:
            return Left()
        place = place_of(graph, instance)
        reads, scopes = list(place.reads().values()), place.memos()
        late = number > 1 and place.reads_once
        if place.step is None:
            scopes.append(AskedStep.kept_at(instance))
        elif number > 1:
            scopes += [Recovery.kept_at(instance)] if place.step.handlers else []
            scopes += [Inspection.kept_at(instance)] if place.step.quality else []
        token = secrets.token_hex(4)
        claim = self._store.claim(run_id, instance, number, token, self._worker, [] if late else reads, scopes)
        if isinstance(claim, Refusal):
            return self._refused(run_id, instance, claim)
        if late and claim.memo is None:
            # The attempts before ended before they had begun.
            claim = replace(claim, values=self._store.values(run_id, reads))
        recovery = Recovery.of(claim.scopes.get(Recovery.kept_at(instance)))
        standing = Standing(number, claim.excused, claim.started_ms, self._worker, claim.dead, recovery=recovery)
        attempt = Attempt.at(run, graph, place, standing, claim.scopes.get(AskedStep.kept_at(instance)))
        if traces.on():
            traces.set_clock(claim.started_ms)
        calling = Calling(self._store, attempt.key)
        with _measured(attempt.step.queue, claim.waited_seconds):
            want = self._perform(attempt, claim, calling)
        if traces.on():
            traces.attempt(run, attempt.step, instance, number, claim.started_ms, want)
        verdict = self._scheduler.conclude(attempt.saying(calling.repeatable), want)
        meters.attempt(attempt.step.queue, verdict.outcome if isinstance(verdict, Ended) else "left")
        return verdict

    def _perform(self, attempt: Attempt, claim: Claim, calling: Calling) -> Want:
        """What the step wants; nothing that it says of a failure has a secret in it."""
        want = self._wanted(attempt, claim, calling)
        if isinstance(want, Fail):
            self._vault.mask_error(want.error)
        return want

    def _wanted(self, attempt: Attempt, claim: Claim, calling: Calling) -> Want:
        """The same as it comes; whatever goes wrong on the way is a want too."""
        if claim.dead:
            graph = attempt.graph.plan.channels is not None
            return Skip("nothing that leads here was taken" if graph else "a step before it failed")
        if claim.kept is not None:
            return claim.kept
        step = attempt.step
        try:
            with self._calls.under_way(attempt.key, step.timeout_seconds):
                return self._resolve_and_perform(attempt, claim, calling)
        except StoreUnavailable:
            raise
        except OrchestratorError as error:
            return Fail(error)
        except Exception as error:  # noqa: BLE001 - a tool is somebody else's code: whatever it raises is its failure
            return Fail(ToolFailed(f"{step.uses} raised {type(error).__name__}: {error}"))

    def _resolve_and_perform(self, attempt: Attempt, claim: Claim, calling: Calling) -> Want:
        place = attempt.place
        # One read for all of its templates; a run in which nothing was set is spared it, and the search for names too.
        names = place.graph.names(place.step) if claim.variables and place.step else ()
        variables = self._store.see(attempt.run.run, place.instance, names)
        sight = Sight(attempt.run, place, self._store, claim.values, claim.scopes, variables)
        if claim.memo is None and (reason := sight.jumped_over()):
            return Skip(reason)
        step = attempt.step
        if step.on_call:
            return Skip("it handles failures of other steps, and runs for those alone")
        if (recovery := attempt.standing.recovery) is not None:
            want = Handling(sight, step, recovery).want(claim.memo)
            if want is not None:
                return want
        held = Inspection.of(claim.scopes.get(Inspection.kept_at(place.instance))).held
        if held is not None:
            return self._inspector.judged(sight, step, held, claim.memo)
        try:
            if step.loop is not None:
                return self._loop(attempt, claim, sight)
            call = self._call(attempt, claim, sight)
        except Unanswered:
            return Turn(claim.memo, sight.questions(), NOTHING_SENT, "auto")
        if call is None:
            return Skip("its condition is false")
        check_allowed(attempt.run, attempt.graph.plan, call)
        want = _with_answers(self._performed(attempt, claim, replace(call, on_call=calling)), sight, call)
        if not isinstance(want, Output):
            return want
        return self._inspector.want(sight, replace(call, memo=claim.memo), want, attempt.standing.number)

    def _performed(self, attempt: Attempt, claim: Claim, call: Call) -> Want:
        """What the step wants; one that has asked a question begins with what became of it."""
        if attempt.step.child:
            child = Descent.of(claim.memo).child
            ended = self._store.child(child) if child else None
            plan = attempt.graph.plan.child(attempt.step.child)
            return subpipeline.perform(attempt.run, plan, replace(call, memo=claim.memo), ended, claim.run_clock_ms)
        perform = self._performers[attempt.step.kind].perform
        if attempt.step.kind is not StepKind.TOOL:
            return perform(call)
        run, waited = attempt.run, Waited()
        if claim.memo is not None:
            found = resumed(claim.memo, self._store.asked(run.run, attempt.instance), claim.started_ms)
            if not isinstance(found, Waited):
                return found
            waited = found
        return performed(call, perform, waited, run.answers, claim.started_ms)

    def _call(self, attempt: Attempt, claim: Claim, sight: Sight) -> Call | None:
        """What is performed; None if the step's condition does not hold."""
        run, step, ready = attempt.run, attempt.step, Ready(attempt.instance, attempt.standing.number)
        model = step.kind is StepKind.MODEL
        memo = claim.memo if model else None
        returned = self._store.values(run.run, Memo.of(memo).asked)
        if attempt.asked is not None:
            call: Call | None = attempt.asked.call(run.run, ready, memo, returned)
        else:
            call = sight.call(ready, memo, returned)
        if call is None or not model:
            return call
        wanted = claim.deltas or bool(call.parameters.get("stream"))
        on_text = self._deltas.of(run.run, ready.instance, ready.attempt) if wanted else None
        return replace(call, admitted=claim.admitted, on_text=on_text)

    def _loop(self, attempt: Attempt, claim: Claim, sight: Sight) -> Want:
        """Start what may start of a loop. Its condition is asked once, before the first of it."""
        step, body = attempt.step, attempt.place.graph.bodies[attempt.step.id]
        if claim.memo is None and not sight.holds(step.condition, sight.names()):
            return Skip("its condition is false")
        if step.loop is not None and attempt.graph.plan.channels is not None:
            return self._regions.perform(self._region(attempt, claim, sight, step.loop))

        def names(last_pass: int | None) -> Mapping[str, Any]:
            if last_pass is None:
                # What a map runs over is decided outside of it.
                is_map = step.loop is not None and step.loop.kind is LoopKind.MAP
                return sight.names() if is_map else sight.names({}, pass_bindings(step, 0))
            scope = scope_name(step, attempt.instance, last_pass)
            left = self._store.values(attempt.run.run, [f"{scope}.{inner}" for inner in body.steps])
            latest = {instance.removeprefix(f"{scope}."): value for instance, value in left.items()}
            return sight.names(latest, pass_bindings(step, last_pass + 1))

        rendered = sight.rendered
        call = LoopCall(attempt.instance, step, body, claim.memo, claim.ended, claim.failed, names, rendered)
        return self._loops.perform(call)

    def _region(self, attempt: Attempt, claim: Claim, sight: Sight, loop: Loop) -> RegionCall:
        """An attempt at a cycle, a sub-graph or a node that was sent to."""
        step, place = attempt.step, attempt.place
        body, senders = place.graph.bodies[step.id], tuple(place.graph.steps[name] for name in step.routed_from)

        def values(scopes: Sequence[int]) -> list[dict[str, Json]]:
            names = [f"{scope_name(step, attempt.instance, scope)}." for scope in scopes]
            left = self._store.values(attempt.run.run, [f"{name}{inner}" for name in names for inner in body.steps])
            return [{inner: left[name + inner] for inner in body.steps if name + inner in left} for name in names]

        return RegionCall(
            attempt.instance,
            step,
            loop,
            body,
            claim.memo,
            claim.ended,
            claim.failed,
            place.channels or {},
            state=lambda: sight.names()["state"],
            begun=claim.scopes.get(state_memo(attempt.instance)) or {},
            sent=lambda: sent_to(step.id, senders, sight.own_values()),
            values=values,
        )

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


@contextmanager
def _measured(queue: str, waited_seconds: float) -> Iterator[None]:
    """What an attempt's time went into: waiting for a slot, and the work that stands within."""
    meters.stage("slot", queue, waited_seconds)
    began = time.perf_counter()
    yield
    meters.stage("work", queue, time.perf_counter() - began)


def _with_answers(want: Want, sight: Sight, call: Call) -> Want:
    """What the step leaves, with the parameters beside it that a model answered: later steps read them by name."""
    if not sight.tags or not isinstance(want, Output) or not isinstance(want.value, dict):
        return want
    written = call.step.parameters
    asked = {name: call.parameters[name] for name in written if any(tag.stands_in(written[name]) for tag in sight.tags)}
    return replace(want, value={**asked, **want.value})
