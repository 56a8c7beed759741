"""What an attempt's end means: again, or an outcome, and which edges stay alive behind it. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from orchestrator_client.contract import catalog
from orchestrator_client.contract.errors import OrchestratorError, StepCancelled, StepError, ToolFailed, WorkerLost
from orchestrator_client.contract.plan import Json, OnFailure, Retry, Step, StepKind
from orchestrator_client.contract.run import ErrorInfo, Outcome, Receipt, RunRecord, RunState, Wish
from orchestrator_worker.compiler import Successor
from orchestrator_worker.steps.base import Fail, Output, Route, Skip, Want

LOST_ATTEMPTS = 3
"""Attempts of a step whose workers die under it. More would let one poisonous step take down worker after worker."""


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt, after a wait."""

    wait_seconds: float
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Final:
    """The outcome, the value that later steps read, and what follows."""

    receipt: Receipt
    value: Json
    halts: bool = False
    """The run takes no new steps after this."""
    alive: bool = True
    """Edges out of this step are alive."""
    taken: tuple[str, ...] | None = None
    """A router's choice: only routes to these are alive."""

    def arrives_alive(self, edge: Successor) -> bool:
        """Whether the step behind this edge may still run."""
        if edge.route and self.taken is not None:
            return edge.step in self.taken
        return self.alive


def decide(step: Step, attempt: int, started_ms: int | None, worker: str, dead: bool, want: Want) -> Again | Final:
    """What follows from an attempt that wants `want`."""
    receipt = Receipt(outcome=Outcome.SUCCEEDED, attempt=attempt, started_ms=started_ms, worker=worker)
    match want:
        case Output():
            kept = {"usage": want.usage, "model": want.model, "warnings": want.warnings}
            return Final(receipt.model_copy(update=kept), want.value)
        case Route():
            chosen = {"result": list(want.targets), "success": True}
            return Final(receipt, chosen, taken=want.targets)
        case Skip():
            skipped = receipt.model_copy(update={"outcome": Outcome.SKIPPED, "reason": want.reason})
            return Final(skipped, skipped_value(want.reason), alive=not dead)
        case Fail():
            return _after_failure(step, receipt, want)
        case _:
            assert_never(want)


def _after_failure(step: Step, receipt: Receipt, failure: Fail) -> Again | Final:
    error = ErrorInfo.of(failure.error)
    if isinstance(failure.error, StepCancelled):
        cancelled = receipt.model_copy(update={"outcome": Outcome.CANCELLED, "reason": str(failure.error)})
        return Final(cancelled, failed_value(error, failure.value), alive=False)
    if may_try_again(step, receipt.attempt, failure.error):
        return Again(backoff_seconds(step.retry, receipt.attempt, failure.error), error)
    kept = {"outcome": Outcome.FAILED, "error": error, "usage": failure.usage, "model": failure.model}
    failed = receipt.model_copy(update=kept)
    return Final(
        failed,
        failed_value(error, failure.value),
        halts=step.on_failure is OnFailure.FAIL,
        alive=step.on_failure is OnFailure.CONTINUE,
    )


def attempts_of(step: Step) -> int:
    """How many attempts a step has: as its plan says, else by what it may do twice."""
    if step.retry.attempts is not None:
        return step.retry.attempts
    repeatable = step.kind is StepKind.MODEL or catalog.idempotent(step.uses)
    return catalog.ATTEMPTS_IF_REPEATABLE if repeatable else 1


def may_try_again(step: Step, attempt: int, error: OrchestratorError) -> bool:
    """Whether the step has an attempt left that could go better."""
    if isinstance(error, WorkerLost):
        return attempt < max(attempts_of(step), LOST_ATTEMPTS)
    asked_for = isinstance(error, ToolFailed) and step.retry.attempts is not None
    return isinstance(error, StepError) and (error.retryable or asked_for) and attempt < attempts_of(step)


def backoff_seconds(
    retry: Retry, attempt: int, error: OrchestratorError, jitter: Callable[[], float] = random.random
) -> float:
    """The wait after this attempt: exponential, half of it random, at least what the other side asked for."""
    if isinstance(error, WorkerLost):
        return 0.0
    try:
        full = min(retry.max_seconds, retry.initial_seconds * retry.factor ** (attempt - 1))
    except OverflowError:
        full = retry.max_seconds
    asked = getattr(error, "retry_after_seconds", None) or 0.0
    return max(asked, full * (0.5 + 0.5 * jitter()))


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
