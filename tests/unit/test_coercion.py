"""Text as the type that a JSON Schema asks for, and parameters that are found to fit one."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_worker.tools.arguments import checked
from orchestrator_worker.tools.coercion import coerced, meant

NODE = {
    "type": "object",
    "properties": {"size": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
}
TREE = {"$ref": "#/$defs/node", "$defs": {"node": NODE}}


def is_same(found: Any, expected: Any) -> bool:
    return found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("schema", "given", "expected"),
    [
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, " 5 ", 5),
        ({"type": "integer"}, "5.0", 5),
        ({"type": "integer"}, 5.0, 5),
        ({"type": "integer"}, "5.5", "5.5"),
        ({"type": "integer"}, "five", "five"),
        ({"type": "integer"}, "true", "true"),
        ({"type": "number"}, "2.5", 2.5),
        ({"type": "number"}, 5.0, 5.0),
        ({"type": "number"}, "NaN", "NaN"),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "False", False),
        ({"type": "boolean"}, 1, 1),
        ({"type": "null"}, "null", None),
        ({"type": "string"}, 5, "5"),
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, True, True),
        ({"type": ["integer", "string"]}, "5", "5"),
        ({"type": ["integer", "null"]}, "5", 5),
        ({"type": "array", "items": {"type": "integer"}}, '["1", 2]', [1, 2]),
        ({"type": "array"}, "a, b", "a, b"),
        (
            {"type": "object", "properties": {"a": {"type": "boolean"}}},
            '{"a": "true", "b": "1"}',
            {"a": True, "b": "1"},
        ),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": "1"}, {"a": 1}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "5", 5),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, "5", "5"),
        ({"anyOf": [{"type": "integer"}, {}]}, "5", "5"),
        ({"enum": [1, 2]}, "2", 2),
        ({"enum": ["1", "2"]}, 2, "2"),
        ({"const": True}, "true", True),
        ({}, "5", "5"),
        (True, "5", "5"),
        ({"allOf": [{"type": "integer"}, {"minimum": 1}]}, "5", 5),
        ({"type": "integer", "anyOf": [{"minimum": 1}, {"maximum": 0}]}, "5", 5),
        (TREE, '{"size": "1", "next": {"size": "2", "next": null}}', {"size": 1, "next": {"size": 2, "next": None}}),
        ({"$ref": "https://elsewhere.example/schema"}, "5", "5"),
        ({"$ref": "#"}, "5", "5"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "5", "5"),
    ],
)
def test_a_value_is_of_the_type_that_is_asked_for_or_as_it_was(schema: Any, given: Any, expected: Any) -> None:
    assert is_same(coerced(given, schema), expected)


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [({}, "[1, 2]", [1, 2]), ({}, "plain", "plain"), ({"type": "string"}, "[1]", "[1]"), ({"type": "integer"}, "3", 3)],
)
def test_at_a_command_line_json_is_meant_where_anything_may_stand(schema: Any, text: str, expected: Any) -> None:
    assert is_same(meant(text, schema, {"properties": {"x": schema}}), expected)


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0},
        "mood": {"enum": ["good", "bad"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "size": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
}


def test_parameters_that_fit_are_coerced() -> None:
    given = {"name": "x", "age": "7", "tags": '["a"]', "size": "null"}
    assert checked(PERSON, given, "t") == {"name": "x", "age": 7, "tags": ["a"], "size": None}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "t: parameter 'name' is required, and was not given; it takes name, age?, mood?, tags?, size? "),
        ({"name": "x", "nmae": 1}, "t: there is no parameter 'nmae'; it takes name"),
        ({"name": "x", "age": "old"}, "parameter 'age' was \"old\": it must be of type integer"),
        ({"name": "x", "age": -1}, "parameter 'age' was -1: "),
        ({"name": "x", "mood": "so"}, "parameter 'mood' was \"so\": it must be one of 'good', 'bad'"),
        ({"name": "x", "tags": ["a", {}]}, "parameter 'tags[1]' was a mapping of 0: it must be of type string"),
        ({"name": "x", "size": "big"}, "parameter 'size' was \"big\": it must be of type integer or null"),
        ({"name": "x", "mood": "y" * 10_000}, "…"),
    ],
)
def test_each_that_does_not_fit_is_named_with_what_was_found(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ParametersInvalid) as refused:
        checked(PERSON, given, "t")
    assert said in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "schema",
    [{"type": "nonsense"}, {"properties": {"a": {"$ref": "#/$defs/none"}}}, {"properties": {"a": {"pattern": "("}}}],
)
def test_a_schema_that_cannot_be_used_is_the_tools_fault(schema: dict[str, Any]) -> None:
    with pytest.raises(ToolFailed, match=r"^t: its JSON Schema cannot be used") as failed:
        checked(schema, {"a": "x"}, "t")
    assert not failed.value.retryable
