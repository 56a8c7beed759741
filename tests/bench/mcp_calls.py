"""What a pooled call of an MCP tool costs beyond a call by the bare SDK: the same server, the same tool, in turn."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mcp import Client, StdioServerParameters

from orchestrator_client.contract.project import McpSection
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools import registry
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.mcp import servers
from orchestrator_worker.tools.mcp.pool import Servers
from orchestrator_worker.vault import in_use

CALLS = 200
BAR_MS = 3.0

ARGUMENTS = ("-m", "tests.mcp_server", "stdio")


def measure(_url: str, folder: Path, rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    """Median over all calls, of a whole invocation as a step makes it: name, parameters, schema, call, result."""
    pool = Servers({"it": McpSection(command=sys.executable, args=ARGUMENTS)}, in_use())
    servers.use(pool)
    context = ToolContext(run="bench", instance="s", attempt=1, folder=folder)

    def ours() -> float:
        began = time.perf_counter()
        called = registry.invoke("mcp:it/add", {"a": 1, "b": "2"}, context)
        assert not isinstance(called, ToolResult)
        calls().run(_awaited(called))
        return time.perf_counter() - began

    async def bare(client: Client) -> float:
        began = time.perf_counter()
        await client.call_tool("add", {"a": 1, "b": 2})
        return time.perf_counter() - began

    async def main() -> tuple[list[float], list[float]]:
        by_us, by_sdk = [], []
        async with Client(StdioServerParameters(command=sys.executable, args=list(ARGUMENTS))) as client:
            for number in range(CALLS * rounds + 10):
                seconds = await bare(client), await asyncio.to_thread(ours)
                if number >= 10:
                    by_sdk.append(seconds[0])
                    by_us.append(seconds[1])
        return by_us, by_sdk

    by_us, by_sdk = asyncio.run(main())
    calls().run(pool.close())
    mine, theirs = statistics.median(by_us) * 1000, statistics.median(by_sdk) * 1000
    yield "pooled MCP call over bare SDK, p50", mine - theirs, BAR_MS, "ms", f"{mine:.2f} against {theirs:.2f} ms"


async def _awaited(called: object) -> ToolResult:
    result: ToolResult = await called  # type: ignore[misc]
    return result
