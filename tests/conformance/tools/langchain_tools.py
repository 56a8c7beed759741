"""The suite's tools as LangChain has them."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import dispatch_custom_event
from langchain_core.tools import ToolException, tool

from tests.conformance.tools import function_tools


@tool
def echo(
    text: str,
    count: int = 1,
    flag: bool = False,
    rows: list[Any] = [],  # noqa: B006
    options: dict[str, Any] = {},  # noqa: B006
) -> dict[str, Any]:
    """Return what was given."""
    return function_tools.echo(text, count, flag, rows, options)


@tool
def report(reason: str) -> str:
    """Report failure."""
    raise ToolException(reason)


report.handle_tool_error = True


@tool
def fail(reason: str) -> str:
    """Raise."""
    raise RuntimeError(reason)


@tool
def wait(folder: str) -> None:
    """Wait until somebody stops it."""
    function_tools.wait(folder)


@tool
def meet(folder: str, name: str, of: int) -> str:
    """Wait until all have come."""
    return function_tools.meet(folder, name, of)


@tool
def tell(times: int) -> int:
    """Report progress."""
    for number in range(1, times + 1):
        dispatch_custom_event("progress", {"fraction": number / times, "message": f"step {number}"})
    return times


@tool(response_format="content_and_artifact")
def leave(size: int) -> tuple[str, bytes]:
    """Leave a file."""
    return "left", b"x" * size


@tool
def large(megabytes: int) -> str:
    """Return much."""
    return function_tools.large(megabytes)
