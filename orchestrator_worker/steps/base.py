"""What a step is given, and what it may want. A step knows nothing of Celery, Redis or Lua."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator_client.contract.errors import OrchestratorError
from orchestrator_client.contract.plan import Json, Step
from orchestrator_client.contract.quality import Assessment
from orchestrator_client.contract.question import Answer, Question
from orchestrator_client.contract.run import ErrorInfo, Submission
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.records import Admitted, Asked, Kept, Report


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at one instance, with its parameters rendered."""

    run: str
    instance: str
    attempt: int
    step: Step
    parameters: dict[str, Json]
    memo: Json = None
    """What the attempts before left."""
    returned: Mapping[str, Json] = field(default_factory=dict)
    """Values of the steps that this one asked for, by instance."""
    answers: tuple[Answer, ...] = ()
    """To the questions that its attempts before have asked, in their order."""
    admitted: Admitted | None = None
    """Of a model step: what became of its call before this attempt was published."""
    is_written: bool = True
    """Whether the plan wrote the parameters; else a model did, who is given no secrets."""
    on_call: Callable[[bool], None] | None = None
    """Of a tool step: told when it calls a tool that is of no catalogue, and whether that may be done twice. Raises
    StepCancelled where it may not call it any more."""
    on_text: Callable[[str], None] | None = None
    """Of a model step: takes each piece of text as it comes, on the worker's loop; None where nobody reads along."""


@dataclass(frozen=True, slots=True)
class Output:
    """The step has done its work, and leaves `value`."""

    value: Json
    usage: Usage | None = None
    model: str | None = None
    selection: str = ""
    """Why this model, where the plan left the choice."""
    cached: bool = False
    warnings: tuple[str, ...] = ()
    report: Report | None = None
    """How its model call ended; None where it made none."""
    quality: Assessment | None = None
    """What was found of it, where the plan holds it to something."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The step goes on: as soon as the steps it asks for have ended, or at once where it asks for none."""

    memo: Json
    asked: tuple[Asked, ...]
    report: Report
    reason: str


@dataclass(frozen=True, slots=True)
class Expand:
    """Run steps within this one; it comes back when more of its scopes have ended than `seen`."""

    memo: Json
    asked: tuple[Asked, ...]
    """Entry steps of scopes, and, without a queue, what a scope's steps are to know."""
    seen: int
    scopes: int
    """That there are, as far as it knows."""
    all_scopes: bool
    """There are no more of them."""


@dataclass(frozen=True, slots=True)
class Descend:
    """The step has another pipeline run, and comes back when that run has ended."""

    child: str
    """The run."""
    memo: Json
    starts: Submission | None = None
    """The run, where it is still to be started."""
    wait_seconds: float = 0.0
    """It waits no longer than this; 0: for as long as it takes."""
    then: Output | None = None
    """The step does not wait: it leaves this as soon as the run is recorded."""


@dataclass(frozen=True, slots=True)
class Again:
    """The step begins anew after a wait, at no cost of an attempt."""

    memo: Json
    wait_seconds: float
    error: ErrorInfo
    """Why."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The step has a question, and comes back with its answer. Until then it is in no queue and in no worker."""

    question: Question
    """A step that is asked again returns the same questions in the same order."""
    answers: tuple[Answer, ...] = ()
    """Those it has. These two are filled in for it."""
    number: int = 0
    """Of the question, among those of its instance, counted from 1."""


@dataclass(frozen=True, slots=True)
class Readmit:
    """No call was let through for the step, and it is to make one: it asks its gate."""

    call: str
    """The call, as `limits.Asking` describes it."""
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """The step is not to be done."""

    reason: str


@dataclass(frozen=True, slots=True)
class Route:
    """The branches to take: ids of steps, or `END`. Those not named die."""

    targets: tuple[str, ...]
    sends: Mapping[str, list[Json]] = field(default_factory=dict)
    """For those of them that are sent to: for each `Send` its input as `{"input": …}`, for a mere name `{}`."""
    left: Mapping[str, Json] = field(default_factory=dict)
    """What the step leaves beside its choice."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt failed. `value` is what a reported failure left, if anything."""

    error: OrchestratorError
    value: Json = None
    usage: Usage | None = None
    """What the attempts have cost all the same."""
    model: str | None = None
    report: Report | None = None
    memo: Json = None
    """What the next attempt is to know; None: what this one knew."""
    other_model: Json = None
    """The memo with which another model is asked once this one has no attempt left; None where there is no other."""
    keeps: tuple[Asked, ...] = ()
    """What the next attempt is to know beside its memo."""
    quality: Assessment | None = None
    """What was found of the result that was not good enough."""
    abandons: str = ""
    """A run that the step has started and waits for no longer: it is cancelled."""


Want = Output | Kept | Turn | Expand | Descend | Again | Wait | Readmit | Skip | Route | Fail


class StepPerformer(Protocol):
    """Performs the steps of one kind. Raises only what went wrong; says what it wants by returning it."""

    def perform(self, call: Call) -> Want: ...
