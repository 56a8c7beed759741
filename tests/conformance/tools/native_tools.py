"""The suite's tools as the catalogue has them: a record of parameters and a function of the context and that record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from orchestrator_client.contract.catalog import Parameters
from orchestrator_worker.tools.base import ToolContext, ToolResult
from tests.conformance.tools import function_tools


class Echo(Parameters):
    text: str
    count: int = 1
    flag: bool = False
    rows: list[Any] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)


class Reason(Parameters):
    reason: str


class Folder(Parameters):
    folder: str


class Meeting(Parameters):
    folder: str
    name: str
    of: int


class Times(Parameters):
    times: int


class Size(Parameters):
    size: int


class Megabytes(Parameters):
    megabytes: int


RECORDS: Mapping[str, type[Parameters]] = {
    "echo": Echo,
    "report": Reason,
    "fail": Reason,
    "wait": Folder,
    "meet": Meeting,
    "tell": Times,
    "leave": Size,
    "large": Megabytes,
}


def echo(_context: ToolContext, parameters: Echo) -> ToolResult:
    return ToolResult(function_tools.echo(**parameters.model_dump()))


def report(_context: ToolContext, parameters: Reason) -> ToolResult:
    return ToolResult(function_tools.report(parameters.reason), success=False, error=parameters.reason)


def fail(_context: ToolContext, parameters: Reason) -> ToolResult:
    raise RuntimeError(parameters.reason)


def wait(_context: ToolContext, parameters: Folder) -> ToolResult:
    function_tools.wait(parameters.folder)
    return ToolResult()


def meet(_context: ToolContext, parameters: Meeting) -> ToolResult:
    return ToolResult(function_tools.meet(parameters.folder, parameters.name, parameters.of))


def tell(context: ToolContext, parameters: Times) -> ToolResult:
    return ToolResult(function_tools.tell(parameters.times, context))


def leave(context: ToolContext, parameters: Size) -> ToolResult:
    return function_tools.leave(parameters.size, context)


def large(_context: ToolContext, parameters: Megabytes) -> ToolResult:
    return ToolResult(function_tools.large(parameters.megabytes))
