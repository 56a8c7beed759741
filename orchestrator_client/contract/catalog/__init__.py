"""The tools and model actions that every worker has: their names, their parameters and what may be done twice.

A plan is checked against these records before it is submitted, and a worker checks the rendered parameters against the
same records before it calls anything. Parameters that a record does not name are ignored, as existing files expect;
`orchestrator validate` warns of them. One file a family of tools; `spec` has what is said of each.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from orchestrator_client.contract.catalog import aids, code, data, documents, files, people, servers, web
from orchestrator_client.contract.catalog.models import ACTION_ALIASES, MODEL_ACTIONS, MODEL_TOOLS
from orchestrator_client.contract.catalog.spec import Parameters, ToolSpec
from orchestrator_client.contract.patterns import ALIASES
from orchestrator_client.contract.plugins import plugin_of

__all__ = [
    "ACTION_ALIASES",
    "ATTEMPTS_IF_REPEATABLE",
    "LANGCHAIN_PREFIX",
    "MCP_PREFIX",
    "MODEL_ACTIONS",
    "MODEL_TOOLS",
    "PYTHON_PREFIX",
    "TOOLS",
    "TOOL_ACTIONS",
    "TOOL_ALIASES",
    "UNKNOWN",
    "Parameters",
    "ToolSpec",
    "actions_of",
    "declares_itself",
    "default_action",
    "idempotent",
    "suggestion",
]

TOOLS: Mapping[str, ToolSpec] = {
    **files.TOOLS,
    **web.TOOLS,
    **code.TOOLS,
    **data.TOOLS,
    **documents.TOOLS,
    **aids.TOOLS,
    **people.TOOLS,
    **servers.TOOLS,
}
"""By registry name, `<tool>.<action>`."""

TOOL_ALIASES: Mapping[str, str] = ALIASES

TOOL_ACTIONS: Mapping[str, str] = {
    "count_words": "text.count_words",
    "calculate": "text.calculate",
    **dict.fromkeys(("echo", "print", "display", "show", "output"), "text.echo"),
}
"""Actions that existing files name without a tool, to the tool's registry name."""

UNKNOWN = "unknown"
"""What a step uses whose action is words that name none: it fails, so that its error handlers have their turn."""

PYTHON_PREFIX = "python:"
"""`tool: python:package.module:function` calls the function with the step's parameters as keyword arguments."""

LANGCHAIN_PREFIX = "langchain:"
"""`tool: langchain:package.module:Class`: a LangChain tool by its import path."""

MCP_PREFIX = "mcp:"
"""`tool: mcp:server/tool`: a tool of a server that the project declares."""

ATTEMPTS_IF_REPEATABLE = 3
"""Attempts of a step that may be done twice and whose plan does not say."""

LOST_ATTEMPTS = 3
"""Attempts of a step whose workers die under it. More would let one poisonous step take down worker after worker."""


def default_action(tool: str) -> str | None:
    """The one action of a tool that has only one."""
    actions = actions_of(tool)
    return actions[0] if len(actions) == 1 else None


def actions_of(tool: str) -> list[str]:
    """Actions of a tool, without its name; empty where there is no such tool."""
    return [name.rpartition(".")[2] for name in TOOLS if name.rpartition(".")[0] == tool]


def idempotent(uses: str) -> bool:
    """Whether a tool step may be done twice. Unknown tools may not."""
    spec = TOOLS.get(uses)
    return spec is not None and spec.idempotent


def declares_itself(uses: str) -> bool:
    """Whether only a worker that has loaded a tool knows what may be done with it: a tool of no catalogue."""
    return uses not in TOOLS and (":" in uses or plugin_of(uses) is not None)


def suggestion(word: str, known: Any) -> str:
    """`did you mean 'x'?`, or nothing where no known word comes near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else ""
