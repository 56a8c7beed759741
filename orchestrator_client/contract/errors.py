"""Every error that this project raises on purpose.

    OrchestratorError
    ├── PlanInvalid                 the file cannot run; carries every problem that was found     (exit code 2)
    ├── InputsInvalid               the caller's inputs do not fit the plan                       (exit code 2)
    ├── ConfigInvalid               orchestrator.toml cannot be used                              (exit code 2)
    ├── StoreUnavailable            Redis cannot be reached, or is not one that we run on         (exit code 3)
    ├── FleetFailed                 an embedded Redis or worker could not start, or died          (exit code 3)
    ├── RunNotFound                 no run of that id
    ├── RunConflict                 an idempotency key was used before, for another submission
    ├── NoQuestion                  there is nothing (more) to answer                             (exit code 2)
    ├── RecordsBroken               what the store keeps of a run cannot be used: the run is lost
    ├── RunFailed                   the run ended, and not well                                   (exit code 1)
    ├── TemplateError               a template cannot be rendered
    │   ├── TemplateSyntax          it does not parse
    │   ├── Unresolved              it names something that is not there
    │   ├── TemplateForbidden       it reaches for what templates may not touch
    │   └── TemplateTooLarge        it takes too long, nests too deep or writes too much
    └── StepError                   a step went wrong; `retryable` says whether another attempt may help
        ├── ParametersInvalid       the tool or model does not take these parameters
        ├── UnknownAction           the step's action is words that name none
        ├── ToolFailed              the tool ran and reported failure, or raised
        ├── ModelFailed             the provider answered with an error, or not at all
        ├── CredentialMissing       the worker has no key for the provider, or no such secret
        ├── BudgetExceeded          a budget does not pay for the call
        ├── StepTimeout             the attempt took longer than the step allows
        ├── QualityTooLow           what the step left is not what its plan holds it to
        ├── HandlerFailed           what was to handle the step's failure failed itself
        ├── StepCancelled           the run was cancelled while the step ran
        ├── CycleTooLong            a cycle of a graph would go round more often than it may
        ├── ValueTooLarge           the step left more than the store accepts
        └── WorkerLost              the worker that ran the attempt died

A message says what happened, to what, and what to do about it. All of them pickle, since Celery may carry them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator_client.contract.namespace import whereabouts

if TYPE_CHECKING:
    from orchestrator_client.contract.limits import RateLimit


class OrchestratorError(Exception):
    """Root of the tree: catch it to catch all that is ours."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a plan, where it is, and what to write instead.

    `line` and `column` count from 1; 0 means that the problem has no place in the file. `code` is stable and meant
    for programs; `remedy` is empty where the message says it all. A `warning` does not keep a plan from running.
    """

    code: str
    message: str
    line: int = 0
    column: int = 0
    remedy: str = ""
    step: str = ""
    warning: bool = False

    def render(self, file: str) -> str:
        """`file:line:column  message; remedy`, the one form in which a person meets a problem."""
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        severity = "warning: " if self.warning else ""
        return f"{place}  {severity}{self.message}" + (f"; {self.remedy}" if self.remedy else "")

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        return asdict(self)


class PlanInvalid(OrchestratorError):
    """The plan cannot run: every problem found, in the order of the file."""

    SHOWN = 20

    def __init__(self, problems: Sequence[Problem], file: str = "plan") -> None:
        super().__init__(list(problems), file)
        self.problems = list(problems)
        self.file = file

    def __str__(self) -> str:
        lines = [problem.render(self.file) for problem in self.problems[: self.SHOWN]]
        if (hidden := len(self.problems) - self.SHOWN) > 0:
            lines.append(f"and {hidden} more")
        return "\n".join(lines)


class InputsInvalid(OrchestratorError):
    """The caller's inputs do not fit those that the plan declares: one line an input."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(list(problems))
        self.problems = list(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ConfigInvalid(OrchestratorError):
    """The project's configuration cannot be used: one line a problem."""

    def __init__(self, file: str, problems: Sequence[str]) -> None:
        super().__init__(file, list(problems))
        self.file, self.problems = file, list(problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.file}: {problem}" for problem in self.problems)


class StoreUnavailable(OrchestratorError):
    """Redis cannot be reached, or refuses, or is not one that runs can be trusted to."""


class FleetFailed(OrchestratorError):
    """An embedded Redis or worker could not be started, or has died."""


class RunNotFound(OrchestratorError):
    """No run of that id is in the store: it never was, or its retention has passed."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run

    def __str__(self) -> str:
        return f"no run {self.run!r} in {whereabouts()}; `orchestrator runs` lists those there are"


class RunConflict(OrchestratorError):
    """An idempotency key stands for another submission already."""

    def __init__(self, key: str, run: str) -> None:
        super().__init__(key, run)
        self.key, self.run = key, run

    def __str__(self) -> str:
        return (
            f"idempotency key {self.key!r} already stands for run {self.run}, submitted with another plan or other"
            " inputs; use a new key for a new submission"
        )


class NoQuestion(OrchestratorError):
    """There is nothing to answer: no such question was asked, or it was answered, has expired, or its run has ended."""

    def __init__(self, run: str, step: str, reason: str) -> None:
        super().__init__(run, step, reason)
        self.run, self.step, self.reason = run, step, reason

    def __str__(self) -> str:
        return f"run {self.run}, step '{self.step}': {self.reason}"


class RecordsBroken(OrchestratorError):
    """What the store keeps of a run cannot be used: somebody else has written there, or deleted a part of it."""


class RunFailed(OrchestratorError):
    """The run has ended without success; `run.result()` has its document all the same."""

    def __init__(self, run: str, reason: str) -> None:
        super().__init__(run, reason)
        self.run, self.reason = run, reason

    def __str__(self) -> str:
        return f"run {self.run}: {self.reason}"


class TemplateError(OrchestratorError):
    """A template cannot be rendered. `line` counts from 1 within the template."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message, line)
        self.message, self.line = message, line

    def __str__(self) -> str:
        return self.message


class TemplateSyntax(TemplateError):
    """The template does not parse, or uses a filter or test that does not exist."""


class Unresolved(TemplateError):
    """The template names something that is not there when its step starts."""


class TemplateForbidden(TemplateError):
    """The template reaches for an attribute or call that the sandbox does not allow."""


class TemplateTooLarge(TemplateError):
    """The template passed a cap: time, size of the output, nesting or iterations."""


class StepError(OrchestratorError):
    """A step went wrong. `retryable` says whether the same call may go better a moment later."""

    retryable = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class ParametersInvalid(StepError):
    """The parameters do not fit; another attempt would meet the same refusal."""


class UnknownAction(StepError):
    """The step's action is words that name no action: only its error handlers can make something of it."""


class HandlerFailed(StepError):
    """A step or model that was to handle the failure of another one failed itself, or could not be asked."""


class ToolFailed(StepError):
    """The tool reported failure or raised."""

    def __init__(self, message: str, retryable: bool = True) -> None:
        super().__init__(message)
        self.args = (message, retryable)
        self.retryable = retryable


class FailureKind(StrEnum):
    """What went wrong with a call of a model, whoever the provider is."""

    RATE_LIMIT = "rate_limit"
    """The account's limit is used up for the moment. Weather: it holds for the whole fleet, and costs no attempt."""
    OVERLOAD = "overload"
    """The provider has too much to do. Weather too."""
    QUOTA = "quota"
    """The money, or the day's share, is gone."""
    AUTH = "auth"
    """The key is refused."""
    BAD_REQUEST = "bad_request"
    """The request is refused as it is."""
    CONTEXT_LENGTH = "context_length"
    """Prompt and reply do not fit into the model."""
    CONTENT_FILTER = "content_filter"
    """The provider's filter, or the model itself, refused."""
    TIMEOUT = "timeout"
    """No complete answer came in time."""
    CONNECTION = "connection"
    """The provider was not reached, or hung up."""
    SERVER = "server"
    """The provider failed."""
    TRUNCATED = "truncated"
    """The answer ended before its end."""
    BAD_RESPONSE = "bad_response"
    """The answer claims success and is none."""
    UNSENT = "unsent"
    """The call could not be made at all."""
    EMPTY = "empty"
    """The answer says nothing."""
    UNFIT = "unfit"
    """The answer does not fit the schema that the step asks for, also after its repair."""

    @property
    def weather(self) -> bool:
        """Whether it says nothing of this call, and holds for every other too."""
        return self in (FailureKind.RATE_LIMIT, FailureKind.OVERLOAD)


class ModelFailed(StepError):
    """The provider answered with an error, or did not answer."""

    def __init__(
        self,
        message: str,
        retryable: bool = True,
        retry_after_seconds: float | None = None,
        kind: FailureKind = FailureKind.SERVER,
        limits: tuple[RateLimit, ...] = (),
    ) -> None:
        super().__init__(message)
        self.args = (message, retryable, retry_after_seconds, kind, limits)
        self.retryable, self.retry_after_seconds = retryable, retry_after_seconds
        self.kind, self.limits = kind, limits


class CredentialMissing(StepError):
    """The worker has no key for the provider, or not the secret that a plan names."""


class BudgetExceeded(StepError):
    """A budget does not pay for the call; nothing was sent."""


class StepTimeout(StepError):
    """The attempt took longer than the step's `timeout`."""

    retryable = True


class QualityTooLow(StepError):
    """What the step left is not what its plan holds it to; retryable where the plan says `on_fail: retry`."""

    def __init__(self, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.args = (message, retryable)
        self.retryable = retryable


class StepCancelled(StepError):
    """The run was cancelled while the step ran."""


class CycleTooLong(StepError):
    """A cycle of a graph has gone round as often as it may, and would go on."""


class ValueTooLarge(StepError):
    """What the step left is larger than the store's cap for one value."""


class WorkerLost(StepError):
    """The worker that held the attempt died, or was not heard of for a whole lease. What it did may be half done."""

    def __init__(self, message: str, retryable: bool = True) -> None:
        super().__init__(message)
        self.args = (message, retryable)
        self.retryable = retryable
