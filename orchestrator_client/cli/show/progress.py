"""Where a run is: its events, folded. Pure; knows nothing of terminals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from orchestrator_client.contract.event import Event, EventKind
from orchestrator_client.contract.plan import OnFailure, Plan
from orchestrator_client.contract.run import InstanceState, Outcome, RunState
from orchestrator_client.contract.usage import NO_USAGE, Usage
from orchestrator_client.messages import WAITS
from orchestrator_client.story import error_in

StepState = InstanceState | Outcome | None
"""None: something before it has not ended yet. Ready is inferred: it is an instance all of whose predecessors ended."""


@dataclass(frozen=True, slots=True)
class StepProgress:
    """One instance. Times are milliseconds since 1970, by Redis's clock."""

    id: str
    state: StepState = None
    attempt: int = 0
    since_ms: int = 0
    """When it came into this state."""
    until_ms: int = 0
    """Parked: when it comes back. Ended: the same as `since_ms`."""
    started_ms: int | None = None
    """Start of the last attempt."""
    note: str = ""
    """Why it waits, was skipped, was cancelled or failed."""

    @property
    def ended(self) -> bool:
        """Whether it has its outcome, which is recorded once."""
        return isinstance(self.state, Outcome)

    def seconds(self, now_ms: int) -> float | None:
        """How long its last attempt took, or has taken by now; None before the first."""
        if self.started_ms is None or self.state in (InstanceState.PARKED, InstanceState.WAITING):
            return None
        end_ms = self.since_ms if self.ended else now_ms
        return max(0, end_ms - self.started_ms) / 1000

    def wait_seconds(self, now_ms: int) -> float:
        """For how long it stays parked."""
        return max(0, self.until_ms - now_ms) / 1000


class Progress:
    """A run as its events tell it. Events that are missing, as behind `--after`, leave gaps and nothing worse."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state = RunState.SUBMITTED
        self.cancelling = False
        self.paused_by = ""
        """Who has paused it; empty while it is not paused."""
        self.error = ""
        self.usage: Usage = NO_USAGE
        self.started_ms: int | None = None
        self.share: float | None = None
        """Of its work that is done, 0 to 1; None where workers do not tell."""
        self.ends_ms: int | None = None
        """About when it ends, by Redis's clock."""
        self.last_ms = 0
        """Time of the newest event."""
        self._steps = {step.id: StepProgress(step.id) for step in plan.steps}
        self._missing = {step.id: sum(1 for _ in step.predecessors) for step in plan.steps}
        self._halted = False

    @property
    def steps(self) -> Sequence[StepProgress]:
        """All instances in plan order, behind them those that the plan does not name. A copy: safe between threads."""
        return tuple(self._steps.values())

    @property
    def ended(self) -> int:
        """How many instances have their outcome."""
        return sum(step.ended for step in self.steps)

    def now_ms(self, local_ms: int) -> int:
        """The time to count up to: this machine's, unless the events are ahead of it.

        Weakness: where this clock is ahead of Redis's, running steps look older by the difference.
        """
        return self.last_ms if self.state.ended else max(local_ms, self.last_ms)

    def seconds(self, now_ms: int) -> float:
        """How long the run has taken."""
        return 0.0 if self.started_ms is None else max(0, now_ms - self.started_ms) / 1000

    def apply(self, event: Event) -> None:
        """Take in the next event."""
        self.last_ms = max(self.last_ms, event.at_ms)
        if "progress" in event.data:
            self.share, self.ends_ms = float(event.data["progress"]), event.data.get("ends_ms")
        match event.kind:
            case EventKind.RUN_SUBMITTED | EventKind.VARIABLE_SET:
                pass
            case EventKind.RUN_STARTED:
                self._start(event)
            case EventKind.CANCEL_REQUESTED:
                self.cancelling = self._halted = True
            case EventKind.PAUSE_REQUESTED:
                self.paused_by = str(event.data.get("by") or "somebody")
            case EventKind.RESUME_REQUESTED:
                self.paused_by = ""
            case EventKind.STEP_STARTED:
                self._update(event, InstanceState.RUNNING, started_ms=event.at_ms, note="")
            case EventKind.STEP_PROGRESS:
                self._note(event)
            case EventKind.STEP_PARKED:
                self._park(event)
            case EventKind.QUESTION_ASKED:
                self._ask(event)
            case EventKind.QUESTION_ANSWERED:
                self._update(event, InstanceState.READY, note="")
            case EventKind.STEP_SUCCEEDED:
                self._end(event, Outcome.SUCCEEDED)
            case EventKind.STEP_FAILED:
                self._end(event, Outcome.FAILED)
            case EventKind.STEP_SKIPPED:
                self._end(event, Outcome.SKIPPED)
            case EventKind.STEP_CANCELLED:
                self._end(event, Outcome.CANCELLED)
            case EventKind.RUN_CLOSED:
                self._close(event)
            case _:
                assert_never(event.kind)

    def _start(self, event: Event) -> None:
        """The chord is open: what waits for nothing is ready."""
        self.state, self.started_ms = RunState.RUNNING, event.at_ms
        for step, missing in self._missing.items():
            if not missing:
                self._make_ready(step, event.at_ms)

    def _note(self, event: Event) -> None:
        """A tool says how far it is; nothing else of its step changes."""
        known = self._steps.get(event.instance)
        if known is not None and not known.ended:
            self._steps[event.instance] = replace(known, note=said_in(event.data))

    def _park(self, event: Event) -> None:
        """An attempt has ended without an outcome, and the next one starts when the wait is over; or a call waits."""
        until_ms = event.at_ms + int(event.data.get("delay_ms") or 0)
        said = (event.data.get("reason"), event.data.get("scope"), event.data.get("words"), error_in(event.data))
        note = ": ".join(str(part) for part in said if part)
        state = InstanceState.WAITING if event.data.get("reason") in WAITS else InstanceState.PARKED
        self._update(event, state, until_ms=until_ms, note=note)

    def _ask(self, event: Event) -> None:
        """It waits for an answer, for a time or for as long as it takes."""
        until_ms = event.at_ms + int(event.data["delay_ms"]) if "delay_ms" in event.data else 0
        note = f"asks: {event.data.get('title') or event.data.get('prompt') or ''}"
        self._update(event, InstanceState.PARKED, until_ms=until_ms, note=note)

    def _end(self, event: Event, outcome: Outcome) -> None:
        """An instance has its outcome.

        The start that the event names goes before the one that was seen: the latter is missing where the stream was
        trimmed, or where the attempt was concluded by another worker.
        """
        before = self._steps.get(event.instance)
        started_ms = event.data.get("started_ms") or (before.started_ms if before else None)
        note = error_in(event.data) or str(event.data.get("reason") or "")
        self._update(event, outcome, started_ms=started_ms, until_ms=event.at_ms, note=note)
        if usage := usage_of(event.data):
            self.usage += usage
        self._follow(event, outcome)

    def _follow(self, event: Event, outcome: Outcome) -> None:
        """Count the arrival at the steps behind, and make ready those that it completes."""
        step = self.plan.step_by_id.get(event.instance)
        if outcome is Outcome.FAILED and step is not None and step.on_failure is OnFailure.FAIL:
            self._halted = True
        for follower in self.plan.followers.get(event.instance, ()):
            self._missing[follower] -= 1
            if not self._missing[follower] and not self._halted:
                self._make_ready(follower, event.at_ms)

    def _make_ready(self, step: str, at_ms: int) -> None:
        """Mark a step as ready, unless its own events are there already."""
        if self._steps[step].state is None:
            self._steps[step] = replace(self._steps[step], state=InstanceState.READY, since_ms=at_ms)

    def _close(self, event: Event) -> None:
        """The run has ended; this is its last event."""
        self.state = RunState(str(event.data.get("state") or RunState.FAILED))
        self.error = error_in(event.data)

    def _update(self, event: Event, state: StepState, **changes: Any) -> None:
        """Move an instance to another state; one that the plan does not name is added behind the others."""
        known = self._steps.get(event.instance) or StepProgress(event.instance)
        attempt = event.attempt or known.attempt
        self._steps[event.instance] = replace(known, state=state, attempt=attempt, since_ms=event.at_ms, **changes)


def said_in(data: dict[str, Any]) -> str:
    """What a tool says of its progress, such as `40% page 2 of 5`; nothing of an event that is no progress."""
    fraction, message = data.get("fraction"), str(data.get("message") or "")
    share = f"{fraction:.0%}" if isinstance(fraction, int | float) else ""
    return " ".join(part for part in (share, message) if part)


def usage_of(data: dict[str, Any]) -> Usage | None:
    """What the step's model calls used, if it made any."""
    usage = data.get("usage")
    return Usage.model_validate(usage) if isinstance(usage, dict) else None
