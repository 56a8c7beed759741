"""JSON Schema as Anthropic's structured outputs take it: a part of the standard, and always strict. Imports no SDK.

Strict means that each object in a schema says `additionalProperties: false`. Making it say so is the SDK's work, and
changes no meaning where an object names its properties; here it is found out where it would change one, because then
the model would be held to something else than what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.answers import mapping, sequence

Strict = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes of a schema without obstacles one that the API takes: objects closed, unknown keywords put into descriptions,
where the model reads them."""

_LOCAL = "#/$defs/"
"""What a reference begins with that the API follows."""

_COMPOSITES = ("anyOf", "oneOf", "allOf")

_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})


@dataclass(frozen=True, slots=True)
class Fitted:
    """How to ask for a schema: by fields of the request or, where those cannot say it, by an instruction."""

    fields: dict[str, Any] = field(default_factory=dict)
    instruction: str = ""
    obstacle: str = ""
    """Why fields cannot say it; empty where they do."""


def fitted(schema: Json, strict: Strict) -> Fitted:
    """How to ask for a reply that fits `schema`; nothing for None.

    Strict means that every object is closed, so a schema with an object of any keys would come back as one that allows
    none. Such schemas are put into the prompt as they are; whether the reply fits is judged by the caller either way.
    """
    if schema is None:
        return Fitted()
    single = _one_type_each(schema)
    obstacle = _Search(mapping(mapping(single).get("$defs"))).obstacle(single)
    if obstacle:
        said = json.dumps(schema, ensure_ascii=False)
        instruction = f"Answer with JSON and nothing else, not even a code fence. It must fit this JSON Schema: {said}"
        return Fitted(instruction=instruction, obstacle=obstacle)
    return Fitted({"output_config": {"format": {"type": "json_schema", "schema": strict(single)}}})


def _one_type_each(schema: Json) -> Any:
    """The same schema with alternatives instead of lists of types, which the SDK does not know.

    `null` becomes an alternative of its own, without the keywords beside it, which speak of the other types.
    """
    if isinstance(schema, list):
        return [_one_type_each(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    rest = {name: _one_type_each(value) for name, value in schema.items() if name != "type"}
    types = schema.get("type")
    if not isinstance(types, list):
        return {**rest, "type": _one_type_each(types)} if "type" in schema else rest
    if "enum" in schema or "const" in schema:
        # The values say of what types they are.
        return rest
    return {"anyOf": [{"type": "null"} if entry == "null" else {**rest, "type": entry} for entry in types]}


class _Search:
    """Looks for what would change its meaning, or be refused, when a schema is made strict."""

    def __init__(self, definitions: dict[str, Json]) -> None:
        """`definitions` are the schema's `$defs`."""
        self._definitions = definitions
        self._entered: set[str] = set()
        self._passed: set[str] = set()

    def obstacle(self, schema: Json) -> str:
        """The first one found; empty if there is none."""
        if not isinstance(schema, dict):
            return "a place where anything may stand"
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]))
        composite = next((name for name in _COMPOSITES if name in schema), None)
        if composite:
            return self._composite(schema, composite)
        # Values say by themselves what may stand there; a type beside them adds nothing.
        if "enum" in schema or "const" in schema:
            values = [*sequence(schema.get("enum")), schema.get("const")]
            return "values that are objects or arrays" if any(isinstance(v, dict | list) for v in values) else ""
        match schema.get("type"):
            case "object":
                return self._object(schema)
            case "array":
                return self.obstacle(schema.get("items"))
            case known if known in _TYPES:
                return ""
        return "a place where anything may stand"

    def _reference(self, target: str) -> str:
        """A definition is entered once; met again before its end, it holds itself."""
        name = target.removeprefix(_LOCAL)
        if not target.startswith(_LOCAL) or name not in self._definitions:
            return "a reference to something other than its $defs"
        if name in self._passed:
            return ""
        if name in self._entered:
            return "a definition that holds itself"
        self._entered.add(name)
        found = self.obstacle(self._definitions[name])
        self._passed.add(name)
        return found

    def _composite(self, schema: dict[str, Json], name: str) -> str:
        """Alternatives are taken; parts that hold all at once are not, since each would be closed to the others."""
        if name == "allOf" or any(other in schema for other in ("properties", *_COMPOSITES) if other != name):
            return "conditions that hold all at once"
        return self._first(sequence(schema[name]))

    def _object(self, schema: dict[str, Json]) -> str:
        """An object that names its properties can be closed; one that is there for any keys cannot."""
        if schema.get("additionalProperties") or schema.get("patternProperties"):
            return "an object of any properties"
        properties = mapping(schema.get("properties"))
        if not properties and schema.get("additionalProperties") is not False:
            return "an object of any properties"
        return self._first(list(properties.values()))

    def _first(self, schemas: list[Json]) -> str:
        """The first obstacle in any of them."""
        return next((found for found in map(self.obstacle, schemas) if found), "")
