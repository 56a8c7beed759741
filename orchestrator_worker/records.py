"""What goes into the store's scripts and comes out of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator_client.contract.limits import RateLimit
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.question import NOTHING_TOLD, GivenAnswers, Question
from orchestrator_client.contract.run import ErrorInfo, Receipt, RunBudget, RunRecord
from orchestrator_client.contract.schedule import Schedule
from orchestrator_client.contract.usage import Usage
from orchestrator_client.contract.webhook import Webhook


@dataclass(frozen=True, slots=True)
class OpenRun:
    """What never changes of a run once it is submitted."""

    run: str
    plan_hash: str
    inputs_json: bytes
    submitted_ms: int
    tags: tuple[str, ...] = ()
    tenant: str = ""
    budget: RunBudget | None = None
    answers: GivenAnswers = NOTHING_TOLD
    """What the run need not ask."""
    depth: int = 0
    """Runs above it."""
    above: str = ""
    """The first of them; empty for a run that a client submitted."""
    allow_tools: tuple[str, ...] | None = None
    """Patterns of the tools that it may use, beside its plan's."""
    forked_from: str = ""
    """The run of which it keeps results."""
    traceparent: str = ""
    """See `trace.RunTrace`."""

    @property
    def root(self) -> str:
        """The run whose budget pays, and in whose folder its steps work."""
        return self.above or self.run

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
    PARKED = "parked"
    """Its provider's gate has closed since its message was sent, and it waits there; or its run is paused."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An attempt to tell a webhook that a run has ended."""

    run: str
    attempt: int
    webhook: Webhook


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A schedule that is to be fired."""

    schedule: Schedule
    due_ms: int
    plan: Plan
    inputs: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a run keeps of the one that it was forked from: the step is not performed."""

    receipt: Receipt
    """With `kept_from`, the run that has performed it."""
    value: Json


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one attempt to run, and what it reads."""

    started_ms: int
    dead: bool
    """Nothing alive leads here: the step is to be skipped."""
    values: dict[str, Json]
    excused: int = 0
    """Attempts so far that ended through no fault of the step."""
    admitted: Admitted | None = None
    """The call that was let through; None where none was asked for."""
    memo: Json = None
    """What the attempts before left; see `steps.conversation`."""
    ended: int = 0
    """Of a loop: scopes of it that have ended."""
    failed: int = 0
    """Of a loop: instances within it that have failed for good."""
    scopes: dict[str, Json] = field(default_factory=dict)
    """What the scopes around it know, by their names."""
    variables: int = 0
    """Versions of variables that were set in its run: with any, the attempt asks which it sees."""
    deltas: bool = False
    """Somebody reads along as the run's models write."""
    waited_seconds: float = 0.0
    """Since it was ready: for its message, and for a slot."""
    kept: Kept | None = None
    """What is to be recorded for the instance, without performing it."""
    pauses_ms: int = 0
    """For how long its run was paused, all told."""

    @property
    def run_clock_ms(self) -> int:
        """When it started by a clock that stood while its run was paused."""
        return self.started_ms - self.pauses_ms


@dataclass(frozen=True, slots=True)
class Admitted:
    """What became of a model call before it was published."""

    state: str
    """`admitted`, `cached`, or `refused` for good."""
    pick: int
    """Which of the models that were asked for, counted from 0."""
    granted_tokens: int | None = None
    """Longest reply that the budgets pay for."""
    digest: str = ""
    words: str = ""
    """Why it was refused."""

    @classmethod
    def from_stored(cls, stored: bytes) -> Admitted:
        """From the JSON that the scripts keep; arrays count from 1 there."""
        entry = json.loads(stored)
        granted = entry.get("granted")
        return cls(
            state=entry["state"],
            pick=int(entry["pick"]) - 1,
            granted_tokens=None if granted is None else int(granted),
            digest=entry.get("digest", ""),
            words=entry.get("words", ""),
        )


@dataclass(frozen=True, slots=True)
class Arrival:
    """One edge over which a settled step arrives at a successor."""

    instance: str
    """Of an edge `return`: the instance that asked, `#`, and the turn in which it did."""
    need: int
    """Arrivals that make the successor ready."""
    queue: str
    edge: str
    """`order`, `route`, or `return` to an instance that is parked until the steps it asked for have ended."""
    alive: bool


class Settlement(StrEnum):
    """What became of an attempt's outcome."""

    SETTLED = "settled"
    AGAIN = "again"
    """It was recorded by the same attempt before."""
    REFUSED = "refused"
    """Another attempt's outcome counts, or will."""


class Parking(StrEnum):
    """What became of the wish to go on later."""

    PARKED = "parked"
    READY = "ready"
    """It need not wait: the caller publishes its next attempt, and the steps it asked for."""
    HALTED = "halted"
    """The run takes no more attempts; the caller settles the instance."""
    REFUSED = "refused"


class Asking(StrEnum):
    """What became of a running step's wish for another one."""

    READY = "ready"
    """The caller publishes it."""
    AGAIN = "again"
    """It was asked for by the same attempt before."""
    HALTED = "halted"
    """The run takes no more steps."""
    REFUSED = "refused"
    """Another attempt has taken over."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A step that a step asks for at run time; or, without a queue, a scope and what its steps are to know."""

    instance: str
    queue: str
    memo: Json


@dataclass(frozen=True, slots=True)
class Ready:
    """An instance whose message is to be sent."""

    instance: str
    attempt: int
    first: bool = False
    """Before all that wait in its queue."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """A call that a gate let through."""

    run: str
    instance: str
    attempt: int
    queue: str
    waited_seconds: float


@dataclass(frozen=True, slots=True)
class Caller:
    """The instance that waited for a run, and has become ready with its end."""

    run: str
    instance: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ChildRun:
    """A run that a step has started, as it is now."""

    record: RunRecord
    usage: Usage
    """Of its steps, and of the runs that they have started."""
    steps: int
    """Instances that have ended."""


class Repair(StrEnum):
    """What `sweep` found due."""

    PUBLISH = "publish"
    REPUBLISH = "republish"
    CONCLUDE = "conclude"
    LOST = "lost"
    START = "start"
    CLOSE = "close"
    BROKEN = "broken"


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


@dataclass(frozen=True, slots=True)
class Report:
    """How a model call ended: what its gate, its budgets and the ledger are told."""

    kind: str
    """`ok`, a `FailureKind`, or why nothing was sent."""
    sent: bool = True
    """Whether the provider was asked at all."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    """As the provider counted them; None where it did not."""
    cost_nano_usd: int | None = None
    """Billionths of a dollar; None where no price is known."""
    seconds: float | None = None
    """From the request to the end of the answer."""
    wait_seconds: float | None = None
    """What a refusal asks for."""
    words: str = ""
    """A refusal in the provider's words."""
    limits: tuple[RateLimit, ...] = ()
    reply_json: str = ""
    """What the cache is to keep, if anything."""

    def to_json(self) -> str:
        """As `gates.lua` and `admission.lua` read it: without what is not known."""
        told = {
            limit.dimension: {"limit": limit.limit, "remaining": limit.remaining, "reset": limit.reset_seconds}
            for limit in self.limits
        }
        counted = self.input_tokens is not None and self.output_tokens is not None
        report = {
            "kind": self.kind,
            "sent": self.sent,
            "input": self.input_tokens if counted else None,
            "output": self.output_tokens if counted else None,
            "nano": self.cost_nano_usd,
            "seconds": self.seconds,
            "wait_ms": None if self.wait_seconds is None else round(self.wait_seconds * 1000),
            "words": self.words or None,
            "limits": {name: _known(said) for name, said in told.items()},
            "reply": self.reply_json or None,
        }
        return json.dumps(_known(report))


NOTHING_SENT = Report("unsent", sent=False)
"""Of a step that was let through to call a model and did not."""


def _known(fields: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Leave:
    """How an attempt leaves its worker without an outcome."""

    reason: str
    wait_seconds: float = 0.0
    first: bool = False
    """Its worker was lost, not its turn: where it need not wait, it goes before all that wait in its queue."""
    excused: int = 0
    """How many attempts, this one the first of them, do not count as tries any more."""
    error: ErrorInfo | None = None
    report: Report | None = None
    memo: Json = None
    """None: as it was."""
    asked: tuple[Asked, ...] = ()
    """It comes back when these steps have ended."""
    recovery: Json = None
    """How far the handling of its failures has come; None: as it was."""
    seen: int | None = None
    """It comes back when more of its scopes have ended than these; None where it has none."""
    scopes: int = 0
    """Scopes that there are, as far as it knows."""
    all_scopes: bool = False
    """There are no more of them."""
    question: Question | None = None
    """It comes back when somebody has answered, or the deadline has passed."""
    number: int = 0
    """Of the question, among those of its instance, counted from 1."""
    child: str = ""
    """It comes back when this run has ended, or the wait is over."""
