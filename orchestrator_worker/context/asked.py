"""A step that a model asked for at run time: no plan has it, its memo says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from orchestrator_client.contract.plan import Json, OnFailure, Step, StepKind


@dataclass(frozen=True, slots=True)
class AskedStep:
    """One call of a tool, as a step of its own."""

    by: str
    """The instance that asked, and gets the result."""
    turn: int
    """Which turn of its conversation that was, counted from 1."""
    of: int
    """Steps asked for in that turn."""
    uses: str
    arguments: dict[str, Json]
    """Literal: what a model writes is never a template."""

    def memo(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def of_memo(cls, memo: Mapping[str, Any]) -> Self:
        return cls(**memo)

    @property
    def return_edge(self) -> str:
        """What its arrival is counted by, see `settle.lua`."""
        return f"{self.by}#{self.turn}"

    def step(self, instance: str) -> Step:
        return Step(
            id=instance, kind=StepKind.TOOL, uses=self.uses, parameters=self.arguments, on_failure=OnFailure.CONTINUE
        )
