"""What a step's `on_error` says to a failure: try again, let a step or a model see to it, or take a value. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from orchestrator_client.contract.errors import (
    HandlerFailed,
    OrchestratorError,
    StepCancelled,
    UnknownAction,
    WorkerLost,
)
from orchestrator_client.contract.plan import Handler, Json, Step
from orchestrator_client.contract.run import ErrorInfo
from orchestrator_client.contract.template import references

PATTERN_CHARACTERS = 200
"""Longest pattern that is tried as a regular expression; a longer one must be found as it stands."""

KEPT_CHARACTERS = 10_000
"""Of an error's message, for the handlers that come later."""
SAID, SAID_CHARACTERS = 10, 500
"""Failures of handlers that a message tells, the last ones, and how much of each."""

ALIASES = {
    "TimeoutError": ("StepTimeout",),
    "ConnectionError": ("ModelFailed", "ToolFailed"),
    "ValidationError": ("ParametersInvalid",),
    "ValueError": ("ParametersInvalid",),
    "RateLimitError": ("ModelFailed",),
    "UnknownActionError": ("UnknownAction",),
}
"""Names that existing files use -> ours."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as handlers know it, by its names and its message; it is kept from one attempt to the next."""

    names: tuple[str, ...]
    """Its class and the classes above it, then what Python calls the like."""
    message: str

    @classmethod
    def of(cls, error: OrchestratorError) -> Self:
        ours = [kind.__name__ for kind in type(error).__mro__]
        theirs = [name for name, meant in ALIASES.items() if set(ours) & set(meant)]
        return cls((*ours, *theirs), str(error)[:KEPT_CHARACTERS])

    @property
    def hopeless(self) -> bool:
        """Whether the step as it stands can only fail the same way."""
        return UnknownAction.__name__ in self.names

    def is_named(self, words: tuple[str, ...]) -> bool:
        """Whether one of the words is a class of it, or stands in its message; `*` is any."""
        return any(word == "*" or word in self.names or word in self.message for word in words)


@dataclass(frozen=True, slots=True)
class Recovery:
    """How far the handling of a step's failures has come: what is kept beside its memo."""

    original: Fault
    """The first failure, of which every message speaks first."""
    fault: Fault
    """The last failure of the step itself."""
    handler: int
    """Place of the handler that has its turn, among those of the step."""
    calls: Mapping[int, int] = field(default_factory=dict)
    """How often each handler had its turn."""
    said: tuple[str, ...] = ()
    """Why handlers failed."""
    falls_back: bool = False
    """Nothing is done any more but to render the handler's value."""

    @classmethod
    def of(cls, stored: Json) -> Self | None:
        """From `to_json`; None from None."""
        if stored is None:
            return None
        faults: dict[str, Any] = {
            name: Fault(tuple(stored[name]["names"]), stored[name]["message"]) for name in ("original", "fault")
        }
        calls = {int(place): count for place, count in stored["calls"].items()}
        said, falls_back = tuple(stored["said"]), stored["falls_back"]
        return cls(**faults, handler=stored["handler"], calls=calls, said=said, falls_back=falls_back)

    def to_json(self) -> dict[str, Json]:
        return {
            "original": {"names": list(self.original.names), "message": self.original.message},
            "fault": {"names": list(self.fault.names), "message": self.fault.message},
            "handler": self.handler,
            "calls": {str(place): count for place, count in self.calls.items()},
            "said": list(self.said),
            "falls_back": self.falls_back,
        }

    @staticmethod
    def kept_at(instance: str) -> str:
        """The name under which an instance's is kept."""
        return f"{instance}!"

    @property
    def turns(self) -> int:
        """How many turns there were, of all handlers."""
        return sum(self.calls.values())

    @property
    def wait_seconds(self) -> float:
        """The wait before a further attempt or question, as existing files expect: 2, 4, 8 and then 10 seconds."""
        return float(min(2 ** self.calls[self.handler], 10))


def next_turn(step: Step, error: OrchestratorError, known: Recovery | None) -> Recovery | None:
    """The handler that has its turn after this failure; None if there is none, or a value that stands there in full.

    Handlers are asked by priority. One that fails gives way to the next only where it says so.
    """
    if isinstance(error, StepCancelled) or (known is not None and known.falls_back):
        return None
    fault, said, is_over = Fault.of(error), known.said if known else (), False
    if known is not None and isinstance(error, HandlerFailed):
        failed = step.handlers[known.handler]
        is_over = known.calls[known.handler] >= failed.most_turns and not failed.proceed
        fault, said = known.fault, (*said, str(error)[:SAID_CHARACTERS])[-SAID:]
    calls, original = dict(known.calls) if known else {}, known.original if known else fault
    # What may be half done is not to be done again.
    is_hopeless = fault.hopeless or (isinstance(error, WorkerLost) and not error.retryable)
    for place, handler in _fitting(step, fault):
        if is_over or not _acts(handler):
            break
        if calls.get(place, 0) < handler.most_turns and not (is_hopeless and handler.action == "retry"):
            return Recovery(original, fault, place, {**calls, place: calls.get(place, 0) + 1}, said)
    place, fallback = _fallback(step, fault)
    if fallback is None or not references(fallback.fallback_value):
        return None
    return Recovery(original, fault, place, {**calls, place: 0}, said, falls_back=True)


def fallback_for(step: Step, error: OrchestratorError, known: Recovery | None = None) -> Handler | None:
    """The first of the step's handlers, by priority, whose value stands for this failure as it is."""
    if isinstance(error, StepCancelled) or (known is not None and known.falls_back):
        return None
    fault = known.fault if known is not None and isinstance(error, HandlerFailed) else Fault.of(error)
    return _fallback(step, fault)[1]


def explained(error: OrchestratorError, known: Recovery | None) -> ErrorInfo:
    """Why a step has failed for good: its first failure, then what its handlers made of it."""
    if known is None or isinstance(error, StepCancelled):
        return ErrorInfo.of(error)
    later = [*known.said, str(error)]
    message = "; then ".join(dict.fromkeys([known.original.message, *later]))
    return ErrorInfo(type=known.original.names[0], message=message)


def recovered(value: Json, known: Recovery, by: str) -> dict[str, Json]:
    """What a step leaves that a handler has saved."""
    fields = value if isinstance(value, dict) else {"result": value, "success": True, "error": None}
    told = {"recovered_from_error": True, "recovery_handler": by, "original_error": known.original.message}
    return {**fields, **told}


def _acts(handler: Handler) -> bool:
    """Whether it does more than to have a value."""
    return handler.asks or handler.action == "retry"


def _fallback(step: Step, fault: Fault) -> tuple[int, Handler | None]:
    """The first handler with a value for this failure, and its place."""
    return next(((place, handler) for place, handler in _fitting(step, fault) if handler.has_fallback), (0, None))


def _fitting(step: Step, fault: Fault) -> Iterator[tuple[int, Handler]]:
    """The handlers that are for this failure, each with its place."""
    return ((place, handler) for place, handler in enumerate(step.handlers) if _fits(handler, fault))


def _fits(handler: Handler, fault: Fault) -> bool:
    by_type = fault.is_named(handler.error_types)
    if not handler.error_patterns and not handler.error_codes:
        return by_type
    by_pattern = any(_found(pattern, fault.message) for pattern in handler.error_patterns)
    by_code = any(re.search(rf"\b{re.escape(code)}\b", fault.message) for code in handler.error_codes)
    # `*` is what a handler says that names no type.
    return by_pattern or by_code or (by_type and handler.error_types != ("*",))


def _found(pattern: str, message: str) -> bool:
    if pattern.lower() in message.lower():
        return True
    if len(pattern) > PATTERN_CHARACTERS:
        return False
    try:
        return re.search(pattern, message, re.IGNORECASE) is not None
    except re.error:
        return False
