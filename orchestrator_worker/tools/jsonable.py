"""Python values as JSON: what can be said is said, and what cannot is named by its place and type."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.plan import Json

DEPTH = 200
"""Nesting of mappings and lists in a value. Far above real data, and below where Python's own JSON gives up."""

INTEGER_BITS = 4096
"""Size of an integer. Python refuses to print those above about 14,000 bits."""


class _NotJson(Exception):
    """Carries the reason; each container that it passes on its way out prepends its part of the path."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""


def to_json_value(value: object, where: str = "result") -> Json:
    """`value` as None, bool, int, float, str, list and dict.

    Tuples become lists; sets, sorted lists; dataclasses and pydantic models, mappings; dates, ISO 8601; durations,
    seconds; enums, their value; paths and UUIDs, text; a `Decimal`, a number where no digit is lost by it, else text.

    Raises:
        ToolFailed: something in it has no JSON form; the message names it as `result.rows[3].price`.
    """
    try:
        return _converted(value, 0)
    except _NotJson as error:
        raise ToolFailed(f"{where}{error.path} {error.reason}; return text, numbers, lists or mappings") from None


def _converted(value: object, depth: int) -> Json:
    """The JSON form of any value, by type.

    Order matters: `bool` is an `int`, a `datetime` is a `date`, and an enum of text is text.

    Raises:
        _NotJson: it has none.
    """
    if depth > DEPTH:
        raise _NotJson(f"is nested more than {DEPTH} levels deep, or contains itself")
    match value:
        case None | bool():
            return value
        case Enum():
            return _converted(value.value, depth + 1)
        case str():
            return _text(value)
        case int() | float():
            return _number(value)
        case Decimal():
            return _decimal(value)
        case Mapping():
            return _mapping(value, depth)
        case list() | tuple():
            return _list(value, depth)
        case Set():
            return sorted(_list(list(value), depth), key=_rank)
        case BaseModel():
            return _mapping(value.model_dump(by_alias=True), depth)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case PurePath() | UUID():
            return _text(str(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _mapping({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, depth)
    raise _NotJson(f"is a {type(value).__module__}.{type(value).__qualname__}, which has no JSON form")


def _text(value: str) -> str:
    """Text that can be encoded. Half a surrogate pair comes of reading with `surrogateescape`, and breaks Redis."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _NotJson("is text with half a surrogate pair, which is no Unicode") from None
    return str(value)


def _number(value: float) -> float:
    """A finite number as a plain one, so that no subclass (numpy's, an enum's) goes on with its own ways."""
    if isinstance(value, int):
        if value.bit_length() > INTEGER_BITS:
            raise _NotJson(f"is an integer of more than {INTEGER_BITS} bits")
        return int(value)
    if not math.isfinite(value):
        raise _NotJson(f"is {value} (float), which JSON cannot say")
    return float(value)


def _decimal(value: Decimal) -> float | str:
    """A number where it reads back as the same decimal, text where digits would be lost."""
    if not value.is_finite():
        raise _NotJson(f"is {value} (Decimal), which JSON cannot say")
    number = float(value)
    return number if math.isfinite(number) and Decimal(repr(number)) == value else str(value)


def _mapping(value: Mapping[Any, object], depth: int) -> dict[str, Json]:
    """A mapping with text for keys. Two keys that become the same text are refused: one value would be lost."""
    converted: dict[str, Json] = {}
    for key, item in value.items():
        name = _key(key)
        if name in converted:
            raise _NotJson(f"has two keys that are both {name!r} as text")
        try:
            converted[name] = _converted(item, depth + 1)
        except _NotJson as error:
            error.path = (f".{name}" if name.isidentifier() else f"[{name!r}]") + error.path
            raise
    return converted


def _key(key: object) -> str:
    """Keys as `json.dumps` would write them, and dates, UUIDs and paths as the text they are as values."""
    match key:
        case Enum():
            return _key(key.value)
        case str():
            return _text(key)
        case None | bool() | int() | float():
            return json.dumps(_converted(key, 0))
        case date() | UUID() | PurePath() | Decimal():
            return str(_converted(key, 0))
    raise _NotJson(f"has a key of type {type(key).__qualname__}; keys are text")


def _list(value: list[object] | tuple[object, ...], depth: int) -> list[Json]:
    """A sequence as a list; an item that has no JSON form is named by its index."""
    converted: list[Json] = []
    for item in value:
        try:
            converted.append(_converted(item, depth + 1))
        except _NotJson as error:
            error.path = f"[{len(converted)}]{error.path}"
            raise
    return converted


def _rank(item: Json) -> tuple[str, Json]:
    """Numbers by size and text by alphabet, each kind by itself, so that sets of mixed types have one order too."""
    if isinstance(item, int | float) and not isinstance(item, bool):
        return ("number", item)
    return (type(item).__name__, item if isinstance(item, str) else json.dumps(item, sort_keys=True))
