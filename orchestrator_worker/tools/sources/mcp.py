"""Tools of MCP servers, `mcp:server/tool`: of those that the project's configuration declares."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from orchestrator_client.contract.catalog import MCP_PREFIX
from orchestrator_client.contract.errors import ParametersInvalid, StepError
from orchestrator_client.contract.tool import Category, ToolInfo, ToolSource
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools.arguments import checked
from orchestrator_worker.tools.base import ToolEntry
from orchestrator_worker.tools.mcp.link import Listed
from orchestrator_worker.tools.mcp.servers import call, listed_tool, servers


def listed() -> Iterator[ToolEntry | StepError]:
    """All tools of all servers; of a server that cannot be asked, why."""
    for name in servers().names:
        try:
            tools = calls().run(servers().named(name).tools())
        except StepError as error:
            yield error
        else:
            yield from (_entry(name, tool) for tool in tools.values())


def resolve(uses: str) -> ToolEntry:
    """A tool of a server, which is started where nothing is known of it yet.

    Raises:
        ParametersInvalid: there is no such server, or it has no such tool.
        StepError: the server cannot be reached.
    """
    server, slash, tool = uses.removeprefix(MCP_PREFIX).partition("/")
    if not slash or not server or not tool:
        raise ParametersInvalid(f"{uses!r} names no tool of a server; write {MCP_PREFIX}server/tool")
    return _entry(server, listed_tool(server, tool))


def _entry(server: str, tool: Listed) -> ToolEntry:
    name = f"{MCP_PREFIX}{server}/{tool.name}"
    info = ToolInfo(
        name=name,
        source=ToolSource.MCP,
        description=tool.description,
        parameters={"type": "object", **tool.parameters},
        result=tool.result,
        category=Category.MCP_INTEGRATION,
        tags=(server,),
        read_only=tool.read_only,
        idempotent=tool.repeatable,
        level=servers().named(server).section.level,
    )
    return ToolEntry(info, partial(checked, info.parameters, tool=name), partial(call, server, tool))
