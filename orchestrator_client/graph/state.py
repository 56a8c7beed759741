"""The state of a graph: its channels, as a TypedDict, dataclass or pydantic model declares them."""

from __future__ import annotations

import dataclasses
import inspect
import operator
import sys
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from orchestrator_client.contract.plan import Channel, Input, InputType, Json
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted

REDUCERS = ("last", "add", "append", "merge")
"""Reducers that have a name of their own."""

_OPERATORS: dict[Any, str] = {operator.add: "add", operator.iadd: "add", operator.or_: "merge", operator.ior: "merge"}
_TYPES: dict[Any, InputType] = {
    str: InputType.STRING,
    int: InputType.INTEGER,
    float: InputType.NUMBER,
    bool: InputType.BOOLEAN,
    **dict.fromkeys((list, tuple, set, frozenset), InputType.ARRAY),
    dict: InputType.OBJECT,
}
_EMPTY: dict[InputType, Json] = {
    InputType.STRING: "",
    InputType.INTEGER: 0,
    InputType.NUMBER: 0,
    InputType.ARRAY: [],
    InputType.OBJECT: {},
}
"""What a reducer starts from where the state gives no default."""


class NotImportableError(ValueError):
    """A worker could not import this function by its name; the message says what to do."""


class _Field(NamedTuple):
    """One field of a state class, whatever kind of class it is."""

    annotation: Any
    default: Json = None
    metadata: tuple[Any, ...] = ()


def channels(state: type | None, problems: Problems) -> dict[str, Channel]:
    """The channels of a state; plain fields keep the last update."""
    return {name: _channel(name, field, problems) for name, field in _fields(state, problems).items()}


def inputs(state: type | None, channels: dict[str, Channel]) -> dict[str, Input]:
    """Every channel as an input of the plan, with the channel's default."""
    fields = _fields(state, Problems("graph"))
    return {
        name: Input(type=_type(fields[name].annotation), default=channel.default, choices=_choices(fields[name]))
        for name, channel in channels.items()
    }


def import_path(function: Any) -> str:
    """`package.module:function`, by which a worker finds the function.

    Raises:
        NotImportableError: it is a lambda, defined inside another function or in the script being run, or no function.
    """
    name, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    if not callable(function) or not isinstance(name, str) or not isinstance(module, str):
        raise NotImportableError(f"{_shown(function)} is not a function that can be imported by name")
    if "<lambda>" in name:
        raise NotImportableError("a lambda cannot be imported by a worker; give it a name with def, in a module")
    if "<locals>" in name:
        raise NotImportableError(f"{_shown(function)} is defined inside a function; move it to the top of its module")
    if module == "__main__":
        raise NotImportableError(f"{_shown(function)} is defined in the script itself; move it to a module beside it")
    if _found(module, name) is not function:
        raise NotImportableError(f"{module}:{name} is something else than {_shown(function)}; give each its own name")
    return f"{module}:{name}"


def _found(module: str, name: str) -> Any:
    """What a module has under a dotted name."""
    try:
        return operator.attrgetter(name)(sys.modules[module])
    except (AttributeError, KeyError):
        return None


def _shown(function: Any) -> str:
    """A function or class as messages name it."""
    return quoted(getattr(function, "__qualname__", None) or type(function).__name__)


def _fields(state: type | None, problems: Problems) -> dict[str, _Field]:
    """Name -> field of the state class; what cannot be a state is added."""
    if state is None:
        return {}
    if isinstance(state, type) and issubclass(state, BaseModel):
        return {name: _of_model(field) for name, field in state.model_fields.items()}
    if not (is_typeddict(state) or dataclasses.is_dataclass(state)):
        message = f"state {_shown(state)} declares no channels"
        problems.error(Code.BAD_STATE, message, remedy="make it a TypedDict, a dataclass or a pydantic model")
        return {}
    try:
        hints = get_type_hints(state, include_extras=True)
    except NameError as error:
        remedy = "define the types of the state at the top of a module"
        problems.error(Code.BAD_STATE, f"state {_shown(state)}: {error}", remedy=remedy)
        return {}
    defaults = _defaults(state)
    return {name: _Field(hint, defaults.get(name), _metadata(hint)) for name, hint in hints.items()}


def _of_model(field: Any) -> _Field:
    """A field of a pydantic model, its default made if a factory gives it."""
    default = field.get_default(call_default_factory=True)
    return _Field(field.annotation, None if default is PydanticUndefined else default, tuple(field.metadata))


def _defaults(state: Any) -> dict[str, Any]:
    """Defaults of a dataclass; a TypedDict has none."""
    if not dataclasses.is_dataclass(state):
        return {}
    found: dict[str, Any] = {}
    for field in dataclasses.fields(state):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return found


def _metadata(hint: Any) -> tuple[Any, ...]:
    """Extras of `Annotated`, also inside `Required` and `NotRequired`."""
    while hint is not None:
        if get_origin(hint) is Annotated:
            return tuple(get_args(hint)[1:])
        wrapped = get_args(hint) if str(get_origin(hint)).startswith(("typing.Required", "typing.NotRequired")) else ()
        hint = wrapped[0] if wrapped else None
    return ()


def _channel(name: str, field: _Field, problems: Problems) -> Channel:
    """One channel. A reducer starts from the empty value of the type where the state gives no default."""
    reducers = [reducer for extra in field.metadata if (reducer := _reducer(name, extra, problems)) is not None]
    if len(reducers) > 1:
        problems.error(Code.BAD_REDUCER, f"channel {quoted(name)} has {len(reducers)} reducers", remedy="keep one")
    reducer = reducers[0] if reducers else "last"
    default = field.default
    if default is None and reducer != "last":
        default = _EMPTY.get(_type(field.annotation))
    return Channel(reducer=reducer, default=default)


def _reducer(channel: str, extra: Any, problems: Problems) -> str | None:
    """The reducer that an extra of `Annotated` names, or None where the extra is about something else."""
    if isinstance(extra, str):
        if extra not in REDUCERS and (remedy := problems.did_you_mean(extra, REDUCERS)):
            problems.error(Code.BAD_REDUCER, f"channel {quoted(channel)}: no reducer {quoted(extra)}", remedy=remedy)
        return extra if extra in REDUCERS else None
    if not isinstance(extra, Callable):  # type: ignore[arg-type]
        return None
    if extra in _OPERATORS:
        return _OPERATORS[extra]
    if not (inspect.isroutine(extra) or isinstance(extra, type)):
        return None
    try:
        return import_path(extra)
    except NotImportableError as error:
        problems.error(Code.NOT_IMPORTABLE, f"reducer of channel {quoted(channel)}: {error}")
        return None


def _type(annotation: Any) -> InputType:
    """The type that an input of this annotation has; `any` where JSON knows no such type."""
    origin = get_origin(annotation)
    if origin is Annotated or str(origin).startswith(("typing.Required", "typing.NotRequired")):
        return _type(get_args(annotation)[0])
    if origin in (Union, types.UnionType, Literal):
        return InputType.ANY
    kind = origin or annotation
    if is_typeddict(kind) or dataclasses.is_dataclass(kind):
        return InputType.OBJECT
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return InputType.OBJECT
    return _TYPES.get(kind, _abstract(kind))


def _abstract(kind: Any) -> InputType:
    """Abstract collections: a Mapping is an object, a Sequence an array."""
    if not isinstance(kind, type) or kind is object:
        return InputType.ANY
    if issubclass(dict, kind):
        return InputType.OBJECT if not issubclass(list, kind) else InputType.ANY
    return InputType.ARRAY if issubclass(list, kind) else InputType.ANY


def _choices(field: _Field) -> tuple[Json, ...] | None:
    """The values of a `Literal`."""
    annotation = field.annotation
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_args(annotation) if get_origin(annotation) is Literal else None
