"""What goes into the store's scripts and comes out of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_client.contract.plan import Json


@dataclass(frozen=True, slots=True)
class OpenRun:
    """What never changes of a run once it is submitted."""

    run: str
    plan_hash: str
    inputs_json: bytes
    submitted_ms: int

    def inputs(self) -> dict[str, Json]:
        """The inputs, parsed anew: what one step does to them no other step sees."""
        parsed: dict[str, Json] = json.loads(self.inputs_json)
        return parsed


class Refusal(StrEnum):
    """Why an attempt may not start."""

    REFUSED = "refused"
    """It is not this attempt's turn: a doubled, late or forged message."""
    SETTLED = "settled"
    """The instance has its receipt."""
    CANCELLED = "cancelled"
    """The run is halted; the instance has that receipt now."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one attempt to run, and what it reads."""

    started_ms: int
    dead: bool
    """Nothing alive leads here: the step is to be skipped."""
    values: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One edge over which a settled step arrives at a successor."""

    instance: str
    need: int
    """Arrivals that make the successor ready."""
    queue: str
    route: bool
    alive: bool


class Settlement(StrEnum):
    """What became of an attempt's outcome."""

    SETTLED = "settled"
    AGAIN = "again"
    """It was recorded by the same attempt before."""
    REFUSED = "refused"
    """Another attempt's outcome counts, or will."""


class Parking(StrEnum):
    """What became of the wish to try again later."""

    PARKED = "parked"
    HALTED = "halted"
    """The run takes no more attempts; the caller settles the instance."""
    REFUSED = "refused"


class Repair(StrEnum):
    """What `sweep` found due."""

    PUBLISH = "publish"
    REPUBLISH = "republish"
    LOST = "lost"
    START = "start"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Due:
    """One finding of `sweep`."""

    repair: Repair
    run: str
    instance: str
    attempt: int
    queue: str
    age_ms: int
    """Time that the instance has been in the state in which it was found."""
