"""Functions as tools, by import path: `python:package.module:function`. Installed packages' too, see `plugin`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from orchestrator_client.contract.catalog import PYTHON_PREFIX
from orchestrator_client.contract.tool import ToolInfo, ToolSource
from orchestrator_worker.tools.base import Told, ToolContext, ToolEntry
from orchestrator_worker.tools.declaration import UNDECLARED, declaration_of
from orchestrator_worker.tools.python import imported, performed
from orchestrator_worker.tools.signature import Signature, signature_of

DESCRIPTION_CHARACTERS = 1000
"""Of a docstring, that is shown and that a model is told."""


def listed() -> Iterator[ToolEntry]:
    """Nothing: whatever can be imported can be called."""
    return iter(())


def resolve(uses: str) -> ToolEntry:
    """The function. Not remembered: a worker's modules may be replaced under development.

    Raises:
        ParametersInvalid: there is no such function, or it takes arguments that have no names.
        ToolFailed: its module cannot be imported.
    """
    return entry_of(uses, ToolSource.PYTHON, imported(uses.removeprefix(PYTHON_PREFIX)))


def entry_of(name: str, source: ToolSource, function: Callable[..., Any]) -> ToolEntry:
    """A function as a tool of that name.

    Raises:
        ParametersInvalid: it takes arguments that have no names.
    """
    said = declaration_of(function) or UNDECLARED
    signature = signature_of(function, name)
    described = said.description or inspect.getdoc(function) or f"Call {name.removeprefix(PYTHON_PREFIX)}"
    info = ToolInfo(
        name=name,
        source=source,
        description=described[:DESCRIPTION_CHARACTERS],
        parameters=signature.schema,
        result=signature.result,
        category=said.category,
        tags=said.tags,
        read_only=said.read_only,
        idempotent=said.idempotent,
        level=said.level,
    )
    return ToolEntry(info, partial(signature.bound, tool=name), partial(_called, name, function, signature))


def _called(
    name: str, function: Callable[..., Any], signature: Signature, context: ToolContext, arguments: dict[str, Any]
) -> Told | Awaitable[Told]:
    given = arguments if signature.context is None else {**arguments, signature.context: context}
    return performed(name.removeprefix(PYTHON_PREFIX), function, (), given)
