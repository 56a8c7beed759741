"""What a function takes by name: its JSON Schema, and arguments checked and coerced to its annotations."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.coercion import coerced
from orchestrator_worker.tools.parameters import validated

NOTHING_FITS: dict[str, Json] = {"not": {}}
"""Schema of an argument whose type has no JSON form."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One function's."""

    record: type[BaseModel]
    """A field an argument, under the argument's name as its alias: a field may not be called `schema` or `_x`."""
    schema: dict[str, Json]
    result: dict[str, Json] | None
    context: str | None
    """The argument that gets the `ToolContext`."""

    def bound(self, parameters: Mapping[str, Json], tool: str) -> dict[str, Any]:
        """The parameters as keyword arguments; what was not given is left to the function's own defaults.

        Raises:
            ParametersInvalid: one is missing, unknown or does not fit.
        """
        record = validated(self.record, coerced(dict(parameters), self.schema), tool)
        given = {str(field.alias): name for name, field in type(record).model_fields.items()}
        named = {alias: getattr(record, name) for alias, name in given.items() if name in record.model_fields_set}
        return {**named, **(record.model_extra or {})}


def signature_of(function: Callable[..., Any], tool: str) -> Signature:
    """What a function takes.

    Raises:
        ParametersInvalid: it takes arguments that have no names.
    """
    try:
        return _remembered(function, tool)
    except TypeError:  # a callable object that cannot be hashed
        return _remembered.__wrapped__(function, tool)


@lru_cache(maxsize=512)
def _remembered(function: Callable[..., Any], tool: str) -> Signature:
    """By the function itself, so that a module that was loaded anew is looked at anew."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some builtins do not say what they take; calling them will tell
        return Signature(
            create_model("Arguments", __config__=ConfigDict(extra="allow")), {"type": "object"}, None, None
        )
    hints = _hints(function)
    context = next((p.name for p in parameters if hints.get(p.name) is ToolContext), None)
    taken = list(_named(parameters, context, tool))
    types = {p.name: hints.get(p.name, Any) for p in taken}
    wordless = {name for name, kind in types.items() if schema_of(kind) is None}
    record = _record(taken, types | dict.fromkeys(wordless, Any), any(p.kind is p.VAR_KEYWORD for p in parameters))
    schema = record.model_json_schema(schema_generator=_Schemas)
    schema.pop("title", None)
    schema.setdefault("properties", {}).update(dict.fromkeys(wordless, NOTHING_FITS))
    returned = hints.get("return", Any)
    result = None if returned in (Any, None, type(None), ToolResult) else schema_of(returned, "serialization")
    return Signature(record, schema, result, context)


def _record(taken: list[inspect.Parameter], types: Mapping[str, Any], takes_others: bool) -> type[BaseModel]:
    """The arguments as a record, see `Signature.record`."""
    fields: dict[str, Any] = {
        f"argument_{place}": (types[p.name], Field(alias=p.name, default=... if p.default is p.empty else p.default))
        for place, p in enumerate(taken)
    }
    config = ConfigDict(
        extra="allow" if takes_others else "forbid",
        coerce_numbers_to_str=True,
        field_title_generator=lambda name, field: str(getattr(field, "alias", None) or name),
    )
    return create_model("Arguments", __config__=config, **fields)


class _Schemas(GenerateJsonSchema):
    """Schemas that leave out a default which JSON cannot say."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic declares it


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations as types; those of none that cannot be resolved."""
    annotated: Any = function
    if isinstance(function, type):
        annotated = vars(function).get("__init__", function)
    elif not inspect.isroutine(function) and callable(function):
        annotated = getattr(function, "func", None) or type(function).__call__
    annotated = inspect.unwrap(annotated)
    found: dict[str, Any] = {}
    for name, written in getattr(annotated, "__annotations__", {}).items():
        one = SimpleNamespace(__annotations__={name: written})
        # An annotation is any expression; an argument whose own fails takes anything.
        with suppress(Exception):
            found |= typing.get_type_hints(one, getattr(annotated, "__globals__", {}), include_extras=True)
    return found


def _named(parameters: list[inspect.Parameter], context: str | None, tool: str) -> Iterator[inspect.Parameter]:
    """The arguments that can be given by name.

    Raises:
        ParametersInvalid: one that must be given cannot, or there are none but nameless ones.
    """
    nameless = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != context]
    must = [p for p in nameless if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    if must or (nameless and not named):
        raise ParametersInvalid(f"{tool} has arguments without names; give each a name")
    yield from named


def schema_of(kind: Any, mode: typing.Literal["validation", "serialization"] = "validation") -> dict[str, Json] | None:
    """JSON Schema of a type; None where it has none."""
    try:
        return TypeAdapter(kind).json_schema(mode=mode)
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError, TypeError, NameError):
        return None
