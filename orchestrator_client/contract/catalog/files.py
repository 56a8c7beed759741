"""Tools for files."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AliasChoices, Field

from orchestrator_client.contract.catalog.spec import ONCE, READS, REPEATS, Parameters, ToolSpec, specs
from orchestrator_client.contract.record import Json
from orchestrator_client.contract.tool import Category


class PathParameters(Parameters):
    path: str


class WriteParameters(PathParameters):
    content: Json = ""
    """Text; anything else is written as JSON."""


class TransferParameters(Parameters):
    source: str = Field(validation_alias=AliasChoices("source", "path", "src"))
    destination: str = Field(validation_alias=AliasChoices("destination", "dest", "target"))


class ListParameters(Parameters):
    path: str = "."
    pattern: str = "*"
    """Glob, matched against names; `**/*.py` descends."""


TOOLS: Mapping[str, ToolSpec] = specs(
    "filesystem",
    Category.SYSTEM,
    ("read", PathParameters, "Read a text file", READS),
    ("write", WriteParameters, "Write a file, creating its folders", REPEATS),
    ("append", WriteParameters, "Append to a file, creating it", ONCE),
    ("copy", TransferParameters, "Copy a file", REPEATS),
    ("move", TransferParameters, "Move or rename a file", ONCE),
    ("delete", PathParameters, "Delete a file, or an empty folder", ONCE),
    ("list", ListParameters, "List a folder", READS),
    ("exists", PathParameters, "Say whether a path exists, and what it is", READS),
)
