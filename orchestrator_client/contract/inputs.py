"""Types of inputs, and values as one of them."""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import Any

from orchestrator_client.contract.record import Json

LARGEST_INTEGER = 2**53
"""Beyond it, other readers of JSON round integers."""


class InputType(StrEnum):
    """Types that a plan may declare for an input."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"
    ANY = "any"


def coerce(value: Json, wanted: InputType) -> Json:
    """`value` as the declared type, where nothing is lost by it: text to the number it spells, not 2.5 to 2.

    Raises:
        ValueError: it is not of that type.
    """
    match wanted:
        case InputType.ANY:
            return value
        case InputType.STRING:
            return value if isinstance(value, str) else _only(value, (bool, int, float), lambda v: json.dumps(v))
        case InputType.BOOLEAN:
            return _boolean(value)
        case InputType.INTEGER:
            return _number(value, whole=True)
        case InputType.NUMBER:
            return _number(value, whole=False)
        case InputType.ARRAY:
            return _container(value, list)
        case InputType.OBJECT:
            return _container(value, dict)


def _only(value: Json, types: tuple[type, ...], convert: Any) -> Json:
    if not isinstance(value, types):
        raise ValueError(value)
    return convert(value)


def _boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    spelled = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, str | int) and str(value).strip().lower() in spelled:
        return spelled[str(value).strip().lower()]
    raise ValueError(value)


def _number(value: Json, whole: bool) -> int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(value)
    number = _parsed(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(value)
    if isinstance(number, int):
        if abs(number) > LARGEST_INTEGER:
            raise ValueError(value)
        return number
    if not math.isfinite(number) or (whole and not number.is_integer()):
        raise ValueError(value)
    return int(number) if whole else number


def _parsed(text: str) -> Json:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(text) from None


def _container(value: Json, wanted: type) -> Json:
    parsed = _parsed(value) if isinstance(value, str) else value
    if not isinstance(parsed, wanted):
        raise ValueError(value)
    return parsed
