"""The servers of this process, on its loop: made from the project's configuration when a tool is first asked for."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Mapping

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.lock import ServerPin, load_lock, reached_by
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import load_project
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools.base import Told, ToolContext
from orchestrator_worker.tools.mcp.answer import result_of
from orchestrator_worker.tools.mcp.asking import Unanswered
from orchestrator_worker.tools.mcp.link import Listed
from orchestrator_worker.tools.mcp.pool import Servers
from orchestrator_worker.tools.mcp.session import CLIENT
from orchestrator_worker.vault import in_use

_servers: dict[int, Servers] = {}


def servers() -> Servers:
    """Those of this process. A fork begins with none: what its parent had stays with that.

    Raises:
        ConfigInvalid: orchestrator.toml cannot be used.
    """
    if os.getpid() not in _servers:
        _servers[os.getpid()] = Servers(load_project().mcp, in_use(), load_lock())
    return _servers[os.getpid()]


def warm() -> None:
    """Import the SDK, which takes a second, if servers are configured. The children of this process need not then."""
    if load_project().mcp:
        importlib.import_module(CLIENT)


def use(made: Servers | None) -> None:
    """Let this process use these servers; None: those of the configuration, read anew."""
    _servers.pop(os.getpid(), None)
    if made is not None:
        _servers[os.getpid()] = made


def listed_tool(server: str, tool: str) -> Listed:
    """A tool of a server, from what is known of it, else asked for. Not for the loop's own thread.

    Raises:
        ParametersInvalid: there is no such server, or it has no such tool, or not the one that the lock has.
        StepError: the server cannot be reached.
    """
    return servers().known(server, tool) or calls().run(servers().tool(server, tool))


def pins() -> dict[str, ServerPin]:
    """What a lock would say of all servers as they are now. Not for the loop's own thread.

    Raises:
        StepError: one of them cannot be reached.
    """
    found = {}
    for name in servers().names:
        server = servers().named(name)
        tools = calls().run(server.tools())
        version = next((tool.version for tool in tools.values()), "")
        pinned = {tool.name: tool.pin for tool in tools.values()}
        found[name] = ServerPin(reached=reached_by(server.section), version=version, tools=pinned)
    return found


async def call(server: str, tool: Listed, context: ToolContext, arguments: Mapping[str, Json]) -> Told:
    """Call a tool, and keep what it answers; or return what a person must answer first.

    Raises:
        ToolFailed: the server died, refuses, answers nothing in time, or its answer is none.
    """
    return await calls().beside(_call(server, tool, context, arguments))


async def _call(server: str, tool: Listed, context: ToolContext, arguments: Mapping[str, Json]) -> Told:
    section = servers().named(server).section

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        context.progress(progress / total if total else None, message or "")

    try:
        async with asyncio.timeout(section.timeout_seconds) as limit:
            reply = await servers().call(server, tool, arguments, context, on_progress)
    except TimeoutError:
        if not limit.expired():
            raise
        raise ToolFailed(
            f"mcp server '{server}' gave no answer to {tool.name!r} within {section.timeout_seconds:g} s, and was told"
            f" to stop; raise timeout_seconds in [mcp.{server}] if it needs longer",
            retryable=tool.repeatable,
        ) from None
    except Unanswered as asked:
        if not (asked.again or tool.repeatable):
            raise ToolFailed(_not_twice(server, tool, asked), retryable=False) from None
        return asked.question.model_copy(update={"title": f"{server}/{tool.name}"})
    return result_of(reply, server, tool.name, context)


def _not_twice(server: str, tool: Listed, asked: Unanswered) -> str:
    return (
        f"mcp server '{server}' asked a person in the middle of {tool.name!r} ({asked.question.prompt[:200]!r}):"
        " it would be called again with the answer, and the server does not say that it may be called twice"
    )
