"""One registry for tools of every source: which tool a name means, what there is, and the call of one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from typing import cast

from orchestrator_client.contract.catalog import LANGCHAIN_PREFIX, MCP_PREFIX, PYTHON_PREFIX, TOOLS
from orchestrator_client.contract.errors import StepError
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.plugins import plugin_of
from orchestrator_client.contract.question import Question
from orchestrator_worker.tools.base import Source, Told, ToolContext, ToolEntry

_SOURCES: Mapping[str, str] = {
    PYTHON_PREFIX: "function",
    LANGCHAIN_PREFIX: "langchain",
    MCP_PREFIX: "mcp",
}
"""By the prefix of its tools' names, the module of a source; names without one are native, or a plugin's."""

NATIVE, PLUGIN = "native", "plugin"


def warm() -> None:
    """Import what most tools need. The children of this process need not then."""
    for module in (NATIVE, PLUGIN, _SOURCES[PYTHON_PREFIX]):
        _source(module)


def resolve(uses: str) -> ToolEntry:
    """The tool that a step's `uses` names.

    Raises:
        ParametersInvalid: there is no such tool.
        ToolFailed: there is one, and it cannot be loaded.
    """
    prefixed = next((module for prefix, module in _SOURCES.items() if uses.startswith(prefix)), None)
    # The catalogue comes first, so that a package cannot put itself in the place of a native tool.
    return _source(prefixed or (PLUGIN if uses not in TOOLS and plugin_of(uses) else NATIVE)).resolve(uses)


def listed() -> Iterator[ToolEntry | StepError]:
    """All tools that can be listed; in the place of what cannot be asked, the reason."""
    for module in (NATIVE, PLUGIN, *_SOURCES.values()):
        yield from _source(module).listed()


def invoke(uses: str, parameters: Mapping[str, Json], context: ToolContext) -> Told | Awaitable[Told]:
    """Check the rendered parameters and call the tool; what a coroutine tool returns is still to be awaited.

    Raises:
        ParametersInvalid: there is no such tool, or it does not take these parameters.
        ToolFailed: the tool ran and failed.
    """
    return call(resolve(uses), parameters, context)


def call(entry: ToolEntry, parameters: Mapping[str, Json], context: ToolContext) -> Told | Awaitable[Told]:
    """The same of a tool that is known.

    Raises:
        ParametersInvalid: it does not take these parameters.
        ToolFailed: it ran and failed.
    """
    started = time.monotonic()
    result = entry.function(context, entry.check(parameters))
    if isinstance(result, Awaitable):
        return _awaited(result, entry, started)
    return _signed(result, entry, started)


async def _awaited(result: Awaitable[Told], entry: ToolEntry, started: float) -> Told:
    return _signed(await result, entry, started)


def _signed(result: Told, entry: ToolEntry, started: float) -> Told:
    """The result with who was called and how long it took, by the monotonic clock."""
    if isinstance(result, Question):
        return result
    seconds = time.monotonic() - started
    return replace(result, tool=entry.info.name, source=entry.info.source, seconds=seconds)


def _source(module: str) -> Source:
    return cast("Source", import_module(f"orchestrator_worker.tools.sources.{module}"))
