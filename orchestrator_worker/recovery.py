"""What a step's `on_error` says to a failure: try again, or go on with something else. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator_client.contract.errors import OrchestratorError, StepCancelled
from orchestrator_client.contract.plan import Handler, Step

PATTERN_CHARACTERS = 200
"""Longest pattern that is tried as a regular expression; a longer one must be found as it stands."""

ALIASES = {
    "TimeoutError": ("StepTimeout",),
    "ConnectionError": ("ModelFailed", "ToolFailed"),
    "ValidationError": ("ParametersInvalid",),
    "ValueError": ("ParametersInvalid",),
    "RateLimitError": ("ModelFailed",),
}
"""Names that existing files use -> ours."""


def fallback_for(step: Step, error: OrchestratorError) -> Handler | None:
    """The first of the step's handlers, by priority, that has a value for this failure."""
    return next((handler for handler in _fitting(step, error) if handler.has_fallback), None)


def _fitting(step: Step, error: OrchestratorError) -> list[Handler]:
    """The handlers that do something about a failure. Who cancels a run wants no recovery."""
    if isinstance(error, StepCancelled):
        return []
    return [handler for handler in step.handlers if _acts(handler) and _fits(handler, error)]


def handled_tries(step: Step, error: OrchestratorError) -> int:
    """How many tries more a handler gives."""
    first = next(iter(_fitting(step, error)), None)
    return first.max_retries if first is not None and first.action == "retry" else 0


def backoff_seconds(tries: int) -> float:
    """The wait before a handler's retry, as existing files expect: 2, 4, 8 and then 10 seconds."""
    return float(min(2**tries, 10))


def _acts(handler: Handler) -> bool:
    """Whether there is something to be done here: steps and instructions as handlers are not carried out."""
    return handler.has_fallback or handler.action == "retry"


def _fits(handler: Handler, error: OrchestratorError) -> bool:
    message = str(error)
    named = handler.error_patterns or handler.error_codes
    by_type = any(name == "*" or name in _names(error) or name in message for name in handler.error_types)
    by_pattern = any(_found(pattern, message) for pattern in handler.error_patterns)
    by_code = any(re.search(rf"\b{re.escape(code)}\b", message) for code in handler.error_codes)
    if named:
        # `*` is what a handler says that names no type.
        return by_pattern or by_code or (by_type and handler.error_types != ("*",))
    return by_type


def _names(error: OrchestratorError) -> Iterator[str]:
    """The names by which plans may know an error: its classes, and what Python calls the like."""
    ours = {kind.__name__ for kind in type(error).__mro__}
    yield from ours
    yield from (name for name, meant in ALIASES.items() if ours & set(meant))


def _found(pattern: str, message: str) -> bool:
    if pattern.lower() in message.lower():
        return True
    if len(pattern) > PATTERN_CHARACTERS:
        return False
    try:
        return re.search(pattern, message, re.IGNORECASE) is not None
    except re.error:
        return False
