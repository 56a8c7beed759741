"""The suite's tools as functions; `tests.conformance.tools.adapter` says what each does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from orchestrator_worker.tools import Artifact, ToolContext, ToolResult, tool

MEGABYTE = 1024 * 1024


@tool(category="data", tags=("suite", "talk"), read_only=True)
def echo(
    text: str,
    count: int = 1,
    flag: bool = False,
    rows: list[Any] = [],  # noqa: B006
    options: dict[str, Any] = {},  # noqa: B006
) -> dict[str, Any]:
    """Return what was given."""
    return {"text": text, "count": count, "flag": flag, "rows": rows, "options": options}


@tool
def report(reason: str) -> dict[str, Any]:
    """Report failure."""
    return {"success": False, "error": reason}


@tool
def fail(reason: str) -> None:
    """Raise."""
    raise RuntimeError(reason)


@tool
def wait(folder: str) -> None:
    """Wait until somebody stops it."""
    try:
        Path(folder, "started").touch()
        while True:
            time.sleep(0.005)
    finally:
        Path(folder, "stopped").touch()


@tool
def meet(folder: str, name: str, of: int) -> str:
    """Wait until all have come."""
    Path(folder, name).touch()
    while len(list(Path(folder).iterdir())) < of:
        time.sleep(0.005)
    return name


@tool
def tell(times: int, context: ToolContext) -> int:
    """Report progress."""
    for number in range(1, times + 1):
        context.progress(number / times, f"step {number}")
    return times


@tool
def leave(size: int, context: ToolContext) -> ToolResult:
    """Leave a file."""
    (context.folder / "left.bin").write_bytes(b"x" * size)
    return ToolResult("left", artifacts=(Artifact(name="left.bin", path="left.bin", bytes=size),))


@tool
def large(megabytes: int) -> str:
    """Return much."""
    return "x" * (megabytes * MEGABYTE)
