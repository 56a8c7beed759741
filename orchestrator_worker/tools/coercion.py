"""What templates give as text, as the type that a JSON Schema asks for: `"5"` as 5, `"true"` as true, JSON as lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator_client.contract.plan import Json

_TYPES: Mapping[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}

REFERENCES = 16
"""References that are followed one behind the other: a schema may refer to itself."""


def coerced(value: Json, schema: Json, root: Json = None) -> Json:
    """The value, with its text read as JSON wherever the schema allows no text and does allow what was read.

    A number becomes text where only text is allowed, and a whole float an integer. What does not fit stays as it is:
    whoever validates it then says so. `root` is where references lead; None: the schema itself.
    """
    root = schema if root is None else root
    branches = list(_branches(schema, root))
    if not all(_types(branch) for branch in branches):
        return value
    types = {name for branch in branches for name in _types(branch)}
    value = _read(value, types)
    within = next((branch for branch in branches if _fits(value, _types(branch))), {})
    match value:
        case dict():
            return {name: coerced(item, _property(within, name), root) for name, item in value.items()}
        case list():
            return [coerced(item, within.get("items", {}), root) for item in value]
    return value


def meant(text: str, schema: Json, root: Json) -> Json:
    """What text at a command line means for one parameter: JSON also where the schema allows anything."""
    anything = not all(_types(branch) for branch in _branches(schema, root))
    return _parsed(text) if anything else coerced(text, schema, root)


def _read(value: Json, types: set[str]) -> Json:
    """One value as one of these types, where that is what it means."""
    if _fits(value, types):
        return int(value) if isinstance(value, float) and value.is_integer() and types == {"integer"} else value
    if isinstance(value, str):
        read = _parsed(value)
        read = value if isinstance(read, str) else _read(read, types)
        return read if _fits(read, types) else value
    if isinstance(value, float) and value.is_integer() and "integer" in types:
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and "string" in types:
        return str(value)
    return value


def _parsed(text: str) -> Json:
    """What the text says as JSON, or in Python's spelling of true, false and null; else the text itself."""
    word = {"True": "true", "False": "false", "None": "null"}.get(text.strip(), text)
    try:
        return json.loads(word, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> Json:
    raise ValueError(constant)


def _fits(value: Json, types: Any) -> bool:
    """Whether a value is of one of the types. A bool is no number, whatever Python says."""
    if isinstance(value, bool):
        return "boolean" in types
    return any(isinstance(value, _TYPES[name]) for name in types if name in _TYPES)


def _types(schema: Mapping[str, Json]) -> tuple[str, ...]:
    """The types that one branch allows; none where it does not say."""
    match schema.get("type"):
        case str() as one:
            return (one,)
        case list() as several:
            return tuple(several)
    listed = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
    return tuple(dict.fromkeys(name for value in listed for name in _TYPES if _fits(value, (name,))))


def _branches(schema: Json, root: Json, left: int = REFERENCES) -> list[Mapping[str, Json]]:
    """The schema without its alternatives and references: each branch that a value may fit; an empty one fits all."""
    if not isinstance(schema, dict) or left == 0:
        return [{}]
    parts = [*(schema.get("allOf") or ()), *([_referred(schema["$ref"], root)] if "$ref" in schema else ())]
    either = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
    whole = [branch for part in parts for branch in _branches(part, root, left - 1) if _types(branch)]
    alternatives = [branch for part in either for branch in _branches(part, root, left - 1)]
    if _types(schema):
        # What narrows a type, such as which properties go together, allows no other one.
        return [schema, *whole, *(branch for branch in alternatives if _types(branch))]
    return [*whole, *alternatives] or [{}]


def _referred(reference: Json, root: Json) -> Json:
    """What a reference within the schema names; nothing for one that leads elsewhere, which is never fetched."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _property(schema: Mapping[str, Json], name: str) -> Json:
    """The schema of one entry of a mapping."""
    properties = schema.get("properties")
    if isinstance(properties, dict) and name in properties:
        return properties[name]
    return schema.get("additionalProperties", {})
