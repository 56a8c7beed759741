"""How a plan departs from its order: loops, jumps, and what is done about failures."""

from __future__ import annotations

from enum import StrEnum

from orchestrator_client.contract.record import Json, Record


class LoopKind(StrEnum):
    """How often a body runs."""

    MAP = "map"
    """Once for each item."""
    WHILE = "while"
    """As long as its condition holds, asked before each pass."""
    UNTIL = "until"
    """Until its condition holds, asked after each pass."""


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
    """Id of a step of the plan that handles it."""
    fallback_value: Json = None
    has_fallback: bool = False
    retry: bool = True
    """Whether the step is tried again after the handler."""
    max_retries: int = 1
    priority: int = 100
    """Smaller ones are asked first."""
    proceed: bool = False
    """Whether the next handler is asked when this one fails."""
    timeout_seconds: float | None = None
