"""Which function performs which tool. A tool's module is imported when the tool is first called, and not before."""

from __future__ import annotations

import importlib
import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from pydantic import ConfigDict, ValidationError

from orchestrator_client.contract.catalog import PYTHON_PREFIX, TOOLS, Parameters, ToolSpec, suggestion
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.base import Tool, ToolContext, ToolResult

SHOWN_PROBLEMS = 5
"""Problems of one call that its error names."""

SHOWN_CHARACTERS = 60
"""Of a refused value: enough to recognise it, too little to leak a document into the log."""


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """A tool that can be called: what the catalogue says of it, and what performs it."""

    spec: ToolSpec
    function: Tool


class KeywordArguments(Parameters):
    """Parameters of a `python:` tool: whatever the step gives, passed on by name."""

    model_config = ConfigDict(extra="allow", frozen=True)


_ACTIONS: Mapping[str, str] = {
    "filesystem": "read write append copy move delete list exists",
    "http": "get head post put patch delete request",
    "terminal": "execute",
    "python": "call",
    "data-processing": "filter transform aggregate pivot convert profile merge clean",
    "validation": "validate",
    "python-executor": "execute",
    "mcp-memory": "store retrieve list clear delete",
    "report-generator": "generate",
    "task-delegation": "execute",
    "prompt-optimization": "execute",
    "debug": "log",
    "text": "count_words calculate",
    "web-search": "search",
    "headless-browser": "scrape extract search",
}

_FUNCTIONS: Mapping[str, str] = {
    f"{tool}.{action}": f"orchestrator_worker.tools.{tool.replace('-', '_')}:{action}"
    for tool, actions in _ACTIONS.items()
    for action in actions.split()
} | {
    # `list` would hide the builtin there.
    "filesystem.list": "orchestrator_worker.tools.filesystem:list_folder",
    "mcp-memory.list": "orchestrator_worker.tools.mcp_memory:list_keys",
}
"""By registry name, where the tool is: `module:function`."""


def resolve(uses: str) -> ToolEntry:
    """The tool that a step's `uses` names: a native one, or a function as `python:package.module:function`.

    Raises:
        ParametersInvalid: there is no such tool, or the function cannot be imported.
    """
    if uses.startswith(PYTHON_PREFIX):
        return _function_tool(uses)
    if uses not in TOOLS:
        near = suggestion(uses, TOOLS) or f"there are: {', '.join(TOOLS)}"
        raise ParametersInvalid(f"no tool {uses!r} on this worker; {near}")
    return ToolEntry(TOOLS[uses], _native(uses))


def invoke(uses: str, parameters: Mapping[str, Json], context: ToolContext) -> ToolResult | Awaitable[ToolResult]:
    """Check the rendered parameters and call the tool; what a coroutine tool returns is still to be awaited.

    Raises:
        ParametersInvalid: there is no such tool, or it does not take these parameters.
        ToolFailed: the tool ran and failed.
    """
    entry = resolve(uses)
    return entry.function(context, checked(entry.spec, parameters))


def checked(spec: ToolSpec, parameters: Mapping[str, Json]) -> Parameters:
    """The parameters as the tool's record.

    Raises:
        ParametersInvalid: one is missing or of the wrong type; the message names each, as found and as allowed.
    """
    try:
        return spec.parameters.model_validate(dict(parameters))
    except ValidationError as error:
        # Two members of a union report one parameter twice, so keyed by parameter.
        problems = {str(problem["loc"][0]): _problem(cast("Any", problem)) for problem in reversed(error.errors())}
    shown = "; ".join(list(reversed(problems.values()))[:SHOWN_PROBLEMS])
    raise ParametersInvalid(f"{spec.name}: {shown}; it takes {_taken(spec)}") from None


@cache
def _native(uses: str) -> Tool:
    """The function of a native tool; its module is imported on the first call, and remembered after it.

    A cold import of the http tool costs about 40 ms, which a worker of model steps need never pay.
    """
    module, _, function = _FUNCTIONS[uses].partition(":")
    return cast("Tool", getattr(importlib.import_module(module), function))


def _function_tool(uses: str) -> ToolEntry:
    """An entry for a `python:` tool. Not remembered: a worker's modules may be replaced under development.

    Raises:
        ParametersInvalid: there is no such function.
    """
    from orchestrator_worker.tools.python import by_keyword

    path = uses.removeprefix(PYTHON_PREFIX)
    return ToolEntry(ToolSpec(uses, KeywordArguments, f"Call {path}"), by_keyword(path))


def _problem(problem: Mapping[str, Any]) -> str:
    """One problem as pydantic found it, in our words: what was given, and what would have been taken.

    A problem inside a container names its key or index; members of a union name nothing, since plans know no types.
    """
    place = str(problem["loc"][0]) + "".join(f"[{part!r}]" for part in problem["loc"][1:2] if problem["loc"][2:])
    if problem["type"] == "missing":
        return f"parameter '{place}' is required, and was not given"
    return f"parameter '{place}' was {_shown(problem['input'])}: {problem['msg']}"


def _shown(value: Json) -> str:
    """Scalars abbreviated; of containers only the type, because they may hold what no log should."""
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _taken(spec: ToolSpec) -> str:
    """The names that a tool takes, in the order of its record; aliases of older plans are not advertised."""
    fields = spec.parameters.model_fields
    names = [name.removesuffix("_") + ("" if field.is_required() else "?") for name, field in fields.items()]
    return f"{', '.join(names)} (? marks what may be left out)"
