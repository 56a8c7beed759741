"""The tools of the catalogue. A tool's module is imported when the tool is first called, and not before."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any, cast

from orchestrator_client.contract.catalog import TOOLS, suggestion
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.tool import ToolInfo, ToolSource
from orchestrator_worker.tools.base import Tool, ToolContext, ToolEntry
from orchestrator_worker.tools.coercion import coerced
from orchestrator_worker.tools.parameters import validated

_ACTIONS: Mapping[str, str] = {
    "filesystem": "read write append copy move delete list exists",
    "http": "get head post put patch delete request",
    "terminal": "execute",
    "python": "call",
    "data-processing": "filter transform aggregate pivot convert profile merge clean",
    "validation": "validate",
    "python-executor": "execute",
    "mcp-memory": "store retrieve list clear delete",
    "mcp-server": "connect list_tools execute_tool call_tool disconnect",
    "report-generator": "generate",
    "task-delegation": "execute",
    "multi-model-routing": "execute",
    "visualization": "create_charts create_dashboard",
    "prompt-optimization": "execute",
    "debug": "log",
    "text": "count_words calculate echo",
    "web-search": "search",
    "headless-browser": "scrape extract search",
    "user-prompt": "execute",
    "approval-gate": "execute",
    "feedback-collection": "execute",
    "markdown-to-html": "convert",
}

_FUNCTIONS: Mapping[str, str] = {
    f"{tool}.{action}": f"orchestrator_worker.tools.{tool.replace('-', '_')}:{action}"
    for tool, actions in _ACTIONS.items()
    for action in actions.split()
} | {
    # `list` and `compile` would hide the builtins there.
    "filesystem.list": "orchestrator_worker.tools.filesystem:list_folder",
    "mcp-memory.list": "orchestrator_worker.tools.mcp_memory:list_keys",
    "pdf-compiler.compile": "orchestrator_worker.tools.pdf_compiler:compile_pdf",
}
"""By registry name, where the tool is: `module:function`."""


def listed() -> Iterator[ToolEntry]:
    """All of the catalogue."""
    return (_entry(name) for name in TOOLS)


def resolve(uses: str) -> ToolEntry:
    """A tool of the catalogue.

    Raises:
        ParametersInvalid: there is none of that name.
    """
    if uses not in TOOLS:
        near = suggestion(uses, TOOLS) or f"there are: {', '.join(TOOLS)}"
        raise ParametersInvalid(f"no tool {uses!r} on this worker; {near}")
    return _entry(uses)


@cache
def _entry(uses: str) -> ToolEntry:
    spec = TOOLS[uses]
    info = ToolInfo(
        name=uses,
        source=ToolSource.NATIVE,
        description=spec.description,
        parameters=spec.parameters.model_json_schema(by_alias=True),
        category=spec.category,
        read_only=spec.read_only,
        idempotent=spec.idempotent,
        level=spec.level,
    )
    return ToolEntry(info, partial(_checked, uses), partial(_called, uses))


def _checked(uses: str, parameters: Mapping[str, Json]) -> Any:
    given = coerced(dict(parameters), _entry(uses).info.parameters)
    return validated(TOOLS[uses].parameters, given, uses)


def _called(uses: str, context: ToolContext, parameters: Any) -> Any:
    return function_of(uses)(context, parameters)


@cache
def function_of(uses: str) -> Tool:
    """The function of a native tool; its module is imported on the first call, and remembered after it.

    A cold import of the http tool costs about 40 ms, which a worker of model steps need never pay.
    """
    module, _, function = _FUNCTIONS[uses].partition(":")
    return cast("Tool", getattr(importlib.import_module(module), function))
