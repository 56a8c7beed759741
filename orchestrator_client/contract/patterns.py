"""Patterns by which fleets and plans name tools."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

ALIASES = {"file": "filesystem", "http-client": "http", "external-api": "http", "process": "data-processing"} | {
    "validate": "validation"
}
"""Names of tools in existing files, to those of the catalogue."""


def fits(uses: str, patterns: Iterable[str]) -> bool:
    """Whether a tool's registry name is meant by one of the patterns: a name, a tool with all its actions, or a glob.

    `terminal` means `terminal.execute`, `http.*` all of http, `python:package.*` functions below a package.
    """
    tool = uses if ":" in uses else uses.rpartition(".")[0]
    return any(fnmatchcase(name, pattern) for pattern in map(_canonical, patterns) for name in (uses, tool))


def _canonical(pattern: str) -> str:
    """A pattern with the catalogue's name of its tool."""
    if ":" in pattern:
        return pattern
    tool, dot, action = pattern.partition(".")
    tool = tool.replace("_", "-")
    return f"{ALIASES.get(tool, tool)}{dot}{action}"
