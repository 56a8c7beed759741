"""The tool of existing files that calls tools of MCP servers. New files name them directly: `tool: mcp:server/tool`."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AliasChoices, Field

from orchestrator_client.contract.catalog.spec import ONCE, READS, REPEATS, Parameters, ToolSpec, specs
from orchestrator_client.contract.record import Json
from orchestrator_client.contract.tool import Category

SERVERS = "mcp-server"
"""The tool."""


class ServerParameters(Parameters):
    action: str | None = None
    """Stands in the place of the step's own, where that is `execute`."""
    server_name: str = Field(validation_alias=AliasChoices("server_name", "server"))
    """A section `[mcp.<name>]` of orchestrator.toml."""
    server_config: Json = None
    """Not used: which programs a worker starts is not for a plan to say."""


class ServerToolParameters(ServerParameters):
    tool_name: str = Field(validation_alias=AliasChoices("tool_name", "mcp_tool"))
    tool_params: dict[str, Json] = Field(
        default_factory=dict, validation_alias=AliasChoices("tool_params", "arguments", "tool_arguments", "params")
    )


TOOLS: Mapping[str, ToolSpec] = specs(
    SERVERS,
    Category.MCP_INTEGRATION,
    ("connect", ServerParameters, "Reach an MCP server, and say what it has", READS),
    ("list_tools", ServerParameters, "List the tools of an MCP server", READS),
    ("execute_tool", ServerToolParameters, "Call a tool of an MCP server", ONCE),
    ("call_tool", ServerToolParameters, "Call a tool of an MCP server", ONCE),
    ("disconnect", ServerParameters, "End the session that an MCP server keeps for this run", REPEATS),
)
