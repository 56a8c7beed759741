"""A step that another one asked for at run time: no plan has its instance, a memo says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from orchestrator_client.contract.plan import Json, OnFailure, Retry, Step, StepKind
from orchestrator_worker.records import Ready
from orchestrator_worker.steps.base import Call


@dataclass(frozen=True, slots=True)
class AskedStep:
    """One call of a tool or a model, as a step of its own."""

    by: str
    """The instance that asked, and gets the result."""
    turn: int
    """Which turn of its conversation that was, counted from 1; 0 for what it asks before it starts; for what handles a
    failure of it, see `places.HANDLERS`."""
    of: int
    """Steps asked for in that turn."""
    uses: str
    arguments: dict[str, Json]
    """Literal: what a model writes is never a template."""
    kind: StepKind = StepKind.TOOL
    timeout_seconds: float | None = None
    attempts: int | None = None
    """None leaves them to what it uses."""

    def memo(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def of_memo(cls, memo: Mapping[str, Any]) -> Self:
        return cls(**{**memo, "kind": StepKind(memo.get("kind", StepKind.TOOL))})

    @staticmethod
    def kept_at(instance: str) -> str:
        """The name under which the memo of such an instance is kept."""
        return f"{instance}?"

    @property
    def return_edge(self) -> str:
        """What its arrival is counted by, see `settle.lua`."""
        return f"{self.by}#{self.turn}"

    def call(self, run: str, ready: Ready, memo: Json, returned: Mapping[str, Json]) -> Call:
        """One attempt at it."""
        step, arguments = self.step(ready.instance), dict(self.arguments)
        return Call(run, ready.instance, ready.attempt, step, arguments, memo, returned, is_written=False)

    def step(self, instance: str) -> Step:
        return Step(
            id=instance,
            kind=self.kind,
            uses=self.uses,
            parameters=self.arguments,
            on_failure=OnFailure.CONTINUE,
            timeout_seconds=self.timeout_seconds,
            retry=Retry(attempts=self.attempts),
        )
