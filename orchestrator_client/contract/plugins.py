"""Installed packages that add tools, by their entry points. Finding them loads none of their code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

GROUP = "orchestrator.tools"
"""`<tool> = "package.module:function"`, or `<prefix> = "package.module"` for all that the module declares."""


@cache
def plugins() -> Mapping[str, EntryPoint]:
    """The entry points of this process's environment by name, read once; of two of one name, the first found."""
    return {point.name: point for point in reversed(tuple(entry_points(group=GROUP)))}


def plugin_of(name: str) -> EntryPoint | None:
    """The entry point that a tool's name belongs to: its own, or that of a module with this prefix."""
    module = plugins().get(name.rpartition(".")[0])
    return plugins().get(name) or (module if module and not module.attr else None)
