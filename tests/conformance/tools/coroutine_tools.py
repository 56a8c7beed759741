"""The suite's tools as coroutine functions: those that wait do so on the loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from orchestrator_worker.tools import ToolContext, ToolResult, tool
from tests.conformance.tools import function_tools


@tool(category="data", tags=("suite", "talk"), read_only=True)
async def echo(
    text: str,
    count: int = 1,
    flag: bool = False,
    rows: list[Any] = [],  # noqa: B006
    options: dict[str, Any] = {},  # noqa: B006
) -> dict[str, Any]:
    """Return what was given."""
    return function_tools.echo(text, count, flag, rows, options)


@tool
async def report(reason: str) -> dict[str, Any]:
    """Report failure."""
    return function_tools.report(reason)


@tool
async def fail(reason: str) -> None:
    """Raise."""
    function_tools.fail(reason)


@tool
async def wait(folder: str) -> None:
    """Wait until somebody stops it."""
    try:
        Path(folder, "started").touch()
        await asyncio.Event().wait()
    finally:
        Path(folder, "stopped").touch()


@tool
async def meet(folder: str, name: str, of: int) -> str:
    """Wait until all have come."""
    Path(folder, name).touch()
    while len(list(Path(folder).iterdir())) < of:
        await asyncio.sleep(0.005)
    return name


@tool
async def tell(times: int, context: ToolContext) -> int:
    """Report progress."""
    return function_tools.tell(times, context)


@tool
async def leave(size: int, context: ToolContext) -> ToolResult:
    """Leave a file."""
    return function_tools.leave(size, context)


@tool
async def large(megabytes: int) -> str:
    """Return much."""
    return function_tools.large(megabytes)
