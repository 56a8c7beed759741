"""Tools that installed packages add by entry points of the group `orchestrator.tools`.

An entry point names a function, which is then the tool of the entry point's name; or a module, whose functions that
are declared with `@tool` are then the tools `<entry point>.<function>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

from orchestrator_client.contract.catalog import TOOLS, suggestion
from orchestrator_client.contract.errors import ParametersInvalid, StepError, ToolFailed
from orchestrator_client.contract.plugins import plugin_of, plugins
from orchestrator_client.contract.tool import ToolSource
from orchestrator_worker.tools.base import ToolEntry
from orchestrator_worker.tools.declaration import declaration_of
from orchestrator_worker.tools.sources.function import entry_of


def listed() -> Iterator[ToolEntry | StepError]:
    """All tools of all packages; of a package that cannot be loaded, why."""
    for point in plugins().values():
        try:
            functions = _functions(point)
        except StepError as error:
            yield error
            continue
        for name, function in functions.items():
            if name in TOOLS:
                yield ParametersInvalid(f"plugin {point.name!r}: the catalogue has a tool {name!r} already; rename it")
            else:
                yield entry_of(name, ToolSource.PLUGIN, function)


def resolve(uses: str) -> ToolEntry:
    """A tool of an installed package.

    Raises:
        ParametersInvalid: no package has it.
        ToolFailed: its package cannot be loaded.
    """
    point = plugin_of(uses)
    if point is None:
        raise ParametersInvalid(f"no installed package has a tool {uses!r}")
    functions = _functions(point)
    if uses not in functions:
        near = suggestion(uses, functions) or f"it has: {', '.join(functions) or 'none'}"
        raise ParametersInvalid(f"plugin {point.name!r} has no tool {uses!r}; {near}")
    return entry_of(uses, ToolSource.PLUGIN, functions[uses])


def _functions(point: EntryPoint) -> dict[str, Callable[..., Any]]:
    """The functions behind an entry point, by the names of their tools.

    Raises:
        ToolFailed: it cannot be loaded, or is neither a function nor a module.
    """
    try:
        loaded: Any = point.load()
    except Exception as error:
        raise ToolFailed(f"plugin {point.name!r} ({point.value}) cannot be loaded: {error!r}", False) from error
    if isinstance(loaded, ModuleType):
        declared = {name: declaration_of(function) for name, function in vars(loaded).items()}
        return {f"{point.name}.{said.name or name}": vars(loaded)[name] for name, said in declared.items() if said}
    if not callable(loaded):
        raise ToolFailed(f"plugin {point.name!r} ({point.value}) is a {type(loaded).__name__}; name a function", False)
    return {point.name: loaded}
