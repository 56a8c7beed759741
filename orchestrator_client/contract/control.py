"""How a plan departs from its order: loops, jumps, and what is done about failures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator_client.contract.record import Json, Record


class LoopKind(StrEnum):
    """How often a body runs."""

    MAP = "map"
    """Once for each item."""
    WHILE = "while"
    """As long as its condition holds, asked before each pass."""
    UNTIL = "until"
    """Until its condition holds, asked after each pass."""
    GRAPH = "graph"
    """Part of a graph: once, and once more for each time that a way back to its entry is taken."""
    SENDS = "sends"
    """A node of a graph, once for each time that routers sent to it."""


class Way(Record):
    """An edge of a graph that leads out of a pass: round to the entry, or out of the cycle."""

    target: str
    """The step that it leads to, where both ends of it stand in one body."""
    sources: tuple[str, ...]
    """Steps of the body. It is taken if all of them arrive."""


@dataclass(frozen=True, slots=True)
class Send:
    """What a router may return instead of a node's name: run the node once, on an input of its own.

    `arg` is the state that the node sees, whole, and has to be JSON. A router may return a list of these, of names, or
    of both. The nodes run side by side; their updates reach the state in the order of the list.
    """

    node: str
    arg: Any


class Jump(Record):
    """The run jumps over a step: it is skipped where another one ended in a certain way."""

    source: str
    """The step that decides."""
    when: str
    """`skipped` (by its condition or another jump), `succeeded` or `failed`."""
    target: str
    """The step that the jump leads to, for the reason on the receipt."""


class Handler(Record):
    """What is done about a step's failure, where it fits."""

    error_types: tuple[str, ...] = ("*",)
    """Names of error classes, of ours or Python's; `*` for any."""
    error_patterns: tuple[str, ...] = ()
    """Text or regular expressions to be found in the message, whatever the case."""
    error_codes: tuple[str, ...] = ()
    """HTTP statuses, exit codes or provider codes in the message."""
    action: str = ""
    """`retry`, or an instruction for a model; empty for none."""
    step: str = ""
    """Id of a step that handles it, of the same body or of one around it."""
    fallback_value: Json = None
    has_fallback: bool = False
    retry: bool = True
    """Whether the step is tried again after the handler; else the handler's result is the step's."""
    max_retries: int = 1
    """How often `retry` tries again, and how often a step or a model is asked, which is once at least."""
    priority: int = 100
    """Smaller ones are asked first."""
    proceed: bool = False
    """Whether the next handler is asked when this one fails."""
    timeout_seconds: float | None = None

    @property
    def asks(self) -> bool:
        """Whether it is a step or an instruction, which takes a step of its own."""
        return bool(self.step) or self.action not in ("", "retry")

    @property
    def most_turns(self) -> int:
        """How many turns it has at most."""
        return self.max_retries if self.action == "retry" and not self.step else max(1, self.max_retries)

    @property
    def label(self) -> str:
        """What it is called in messages and in the value of a step that it has saved."""
        return self.step or self.action[:80] or "fallback_value"
