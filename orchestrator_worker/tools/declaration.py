"""What the author of a function says of it as a tool, beside what its signature and docstring say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from orchestrator_client.contract.level import Level
from orchestrator_client.contract.tool import Category

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__orchestrator_tool__"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One function's."""

    name: str = ""
    """Within its module's tools; empty: the function's own."""
    description: str = ""
    """Empty: the docstring."""
    category: Category = Category.CUSTOM
    tags: tuple[str, ...] = ()
    read_only: bool = False
    idempotent: bool = False
    level: Level = Level.TRUSTED


UNDECLARED = Declaration()
"""Of a function whose author said nothing: it may touch everything, and may not be done twice."""


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    category: Category | str = Category.CUSTOM,
    tags: Iterable[str] = (),
    read_only: bool = False,
    idempotent: bool = False,
    level: Level | str = Level.TRUSTED,
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    category: Category | str = Category.CUSTOM,
    tags: Iterable[str] = (),
    read_only: bool = False,
    idempotent: bool = False,
    level: Level | str = Level.TRUSTED,
) -> F | Callable[[F], F]:
    """Declare a function, plain or `async`, to be a tool: `@tool`, or `@tool(category="data", read_only=True)`.

    Its annotations become the schema of its parameters and its docstring the description; an argument annotated with
    `ToolContext` is given by the worker. The function itself is unchanged.

    Raises:
        ValueError: there is no such category or level.
    """
    idempotent = idempotent or read_only
    declared = Declaration(name, description, Category(category), tuple(tags), read_only, idempotent, Level(level))

    def declare(function: F) -> F:
        setattr(function, _MARK, declared)
        return function

    return declare if function is None else declare(function)


def declaration_of(function: Any) -> Declaration | None:
    """What was declared of a function; None where nothing was."""
    found = getattr(function, _MARK, None)
    return found if isinstance(found, Declaration) else None
