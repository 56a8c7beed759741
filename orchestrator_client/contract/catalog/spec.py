"""What is said of every tool: its name, its parameters, what may be done twice, and how far it is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from orchestrator_client.contract.level import Level
from orchestrator_client.contract.tool import Category


class Parameters(BaseModel):
    """Base of all parameter records. Templates are typed natively, so a number may stand where text is wanted."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, frozen=True, coerce_numbers_to_str=True)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One action of a tool."""

    name: str
    parameters: type[Parameters]
    description: str
    idempotent: bool = False
    """Doing it twice leaves what doing it once leaves, so it may be tried again."""
    read_only: bool = False
    """It changes nothing; then it is idempotent too."""
    category: Category = Category.CUSTOM
    level: Level = Level.STANDARD


@dataclass(frozen=True, slots=True)
class Twice:
    """What doing a tool twice means, as the tables of tools say it."""

    idempotent: bool
    read_only: bool = False


READS = Twice(idempotent=True, read_only=True)
"""It changes nothing."""
REPEATS = Twice(idempotent=True)
"""It changes something, and doing it again leaves the same."""
ONCE = Twice(idempotent=False)
"""Doing it again does it again."""


def specs(
    tool: str,
    category: Category,
    *actions: tuple[str, type[Parameters], str, Twice],
    level: Level = Level.STANDARD,
) -> Mapping[str, ToolSpec]:
    """The actions of one tool, by registry name."""
    return {
        f"{tool}.{action}": ToolSpec(
            f"{tool}.{action}", parameters, description, twice.idempotent, twice.read_only, category, level
        )
        for action, parameters, description, twice in actions
    }
