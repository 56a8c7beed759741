"""The suite's tools as an MCP server has them: `python -m tests.conformance.tools.mcp_tools`, over stdio."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import INTERNAL_ERROR, BlobResourceContents, EmbeddedResource

from tests.conformance.tools import function_tools

server = MCPServer("suite")


@server.tool()
def echo(
    text: str,
    count: int = 1,
    flag: bool = False,
    rows: list[Any] = [],  # noqa: B006
    options: dict[str, Any] = {},  # noqa: B006
) -> dict[str, Any]:
    """Return what was given."""
    return function_tools.echo(text, count, flag, rows, options)


@server.tool(structured_output=False)
def report(reason: str):
    """Report failure."""
    raise ToolError(reason)


@server.tool(structured_output=False)
def fail(reason: str):
    """Refuse the call by an error of the protocol: what a function raises, the SDK tells nobody."""
    raise MCPError(INTERNAL_ERROR, reason)


@server.tool(structured_output=False)
async def wait(folder: str):
    """Wait until somebody stops it."""
    try:
        Path(folder, "started").touch()
        await asyncio.Event().wait()
    finally:
        Path(folder, "stopped").touch()


@server.tool(structured_output=False)
async def meet(folder: str, name: str, of: int):
    """Wait until all have come."""
    Path(folder, name).touch()
    while len(list(Path(folder).iterdir())) < of:
        await asyncio.sleep(0.005)
    return name


@server.tool(structured_output=False)
async def tell(times: int, ctx: Context):
    """Report progress."""
    for number in range(1, times + 1):
        await ctx.report_progress(number, times, f"step {number}")
    return "told"


@server.tool(structured_output=False)
def leave(size: int):
    """Leave a file."""
    content = base64.b64encode(b"x" * size).decode()
    return [EmbeddedResource(resource=BlobResourceContents(uri="memo://left", blob=content))]


@server.tool(structured_output=False)
def large(megabytes: int):
    """Return much."""
    return function_tools.large(megabytes)


if __name__ == "__main__":
    server.run("stdio")
