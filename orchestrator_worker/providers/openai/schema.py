"""Which JSON Schemas OpenAI's structured outputs take, and how one that they do not take is worded.

Strict mode binds the model to the schema, and answers 400 to any that is outside its subset; without it the model is
told the schema and mostly keeps to it. In both the schema must be an object's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.answers import mapping, sequence

KEY = "reply"
"""Under which a reply that is no object stands in the one that is asked for."""

STRICT_KEYWORDS = frozenset(
    {"$defs", "$ref", "definitions", "type", "enum", "const", "anyOf", "title", "description"}
    | {"properties", "required", "additionalProperties", "items", "minItems", "maxItems", "pattern", "format"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)
"""Of strict mode's subset of JSON Schema. A keyword that is missing here costs strictness, one too many a 400."""

STRICT_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
"""Of `format`, those that strict mode knows."""

_NESTED, _NAMED = ("anyOf", "items"), ("properties", "$defs", "definitions")


def is_strict(schema: Json) -> bool:
    """Whether strict mode takes the schema as it stands: each object closed, each of its properties required.

    No schema is changed to make it so: one whose properties are optional would become another one.
    """
    root = mapping(schema)
    return root.get("type") == "object" and "anyOf" not in root and all(map(_keeps_to_the_subset, _schemas(schema)))


def asked(schema: Json) -> dict[str, Json]:
    """The schema that is sent: as it stands if it is an object's, else one of an object that holds the reply."""
    if not is_wrapped(schema):
        return mapping(schema)
    inner = dict(mapping(schema))
    # References say where from the root the definitions are, so they stay there.
    shared = {name: inner.pop(name) for name in ("$defs", "definitions") if name in inner}
    wrapper: dict[str, Json] = {
        "type": "object",
        "properties": {KEY: inner},
        "required": [KEY],
        "additionalProperties": False,
    }
    return wrapper | shared


def is_wrapped(schema: Json) -> bool:
    """Whether a reply of this schema comes within an object, under `KEY`."""
    return mapping(schema).get("type") != "object"


def unwrapped(text: str) -> str:
    """The reply's own JSON text. What is not as it was asked for stays as it came: the reader will say so."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(value[KEY], ensure_ascii=False) if isinstance(value, dict) and KEY in value else text


def _schemas(schema: Json) -> Iterator[Json]:
    """The schema and all that are nested in it where the subset allows any."""
    yield schema
    here = mapping(schema)
    for keyword in _NESTED:
        nested = here.get(keyword, [])
        for each in nested if isinstance(nested, list) else [nested]:
            yield from _schemas(each)
    for keyword in _NAMED:
        for each in mapping(here.get(keyword)).values():
            yield from _schemas(each)


def _keeps_to_the_subset(schema: Json) -> bool:
    """Of one schema, whatever is nested in it. An object must be closed and have no optional property."""
    if not isinstance(schema, dict) or not schema.keys() <= STRICT_KEYWORDS:
        return False
    if "format" in schema and schema["format"] not in STRICT_FORMATS:
        return False
    # Without one of these anything would fit, and the mode wants to know what it writes.
    if not schema.keys() & {"type", "$ref", "anyOf", "enum", "const"}:
        return False
    if schema.get("type") == "array" and "items" not in schema:
        return False
    types = schema.get("type")
    if "object" not in (types if isinstance(types, list) else [types]):
        return True
    names = {name for name in sequence(schema.get("required")) if isinstance(name, str)}
    return schema.get("additionalProperties") is False and names == set(mapping(schema.get("properties")))
