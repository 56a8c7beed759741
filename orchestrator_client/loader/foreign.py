"""Tools from outside the catalogue, by the form of their names: what can be known of them without a worker."""

from __future__ import annotations

import re
from collections.abc import Mapping as Table

from orchestrator_client.contract import catalog
from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.plugins import plugin_of
from orchestrator_client.contract.project import load_project
from orchestrator_client.loader import dialect
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.text.nodes import Mapping, Scalar

_PATH = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
_FORMS: Table[str, tuple[re.Pattern[str], str]] = {
    catalog.PYTHON_PREFIX: (re.compile(_PATH), "no function; write python:package.module:function"),
    catalog.LANGCHAIN_PREFIX: (
        re.compile(rf"{_PATH}(/\S+)?"),
        "no tool of LangChain; write langchain:package.module:Class, or langchain:package.module:Toolkit/tool",
    ),
    catalog.MCP_PREFIX: (re.compile(r"[^/\s]+/\S+"), "no tool of an MCP server; write mcp:server/tool"),
}
"""By prefix: the form of what stands behind it, and the words for what has not that form."""

_PLUGIN = re.compile(r"[A-Za-z][\w-]*(\.[A-Za-z][\w-]*)+")


def is_function(text: str) -> bool:
    """Whether a text names something importable, as `python:package.module:name`."""
    return text.strip().startswith(catalog.PYTHON_PREFIX) and named(text)


def named(text: str) -> bool:
    """Whether a text names a tool by a prefix and what belongs behind it, or one of an installed package."""
    prefix = _prefix(text)
    if prefix is None:
        point = plugin_of(text.strip())
        # A module's own name is none of a tool.
        return (
            text.strip() not in catalog.TOOLS and point is not None and bool(point.attr or point.name != text.strip())
        )
    return _FORMS[prefix][0].fullmatch(text.strip().removeprefix(prefix)) is not None


def refused(text: str, at: Place, problems: Problems) -> bool:
    """Whether a text has a prefix, and behind it not what belongs there: then the reason is added."""
    prefix = _prefix(text)
    if prefix is None or named(text):
        return False
    said, _, remedy = _FORMS[prefix][1].partition("; ")
    problems.error(Code.UNKNOWN_TOOL, f"{quoted(text)} names {said}", at, remedy)
    return True


def check_server(text: str, at: Place, problems: Problems) -> None:
    """Warn of an MCP server that the configuration here does not declare, where it declares others."""
    if not text.strip().startswith(catalog.MCP_PREFIX):
        return
    server, _, _ = text.strip().removeprefix(catalog.MCP_PREFIX).partition("/")
    declared = _servers()
    if declared and server not in declared:
        remedy = problems.did_you_mean(server, declared) or f"servers: {', '.join(sorted(declared))}"
        message = f"orchestrator.toml has no section [mcp.{server}]; a worker needs one"
        problems.warn(Code.UNCHECKED_TOOL, message, at, remedy)


def warn_of_config(parameters: Mapping, problems: Problems) -> None:
    """Warn where a step says how its MCP server is started, and the configuration here does not."""
    server = parameters.get("server_name") or parameters.get("server")
    name = server.text.strip() if isinstance(server, Scalar) else "…"
    if "server_config" in parameters.entries and name not in _servers():
        message = f"'server_config' is not used: a worker starts what its orchestrator.toml says of [mcp.{name}]"
        remedy = "declare the server there, with the same command and args"
        problems.warn(Code.NO_EFFECT, message, parameters.place_of("server_config"), remedy)


def _servers() -> frozenset[str]:
    """The MCP servers of the configuration that is read here. One that cannot be read is reported by who needs it."""
    try:
        return frozenset(load_project().mcp)
    except ConfigInvalid:
        return frozenset()


def may_be_plugin(text: str, at: Place, problems: Problems) -> bool:
    """Whether a worker may have a plugin of this name, though this machine has not: then that is a warning.

    A name that comes near one of the catalogue's is a slip of the pen, and none of a plugin.
    """
    tool = dialect.canonical_tool(text.partition(".")[0])
    known = dialect.tools() | dialect.TOOLS_LATER.keys() | catalog.MODEL_TOOLS.keys()
    if not _PLUGIN.fullmatch(text.strip()) or tool in known or problems.did_you_mean(tool, known):
        return False
    message = f"no tool {quoted(text)} is installed here; a worker needs a plugin that has it"
    problems.warn(Code.UNCHECKED_TOOL, message, at)
    return True


def _prefix(text: str) -> str | None:
    return next((prefix for prefix in _FORMS if text.strip().startswith(prefix)), None)
