"""What a step is given, and what it may want. A step knows nothing of Celery, Redis or Lua."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orchestrator_client.contract.errors import OrchestratorError
from orchestrator_client.contract.plan import Json, Step
from orchestrator_client.contract.usage import Usage


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at one instance, with its parameters rendered."""

    run: str
    instance: str
    attempt: int
    step: Step
    parameters: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Output:
    """The step has done its work, and leaves `value`."""

    value: Json
    usage: Usage | None = None
    model: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """The step is not to be done."""

    reason: str


@dataclass(frozen=True, slots=True)
class Route:
    """The branches to take: ids of steps, or `END`. Those not named die."""

    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt failed. `value` is what a reported failure left, if anything."""

    error: OrchestratorError
    value: Json = None
    usage: Usage | None = None
    """What the attempt has cost all the same."""
    model: str | None = None


Want = Output | Skip | Route | Fail


class StepPerformer(Protocol):
    """Performs the steps of one kind. Raises only what went wrong; says what it wants by returning it."""

    def perform(self, call: Call) -> Want: ...
