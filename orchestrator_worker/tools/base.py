"""What a tool is given, and what it returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator_client.contract.plan import Json


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Where and for whom a tool runs."""

    run: str
    instance: str
    attempt: int
    folder: Path
    """The run's working folder: relative paths start here, and file tools may not leave it."""
    allowed: tuple[Path, ...] = ()
    """Further folders that file tools may use, from the worker's settings."""
    timeout_seconds: float | None = None
    """Time that the step has left, or None without a limit."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool left. A tool that reports failure (`success=False`) has failed."""

    output: Json = None
    success: bool = True
    error: str | None = None
    warnings: tuple[str, ...] = ()
    retryable: bool = True
    """Of a failure: whether the same call may go better a moment later. A plan that asks for retries gets them."""
    envelope: dict[str, Json] = field(default_factory=dict)
    """Fields that stand beside `result` in the step's value, for tools whose existing readers expect them there."""

    @property
    def value(self) -> Json:
        """The step's value, in the shape that templates of existing pipelines read."""
        return {"result": self.output, "success": self.success, "error": self.error, **self.envelope}


Tool = Callable[[ToolContext, Any], ToolResult | Awaitable[ToolResult]]
"""`tool(context, parameters)`, where `parameters` is the validated record of `contract.catalog`.

Raise `ToolFailed` (or anything) for what went wrong; return `ToolResult(success=False, …)` for a failure that has a
result too. A coroutine function is run on the worker's loop and cancelled when the step's time is up or its run is
cancelled; a plain function runs in the worker's own process or thread.
"""
