"""Tools of MCP servers as existing files call them: one tool, with the server and its tool among the parameters."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from dataclasses import replace

from orchestrator_client.contract.catalog import MCP_PREFIX
from orchestrator_client.contract.catalog.servers import ServerParameters, ServerToolParameters
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.question import Question
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools import registry
from orchestrator_worker.tools.base import Told, ToolContext, ToolResult
from orchestrator_worker.tools.mcp.servers import servers


def connect(_context: ToolContext, parameters: ServerParameters) -> ToolResult:
    """Reach the server: `{action, server_name, connected, tools}`, the last by name.

    Raises:
        ParametersInvalid: the configuration has no such server.
        StepError: it cannot be reached.
    """
    tools = calls().run(servers().named(parameters.server_name).tools())
    return _said("connect", parameters, connected=True, tools=list(tools))


def list_tools(_context: ToolContext, parameters: ServerParameters) -> ToolResult:
    """Its tools: `{action, server_name, tools, count}`, each tool `{name, description, parameters}`.

    Raises:
        ParametersInvalid: the configuration has no such server.
        StepError: it cannot be reached.
    """
    listed = calls().run(servers().named(parameters.server_name).tools()).values()
    tools: list[Json] = [
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in listed
    ]
    return _said("list_tools", parameters, tools=tools, count=len(tools))


def execute_tool(context: ToolContext, parameters: ServerToolParameters) -> Awaitable[Told]:
    """Call a tool, as a step of `mcp:server/tool` does it: its result is the step's. JSON that a server sends as text
    is read, since existing files go on with its fields.

    Raises:
        ParametersInvalid: there is no such server or tool, or it does not take these parameters.
        StepError: the server cannot be reached.
    """
    uses = f"{MCP_PREFIX}{parameters.server_name}/{parameters.tool_name}"
    return _executed(registry.invoke(uses, parameters.tool_params, context))


call_tool = execute_tool


async def _executed(called: Told | Awaitable[Told]) -> Told:
    result = called if isinstance(called, ToolResult | Question) else await called
    return result if isinstance(result, Question) else replace(result, output=_read(result.output))


def _read(output: Json) -> Json:
    """The object or list that a text is the JSON of; anything else as it came."""
    if not isinstance(output, str) or not output.lstrip().startswith(("{", "[")):
        return output
    try:
        return json.loads(output)
    except (ValueError, RecursionError):
        return output


def disconnect(context: ToolContext, parameters: ServerParameters) -> ToolResult:
    """End the session of this run: `{action, server_name, disconnected}`. One that runs share stays, and ends by itself
    when nobody uses it; `disconnected` is false then.

    Raises:
        ParametersInvalid: the configuration has no such server.
    """
    ended = calls().run(servers().named(parameters.server_name).leave(context.run))
    return _said("disconnect", parameters, disconnected=ended)


def _said(action: str, parameters: ServerParameters, **fields: Json) -> ToolResult:
    return ToolResult({"action": action, "server_name": parameters.server_name, **fields})
