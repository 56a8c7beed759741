"""Tools in whose middle a test does something: it sets `in_the_middle`."""

from __future__ import annotations

from collections.abc import Callable

from langchain_core.tools import StructuredTool

from orchestrator_worker.tools import tool


def _nothing() -> None: ...


in_the_middle: Callable[[], None] = _nothing


def undeclared() -> str:
    in_the_middle()
    return "done"


@tool
def once() -> str:
    """May not be done twice."""
    return undeclared()


@tool(idempotent=True)
def again() -> str:
    """May be done twice."""
    return undeclared()


@tool(read_only=True)
async def looks() -> str:
    """Changes nothing."""
    return undeclared()


chained = StructuredTool.from_function(undeclared, description="As LangChain has it")
chained_again = StructuredTool.from_function(undeclared, description="The same", metadata={"idempotent": True})
