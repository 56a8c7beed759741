"""What an attempt's end means: to come back, or an outcome, and which edges stay alive behind it. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from orchestrator_client.contract import caps, catalog
from orchestrator_client.contract.errors import (
    HandlerFailed,
    ModelFailed,
    OrchestratorError,
    QualityTooLow,
    StepCancelled,
    StepError,
    ToolFailed,
    WorkerLost,
)
from orchestrator_client.contract.plan import Json, OnFailure, OnLost, Retry, Step, StepKind
from orchestrator_client.contract.run import ErrorInfo, Outcome, Receipt, RunRecord, RunState, Wish
from orchestrator_worker import recovery
from orchestrator_worker.compiler import Successor
from orchestrator_worker.records import NOTHING_SENT, Kept, Leave, Report
from orchestrator_worker.recovery import Fault, Recovery
from orchestrator_worker.steps.base import Again, Descend, Expand, Fail, Output, Readmit, Route, Skip, Turn, Wait, Want
from orchestrator_worker.steps.waiting import Waited


@dataclass(frozen=True, slots=True)
class Final:
    """The outcome, the value that later steps read, and what follows."""

    receipt: Receipt
    value: Json
    halts: bool = False
    """The run takes no new steps after this."""
    counts: bool = False
    """The run cannot end with success after this."""
    report: Report | None = None
    alive: bool = True
    """Edges out of this step are alive."""
    taken: tuple[str, ...] | None = None
    """A router's choice, or a cycle's: only edges to these are alive."""

    def arrives_alive(self, edge: Successor) -> bool:
        """Whether the step behind this edge may still run."""
        return self.alive if self.taken is None else edge.step in self.taken


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an attempt stands."""

    number: int
    excused: int = 0
    """Attempts before it that ended through no fault of the step."""
    started_ms: int | None = None
    worker: str = ""
    dead: bool = False
    """Nothing alive leads to its instance."""
    asked_for: bool = False
    """Another step asked for it, and answers for what becomes of it."""
    recovery: Recovery | None = None
    """What was done about failures of its attempts so far; None where nothing was."""
    repeatable: bool = False
    """Its tool says of itself that it may be done twice."""

    @property
    def tries(self) -> int:
        """This attempt and those before it that count."""
        return self.number - self.excused


def decide(step: Step, at: Standing, want: Want) -> Leave | Final:
    """What follows from an attempt that wants `want`."""
    receipt = Receipt(
        outcome=Outcome.SUCCEEDED,
        attempt=at.number,
        excused=at.excused,
        started_ms=at.started_ms,
        worker=at.worker,
        uses=step.uses if at.asked_for else "",
    )
    match want:
        case Output():
            kept = ("usage", "model", "warnings", "selection", "cached", "quality")
            update = {name: getattr(want, name) for name in kept}
            if at.recovery is not None:
                return _recovered(step, receipt.model_copy(update=update), want.value, at.recovery, want.report)
            return Final(receipt.model_copy(update=update), want.value, report=want.report)
        case Kept():
            return _kept(step, receipt, want)
        case Turn():
            return Leave(want.reason, excused=1, report=want.report, memo=want.memo, asked=want.asked)
        case Expand():
            return Leave(
                "scopes",
                excused=1,
                memo=want.memo,
                asked=want.asked,
                seen=want.seen,
                scopes=want.scopes,
                all_scopes=want.all_scopes,
            )
        case Descend(then=Output() as then):
            return Final(receipt, then.value)
        case Descend():
            return Leave("sub-pipeline", want.wait_seconds, excused=1, memo=want.memo, child=want.child)
        case Again():
            return Leave("its pipeline failed", want.wait_seconds, excused=1, error=want.error, memo=want.memo)
        case Wait():
            memo = Waited(want.answers, want.number).memo()
            wait = want.question.timeout_seconds or 0.0
            return Leave("question", wait, excused=1, memo=memo, question=want.question, number=want.number)
        case Readmit():
            return Leave("turn", excused=1, report=want.report)
        case Route():
            chosen = {"success": True, **want.left, "result": list(want.targets)}
            chosen |= {"sends": dict(want.sends)} if want.sends else {}
            return Final(receipt, chosen, taken=want.targets)
        case Skip():
            skipped = receipt.model_copy(update={"outcome": Outcome.SKIPPED, "reason": want.reason})
            return Final(skipped, skipped_value(want.reason), alive=not at.dead, report=NOTHING_SENT)
        case Fail():
            return _after_failure(step, at, receipt, want)
        case _:
            assert_never(want)


def _kept(step: Step, receipt: Receipt, kept: Kept) -> Final:
    """The outcome of another run's instance, as this one's: what it has cost is inherited, not spent."""
    before = kept.receipt
    update = {name: getattr(before, name) for name in ("model", "selection", "warnings", "cached")}
    update |= {"kept_from": before.kept_from, "inherited": before.inherited or before.usage}
    taken = tuple(kept.value["result"]) if step.routes is not None else None
    return Final(receipt.model_copy(update=update), kept.value, taken=taken)


def _after_failure(step: Step, at: Standing, receipt: Receipt, failure: Fail) -> Leave | Final:
    if isinstance(failure.error, WorkerLost) and not may_be_done_twice(step, at):
        failure = replace(failure, error=_half_done(step, failure.error))
    error = ErrorInfo.of(failure.error)
    if isinstance(failure.error, StepCancelled):
        cancelled = receipt.model_copy(update={"outcome": Outcome.CANCELLED, "reason": str(failure.error)})
        return Final(cancelled, failed_value(error, failure.value), alive=False, report=failure.report)
    left = Leave(
        f"attempt {at.number} failed", error=error, report=failure.report, memo=failure.memo, asked=failure.keeps
    )
    if (again := _own_attempt(step, at, failure, left)) is not None:
        return again
    if (turn := recovery.next_turn(step, failure.error, at.recovery)) is not None:
        handler = step.handlers[turn.handler]
        # The first question is put at once; whoever tries again, or asks again, waits.
        waits = not turn.falls_back and (not handler.asks or turn.calls[turn.handler] > 1)
        return replace(left, wait_seconds=turn.wait_seconds if waits else 0.0, recovery=turn.to_json())
    error = recovery.explained(failure.error, at.recovery)
    kept = {"usage": failure.usage, "model": failure.model, "quality": failure.quality}
    if (fallback := recovery.fallback_for(step, failure.error, at.recovery)) is not None:
        known = at.recovery or Recovery(Fault.of(failure.error), Fault.of(failure.error), 0)
        known = replace(known, falls_back=True)
        return _recovered(step, receipt.model_copy(update=kept), fallback.fallback_value, known, failure.report)
    failed = receipt.model_copy(update={**kept, "outcome": Outcome.FAILED, "error": error})
    return Final(
        failed,
        failed_value(error, failure.value),
        halts=step.on_failure is OnFailure.FAIL and not at.asked_for,
        counts=not at.asked_for,
        alive=step.on_failure is OnFailure.CONTINUE,
        report=failure.report,
    )


def _own_attempt(step: Step, at: Standing, failure: Fail, left: Leave) -> Leave | None:
    """The next attempt that the step has without any handler's help."""
    if isinstance(failure.error, HandlerFailed):
        return None
    if is_weather(failure.error) and at.excused < caps.WEATHERS:
        return replace(left, reason="limit", excused=1)
    if may_try_again(step, at.tries, failure.error, at.repeatable):
        # What takes its processes along again and again is not let through before the others for ever.
        first = isinstance(failure.error, WorkerLost) and at.tries < catalog.LOST_ATTEMPTS
        return replace(left, wait_seconds=backoff_seconds(step.retry, at.tries, failure.error), first=first)
    if failure.other_model is not None:
        # The other model has all its tries before it.
        return replace(left, reason="another model is asked", excused=at.tries, memo=failure.other_model)
    return None


def _recovered(step: Step, receipt: Receipt, value: Json, known: Recovery, report: Report | None) -> Final:
    """The step succeeds after a failure, and says what has saved it."""
    by = "fallback_value" if known.falls_back else step.handlers[known.handler].label
    warning = f"it failed ({known.original.message}), and {by} has saved it"
    if known.falls_back:
        warning = f"it failed ({known.original.message}), and the plan's fallback value stands in its place"
        value = {"result": value, "success": True, "error": None}
    warned = receipt.model_copy(update={"warnings": (*receipt.warnings, warning)})
    return Final(warned, recovery.recovered(value, known, by), report=report)


def is_weather(error: OrchestratorError) -> bool:
    """Whether an error says nothing of this step, and holds for every other that asks the same provider."""
    return isinstance(error, ModelFailed) and error.kind.weather and error.retryable


def attempts_of(step: Step, repeatable: bool = False) -> int:
    """How many attempts a step has: as its plan says, else by what it may do twice; `repeatable` is its tool's word."""
    if step.retry.attempts is not None:
        return step.retry.attempts
    repeatable = repeatable or bool(step.retry.errors) or step.kind is StepKind.MODEL or catalog.idempotent(step.uses)
    return catalog.ATTEMPTS_IF_REPEATABLE if repeatable else 1


def may_be_done_twice(step: Step, at: Standing) -> bool:
    """Whether a step that may have run is tried again: as its plan says, else if doing it twice does no harm."""
    if step.on_lost is not None:
        return step.on_lost is OnLost.RETRY
    return step.kind is not StepKind.TOOL or at.repeatable


def _half_done(step: Step, lost: WorkerLost) -> WorkerLost:
    remedy = "say on_lost: retry if it may be done twice"
    return WorkerLost(f"{lost}; {step.uses} may or may not have run, so it is not tried again: {remedy}", False)


def may_try_again(step: Step, tries: int, error: OrchestratorError, repeatable: bool = False) -> bool:
    """Whether the step has an attempt left that could go better."""
    attempts = attempts_of(step, repeatable)
    if isinstance(error, QualityTooLow):
        return error.retryable and tries < (step.retry.attempts or catalog.ATTEMPTS_IF_REPEATABLE)
    if isinstance(error, WorkerLost):
        return error.retryable and tries < max(attempts, catalog.LOST_ATTEMPTS)
    if step.retry.errors:
        return Fault.of(error).is_named(step.retry.errors) and tries < attempts
    asked_for = isinstance(error, ToolFailed) and step.retry.attempts is not None
    return isinstance(error, StepError) and (error.retryable or asked_for) and tries < attempts


def backoff_seconds(
    retry: Retry, tries: int, error: OrchestratorError, jitter: Callable[[], float] = random.random
) -> float:
    """The wait after so many tries, half of it random unless the plan forbids it, and at least what the other side
    asked for."""
    if isinstance(error, WorkerLost):
        return 0.0
    try:
        grown = retry.initial_seconds * retry.factor ** (tries - 1) + retry.growth_seconds * (tries - 1)
        full = min(retry.max_seconds, grown)
    except OverflowError:
        full = retry.max_seconds
    asked = getattr(error, "retry_after_seconds", None) or 0.0
    return max(asked, full * (0.5 + 0.5 * jitter()) if retry.jitter else full)


def skipped_value(reason: str) -> dict[str, Json]:
    """What templates see of a skipped step."""
    return {"status": "skipped", "success": False, "reason": reason}


def failed_value(error: ErrorInfo, reported: Json) -> dict[str, Json]:
    """What templates see of a failed step; a reported failure keeps what it reported."""
    kept = reported if isinstance(reported, dict) else {"result": reported}
    return {**kept, "status": "failed", "success": False, "error": error.message}


def final_state(record: RunRecord, failed: bool) -> RunState:
    """The state in which a run closes, once nothing of it is open."""
    if failed or record.halt:
        return RunState.FAILED
    return RunState.CANCELLED if record.wish is Wish.CANCEL else RunState.SUCCEEDED
