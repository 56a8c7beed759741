"""Functions that the worker can import: installed beside it, or on its PYTHONPATH. A run's folder is never searched."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator_client.contract.catalog.code import PythonParameters
from orchestrator_client.contract.errors import ParametersInvalid, StepError, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.question import Question
from orchestrator_worker.tools.base import Told, ToolContext, ToolResult
from orchestrator_worker.tools.jsonable import to_json_value

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def call(_context: ToolContext, parameters: PythonParameters) -> Told | Awaitable[Told]:
    """Call a function; where it is a coroutine function the result is to be awaited.

    Raises:
        ParametersInvalid: there is no such function, or it does not take these arguments.
        ToolFailed: it raised, or returned what JSON cannot say.
    """
    function = imported(parameters.function)
    _check_arguments(parameters.function, function, parameters.args, parameters.kwargs)
    # A node of a graph returns an update of its state, which may have a channel of the name `success`.
    return performed(parameters.function, function, parameters.args, parameters.kwargs, wordless=False)


def imported(path: str) -> Callable[..., Any]:
    """The callable at `package.module:function`.

    Raises:
        ParametersInvalid: the path is not of that form, or there is no such module or function.
        ToolFailed: the module raised while it was imported.
    """
    found = named(path)
    if not callable(found):
        raise ParametersInvalid(f"{path!r} is a {type(found).__name__}, which cannot be called; name a function")
    return found  # type: ignore[no-any-return]


def named(path: str) -> Any:
    """Whatever is at `package.module:name`.

    Raises:
        ParametersInvalid: the path is not of that form, or there is no such module or name.
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
    return found


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


def performed(
    path: str, function: Callable[..., Any], args: Sequence[Json], kwargs: Mapping[str, Any], wordless: bool = True
) -> Told | Awaitable[Told]:
    """Call the function now; a coroutine is handed on, to be awaited on the worker's loop.

    `wordless` says whether a mapping reports failure by `success: false` alone, or only with an `error` beside it.
    `SystemExit` is caught too: a function that leaves must not take the worker with it.

    Raises:
        ToolFailed: it raised, or returned what JSON cannot say.
    """
    try:
        returned = function(*args, **kwargs)
    except (Exception, SystemExit) as error:
        raise _raised(path, error) from error
    return _awaited(path, returned, wordless) if inspect.isawaitable(returned) else _told(returned, wordless)


async def _awaited(path: str, returned: Awaitable[object], wordless: bool) -> Told:
    """The same for a coroutine. A cancellation passes through, because it is the worker's."""
    try:
        value = await returned
    except (Exception, SystemExit) as error:
        raise _raised(path, error) from error
    return _told(value, wordless)


def _told(value: object, wordless: bool) -> Told:
    """What a function returned, as a result; a mapping may report failure, and a question is passed on."""
    if isinstance(value, Question):
        return value
    if isinstance(value, ToolResult):
        return replace(value, output=to_json_value(value.output))
    output = to_json_value(value)
    if isinstance(output, dict) and output.get("success") is False and (wordless or "error" in output):
        error = output.get("error")
        return ToolResult(output, success=False, error=None if error is None else str(error))
    return ToolResult(output)


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
