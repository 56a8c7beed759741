"""Functions that the worker can import: installed beside it, or on its PYTHONPATH. A run's folder is never searched."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any

from orchestrator_client.contract.catalog import Parameters
from orchestrator_client.contract.catalog.code import PythonParameters
from orchestrator_client.contract.errors import ParametersInvalid, StepError, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.base import Tool, ToolContext, ToolResult
from orchestrator_worker.tools.jsonable import to_json_value

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def call(_context: ToolContext, parameters: PythonParameters) -> ToolResult | Awaitable[ToolResult]:
    """Call a function; where it is a coroutine function the result is to be awaited.

    Raises:
        ParametersInvalid: there is no such function, or it does not take these arguments.
        ToolFailed: it raised, or returned what JSON cannot say.
    """
    return _called(parameters.function, parameters.args, parameters.kwargs)


def by_keyword(path: str) -> Tool:
    """A tool that calls the function with all of the step's parameters as keyword arguments."""
    imported(path)

    def tool(_context: ToolContext, parameters: Parameters) -> ToolResult | Awaitable[ToolResult]:
        return _called(path, [], dict(parameters.model_extra or {}))

    return tool


def imported(path: str) -> Callable[..., Any]:
    """The callable at `package.module:function`.

    Raises:
        ParametersInvalid: the path is not of that form, or there is no such module or function.
        ToolFailed: the module raised while it was imported.
    """
    if not _PATH.fullmatch(path):
        raise ParametersInvalid(f"{path!r} names no function; write it as package.module:function")
    module_name, _, attributes = path.partition(":")
    found: Any = _module(module_name)
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise ParametersInvalid(f"{path!r}: module {module_name} has no {attributes!r}; check the spelling")
        found = getattr(found, name)
    if not callable(found):
        raise ParametersInvalid(f"{path!r} is a {type(found).__name__}, which cannot be called; name a function")
    return found  # type: ignore[no-any-return]


def _module(name: str) -> Any:
    """Import a module, telling apart that it is missing, that it misses another, and that it raises.

    Raises:
        ParametersInvalid: the module, or a package on the way to it, is not there.
        ToolFailed: it is there, but cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only the module itself or a package on its way: what it imports in turn is its own affair.
        if error.name and (name + ".").startswith(error.name + "."):
            raise ParametersInvalid(
                f"the worker has no module {error.name!r}; install it there or put it on the worker's PYTHONPATH"
            ) from error
        raise ToolFailed(f"importing {name} failed: {error}") from error
    except (Exception, SystemExit) as error:
        raise ToolFailed(f"importing {name} raised {type(error).__name__}: {error}") from error


def _called(path: str, args: list[Json], kwargs: dict[str, Json]) -> ToolResult | Awaitable[ToolResult]:
    """Call the function now; a coroutine is handed on, to be awaited on the worker's loop.

    `SystemExit` is caught too: a function that leaves must not take the worker with it.
    """
    function = imported(path)
    _check_arguments(path, function, args, kwargs)
    try:
        result = function(*args, **kwargs)
    except (Exception, SystemExit) as error:
        raise _raised(path, error) from error
    return _awaited(path, result) if inspect.isawaitable(result) else ToolResult(to_json_value(result))


async def _awaited(path: str, result: Awaitable[object]) -> ToolResult:
    """The same for a coroutine. A cancellation passes through, because it is the worker's."""
    try:
        value = await result
    except (Exception, SystemExit) as error:
        raise _raised(path, error) from error
    return ToolResult(to_json_value(value))


def _raised(path: str, error: BaseException) -> StepError:
    """What the function raised, as ours; an error of ours is passed as it is, so that a function can choose it."""
    return (
        error if isinstance(error, StepError) else ToolFailed(f"function {path} raised {type(error).__name__}: {error}")
    )


def _check_arguments(path: str, function: Callable[..., Any], args: list[Json], kwargs: dict[str, Json]) -> None:
    """Bind the arguments before the call, so that a `TypeError` from inside the function is not mistaken for theirs.

    Raises:
        ParametersInvalid: one is missing, unknown or given twice.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # Some builtins do not say what they take; calling them will tell.
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ParametersInvalid(f"{path}{signature} does not take these arguments: {error}") from None
