"""LangChain tools of a project, as its author writes them for `langchain:tests.langchain_tools:<name>`."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_community.tools import RequestsGetTool
from langchain_community.tools.sql_database.tool import ListSQLDatabaseTool, QuerySQLDatabaseTool
from langchain_community.utilities import SQLDatabase
from langchain_community.utilities.requests import GenericRequestsWrapper
from langchain_core.tools import BaseTool, StructuredTool, tool

MADE: list[str] = []
"""Databases that were connected to, in this process."""


def query(uri: str) -> BaseTool:
    """A tool that is made with an object, which no plan can say."""
    MADE.append(uri)
    return QuerySQLDatabaseTool(db=SQLDatabase.from_uri(uri))


def several(uri: str) -> list[BaseTool]:
    database = SQLDatabase.from_uri(uri)
    return [QuerySQLDatabaseTool(db=database), ListSQLDatabaseTool(db=database)]


def fetch() -> BaseTool:
    return RequestsGetTool(requests_wrapper=GenericRequestsWrapper(), allow_dangerous_requests=True)


def dangerous(command: str) -> str:
    """A function that returns no tool, and so is never called."""
    MADE.append(command)
    return command


class Later(BaseTool):
    """A tool that is async alone, as its author says by refusing."""

    name: str = "later"
    description: str = "Add up, later"

    def _run(self, numbers: list[int]) -> int:
        raise NotImplementedError("async only")

    async def _arun(self, numbers: list[int]) -> int:
        await asyncio.sleep(0)
        return sum(numbers)


async def _plus_one(number: int) -> int:
    """Add one."""
    return number + 1


plus_one = StructuredTool.from_function(coroutine=_plus_one, name="plus_one")


@tool(response_format="content_and_artifact")
def chart(points: list[int]) -> tuple[str, dict[str, Any]]:
    """Draw a chart."""
    return f"{len(points)} points", {"points": points}


@tool(response_format="content_and_artifact")
def opaque() -> tuple[str, object]:
    """Leave what no JSON can say."""
    return "done", object()


@tool
def as_text(path: str) -> str:
    """Report failure as text, as LangChain's community tools do."""
    return f"Error: no such file or directory: {path}"


@tool
def untyped(what: str):  # type: ignore[no-untyped-def]
    """Return whatever is asked for."""
    return {"mapping": {"a": [1, "ä"]}, "list": [1, 2], "json": '{"a":1}', "text": "5"}[what]


by_schema = StructuredTool(
    name="by_schema",
    description="Takes what a JSON Schema says",
    args_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    func=lambda n: n * 2,
)
