"""What happened in a run, from its events: who started when, who ended when, and what stood around it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from orchestrator_client.contract.event import Event, EventKind
from orchestrator_client.contract.plan import Json, Plan, Step
from orchestrator_client.contract.run import Outcome, Receipt, RunRecord

OUTCOME_OF: Mapping[EventKind, Outcome] = {
    EventKind.STEP_SUCCEEDED: Outcome.SUCCEEDED,
    EventKind.STEP_FAILED: Outcome.FAILED,
    EventKind.STEP_SKIPPED: Outcome.SKIPPED,
    EventKind.STEP_CANCELLED: Outcome.CANCELLED,
}

_ASKED = re.compile(r"#\d+\.\d+$")
"""The end of the name of a step that another step asked for."""
_SCOPE = re.compile(r"(?:\[\d+\]|#\d+)$")


@dataclass(frozen=True, slots=True)
class At:
    """An event and its place among all."""

    place: int
    event: Event


@dataclass(frozen=True)
class History:
    """One run that has ended, as the store has it."""

    plan: Plan
    record: RunRecord
    receipts: Mapping[str, Receipt]
    events: Sequence[Event]
    """All that there are, in order."""
    values: Mapping[str, Json] = field(default_factory=dict)
    """What loops and routers left: how many scopes there were, and which way was taken."""
    cap_usd: Decimal | None = None
    """Of the run's budget, or that of the first run above it; None where it has none."""
    spent_usd: Decimal | None = None

    @cached_property
    def whole(self) -> bool:
        """Whether its first event is still there: the stream of a very long run loses its oldest."""
        return bool(self.events) and self.events[0].kind is EventKind.RUN_SUBMITTED

    @cached_property
    def starts(self) -> Mapping[str, list[At]]:
        """Instance -> the starts of its attempts."""
        return self._by_instance({EventKind.STEP_STARTED})

    @cached_property
    def ends(self) -> Mapping[str, list[At]]:
        """Instance -> its outcomes, of which there should be one."""
        return self._by_instance(set(OUTCOME_OF))

    @cached_property
    def within(self) -> Mapping[str, list[str]]:
        """Scope (`map[2]`, `loop#0`) -> the instances in it that have started or ended, those of inner loops too.

        Without those that another step asked for: they may outlive it if its worker dies.
        """
        found: dict[str, list[str]] = {}
        for instance in dict.fromkeys(each for each in (*self.starts, *self.ends) if not asker_of(each)):
            for dot in re.finditer(r"\.", instance):
                if _SCOPE.search(scope := instance[: dot.start()]):
                    found.setdefault(scope, []).append(instance)
        return found

    @property
    def cut_short(self) -> bool:
        """Whether the run was cancelled or halted, so that not all of it was reached."""
        return bool(self.record.halt) or bool(self.of_kind(EventKind.CANCEL_REQUESTED))

    def of_kind(self, kind: EventKind) -> list[At]:
        """All events of a kind, in order."""
        return [At(place, event) for place, event in enumerate(self.events) if event.kind is kind]

    def ended_before(self, instance: str, place: int) -> bool:
        """Whether an instance had its outcome by then."""
        return instance in self.ends and self.ends[instance][0].place < place

    def _by_instance(self, kinds: set[EventKind]) -> dict[str, list[At]]:
        found: dict[str, list[At]] = {}
        for place, event in enumerate(self.events):
            if event.kind in kinds:
                found.setdefault(event.instance, []).append(At(place, event))
        return found


def asker_of(instance: str) -> str:
    """The instance that asked for this one; empty for one that a plan has."""
    return instance[: found.start()] if (found := _ASKED.search(instance)) else ""


def scope_of(instance: str) -> str:
    """The item or pass that an instance of a plan is in; empty where it is in none."""
    return instance.rpartition(".")[0]


def loop_of(scope: str) -> str:
    """The loop that a scope is an item or pass of."""
    return _SCOPE.sub("", scope)


def beside(instance: str, step: str) -> str:
    """The instance of another step of the same body."""
    scope = scope_of(instance)
    return f"{scope}.{step}" if scope else step


def chooses(step: Step) -> bool:
    """Whether what it leaves says which of the steps behind it may run."""
    return step.routes is not None or (step.loop is not None and bool(step.loop.entry))
