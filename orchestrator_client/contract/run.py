"""A run and what is recorded of it: its submission, states, receipts and record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import Field

from orchestrator_client.contract.plan import Json, Plan, Record, Step, StepKind
from orchestrator_client.contract.project import OnBreach
from orchestrator_client.contract.quality import Assessment
from orchestrator_client.contract.question import NOTHING_TOLD, GivenAnswers
from orchestrator_client.contract.usage import Usage
from orchestrator_client.contract.webhook import Webhook


class RunState(StrEnum):
    """What a run is. Written by workers only."""

    SUBMITTED = "submitted"
    """Recorded; no worker has started it yet."""
    RUNNING = "running"
    """Its chord is open."""
    SUCCEEDED = "succeeded"
    """Every step that should run has succeeded."""
    FAILED = "failed"
    """A step failed, or the outputs could not be rendered."""
    CANCELLED = "cancelled"
    """Somebody asked for it, and nothing of it runs any more."""

    @property
    def ended(self) -> bool:
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class Wish(StrEnum):
    """What was asked of a run. Written by clients only."""

    RUN = "run"
    PAUSE = "pause"
    """Nothing of it starts; what runs goes on to its end."""
    CANCEL = "cancel"


class InstanceState(StrEnum):
    """Where an open instance is. An instance with a receipt is not open any more."""

    READY = "ready"
    """All it waits for has ended; its message is under way."""
    RUNNING = "running"
    """An attempt holds its lease."""
    LATE = "late"
    """Its lease has run out; in a moment the attempt is taken for lost."""
    PARKED = "parked"
    """It waits in Redis, holding no worker, until its time comes, the steps that it asked for have ended, or somebody
    has answered its question."""
    WAITING = "waiting"
    """Its model call waits for a provider's limit, for money, or for the answer to the same request, in Redis too."""


class Outcome(StrEnum):
    """How an instance ended. Recorded once."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Its condition was false, or nothing led to it."""
    CANCELLED = "cancelled"
    """The run was cancelled or had failed before the instance could end."""


STATUS_WORDS: Mapping[str, str] = {Outcome.SUCCEEDED: "completed", RunState.SUCCEEDED: "completed"}
"""Existing pipelines and result documents say `completed`; every other state goes by its own name."""


def status_word(state: str) -> str:
    """The word that templates (`{{ step.status }}`) and result documents use for a state or outcome."""
    return STATUS_WORDS.get(state, str(state))


class ErrorInfo(Record):
    """An error as data: what a receipt keeps of an exception."""

    type: str
    message: str

    @classmethod
    def of(cls, error: BaseException) -> ErrorInfo:
        return cls(type=type(error).__name__, message=str(error)[:4000] or type(error).__name__)


class Receipt(Record):
    """The recorded outcome of an instance. Times are milliseconds since 1970, by Redis's clock."""

    outcome: Outcome
    attempt: int
    started_ms: int | None = None
    ended_ms: int = 0
    """Set by the store; 0 in a receipt that is not stored yet."""
    worker: str = ""
    reason: str = ""
    """Why it was skipped or cancelled."""
    error: ErrorInfo | None = None
    usage: Usage | None = None
    """Of all attempts and turns."""
    model: str | None = None
    selection: str = ""
    """Why this model, where the plan left the choice."""
    uses: str = ""
    """Of a step that a model asked for: the tool."""
    excused: int = 0
    """Attempts that ended through no fault of the step: a provider's limit, a worker that stopped, a turn."""
    cached: bool = False
    """The answer came from the cache, and cost nothing."""
    warnings: tuple[str, ...] = ()
    kept_from: str = ""
    """The run that has performed it, where this one keeps what that left."""
    inherited: Usage | None = None
    """What that run used for it: nothing was spent again."""
    quality: Assessment | None = None
    """What was found of its last try, where the plan holds it to something."""

    @classmethod
    def from_stored(cls, stored: str) -> Receipt:
        """From the store's form: `ended ms`, a space, JSON."""
        ended, _, text = stored.partition(" ")
        return cls.model_validate({**json.loads(text), "ended_ms": int(ended)})

    @property
    def explanation(self) -> str:
        """Why it failed, or was skipped or cancelled; empty for a success."""
        return self.error.message if self.error else self.reason

    @property
    def seconds(self) -> float:
        return (self.ended_ms - self.started_ms) / 1000 if self.started_ms else 0.0


class RunBudget(Record):
    """What a run may spend on models."""

    usd: Decimal = Field(gt=0)
    on_breach: OnBreach = OnBreach.FAIL


class Parent(Record):
    """Whose step starts a run."""

    run: str
    instance: str
    attempt: int
    depth: int
    """Runs above the one that is started."""
    root: str
    """The first of them: whose budget pays, and in whose folder all of them work."""


class Met(Record):
    """What a wish to pause or to resume met: the run as it was before."""

    state: RunState
    wish: Wish
    paused_ms: int | None = None
    """Since when it was paused, if it was."""
    paused_by: str = ""

    @property
    def paused(self) -> bool:
        return self.wish is Wish.PAUSE and not self.state.ended


class Submission(Record):
    """What a client records when it submits a run: written once, never changed."""

    run: str
    plan: Plan
    inputs: dict[str, Json] = Field(default_factory=dict)
    """Bound: coerced, with defaults."""
    tags: tuple[str, ...] = ()
    tenant: str = ""
    """On whose account: fair shares and budgets go by it."""
    budget: RunBudget | None = None
    deltas: bool = False
    """Whether its models' text is streamed."""
    answers: GivenAnswers = NOTHING_TOLD
    """What it need not ask."""
    allow_tools: tuple[str, ...] | None = None
    """Patterns of the tools that it may use, of those that its plan allows; None: all of them."""
    parent: Parent | None = None
    forked_from: str = ""
    """The run of which it keeps results; empty for one that keeps none."""
    variables: int = 0
    """Versions of variables that it begins with."""
    webhook: Webhook | None = None
    """Who is told of its end."""
    idempotency_key: str | None = None
    traceparent: str = ""
    """W3C: the span in which it is submitted; empty where nobody traces."""
    who: str = ""
    """Who submits it, for the audit log; empty for a step, whose run has that."""


class RunRecord(Record):
    """The run's record in the store, as read back."""

    run: str
    pipeline: str
    plan_hash: str
    state: RunState
    wish: Wish = Wish.RUN
    tags: tuple[str, ...] = ()
    tenant: str = ""
    budget: RunBudget | None = None
    allow_tools: tuple[str, ...] | None = None
    """See `Submission`."""
    steps: int = 0
    """Steps of the plan."""
    failed: int = 0
    """Instances whose outcome is a failure."""
    open: int = 0
    """Instances that are ready, running or parked."""
    submitted_ms: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    variables: int = 0
    """Versions of variables that were set while it ran."""
    halt: str = ""
    """The instance whose failure stopped the run; empty while nothing has."""
    error: ErrorInfo | None = None
    outputs: dict[str, Json] | None = None
    progress: float | None = None
    """Share of its work that is done, 0 to 1: 1 once it has succeeded, and not before; it never goes back. Weighed by
    what earlier runs of the pipeline took, else every step alike. None before it has started."""
    ends_ms: int | None = None
    """About when it ends, by earlier runs and its own pace; None while nobody can tell, and once it has ended."""
    parent: str = ""
    """The run whose step started it; empty for one that a client submitted."""
    parent_instance: str = ""
    depth: int = 0
    """Runs above it."""
    root: str = ""
    """The first of them; empty for one that a client submitted."""
    forked_from: str = ""
    """The run of which it keeps results."""
    forks: tuple[str, ...] = ()
    """Runs that keep results of it."""
    webhook: Webhook | None = None
    """Who is told of its end."""
    delivery: str = ""
    """What became of that: `waiting`, `delivered`, or `dead` once no attempt is left; empty before the run's end."""
    delivery_attempts: int = 0
    delivery_error: str = ""
    """Why the last attempt failed; empty if none did."""
    paused_ms: int | None = None
    """Since when it is paused."""
    paused_by: str = ""
    pauses_ms: int = 0
    """For how long it was paused before, all told."""

    @property
    def paused(self) -> bool:
        return self.wish is Wish.PAUSE and not self.state.ended

    def clock_ms(self, now_ms: int) -> int:
        """The time by which its deadlines go: it stands while the run is paused."""
        return self.paused_ms if self.paused and self.paused_ms is not None else now_ms

    @classmethod
    def from_hash(cls, run: str, stored: Mapping[str, str]) -> RunRecord:
        """From the store's hash, whose values are text."""
        parsed: dict[str, Any] = {key: value for key, value in stored.items() if value != ""}
        for key in ("tags", "error", "outputs", "budget", "allow_tools", "webhook"):
            if key in parsed:
                parsed[key] = json.loads(parsed[key])
        parsed["forks"] = tuple(parsed.get("forks", "").split())
        return cls.model_validate({**parsed, "run": run})

    @property
    def success(self) -> bool:
        return self.state is RunState.SUCCEEDED


CALLED: Mapping[str, bool] = {"once": False, "again": True}
"""What `begin_call` records of a tool, and whether it may be done twice then."""


SET_ASIDE = "pause"
"""Token of an instance that is parked because its run is paused."""


class OpenInstance(Record):
    """An instance without a receipt: where it is, and since when."""

    state: InstanceState
    attempt: int
    since_ms: int
    excused: int = 0
    """Attempts that do not count as tries, see `Receipt.excused`."""
    set_aside: bool = False
    """Parked, and nothing but its run's pause keeps it."""
    may_call_again: bool | None = None
    """What the tool that it has called says of itself: whether that may be done twice. None: it has called none yet, or
    one of the catalogue, which says so."""

    @classmethod
    def from_stored(cls, stored: str) -> OpenInstance:
        state, attempt, since, _dead, excused, *added = stored.split("|")
        token = added[1] if len(added) > 1 else ""
        known = {"attempt": int(attempt), "since_ms": int(since), "excused": int(excused)}
        aside = state == InstanceState.PARKED and token == SET_ASIDE
        return cls.model_validate({"state": state, **known, "set_aside": aside, "may_call_again": CALLED.get(token)})


def asked_for(instance: str, receipt: Receipt | None) -> Step:
    """A step that a model asked for: it is in no plan, and its tool is known once it has ended."""
    return Step(id=instance, kind=StepKind.TOOL, uses=receipt.uses if receipt else "")


def iso(milliseconds: int | None) -> str | None:
    """ISO 8601 in UTC, or None."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
