"""The tool by which existing files call MCP servers: what a step gets of what the server's tool gave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.catalog.servers import ServerToolParameters
from orchestrator_worker.tools import mcp_server, registry
from orchestrator_worker.tools.base import ToolContext, ToolResult


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ('{"results": [1], "total": 1}', {"results": [1], "total": 1}),
        (" [1, 2]", [1, 2]),
        ("{no json", "{no json"),
        ("42", "42"),
        ({"total": 3}, {"total": 3}),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_the_result_of_the_servers_tool_is_that_of_the_step(
    given: Any, seen: Any, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def later(result: ToolResult) -> ToolResult:
        return result

    def invoke(uses: str, parameters: Any, _context: ToolContext) -> ToolResult | Awaitable[ToolResult]:
        asked.append((uses, parameters))
        result = ToolResult(given, warnings=("slow",))
        return later(result) if is_async else result

    monkeypatch.setattr(registry, "invoke", invoke)
    parameters = ServerToolParameters(server_name="web", tool_name="search", tool_params={"query": "q"})
    called = mcp_server.execute_tool(ToolContext("r", "s", 1, Path()), parameters)
    result = asyncio.run(_awaited(called))
    assert asked == [("mcp:web/search", {"query": "q"})]
    assert (result.output, result.warnings) == (seen, ("slow",))


async def _awaited(called: Awaitable[Any]) -> Any:
    return await called
