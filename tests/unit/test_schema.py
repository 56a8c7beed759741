"""The form that an answer must have: how it is written, what fits it, and what the model is told that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field

from orchestrator_client.contract.catalog.models import GenerateParameters
from orchestrator_client.contract.errors import ParametersInvalid, StepError
from orchestrator_worker.steps.schema import SHOWN_PROBLEMS, AnswerSchema, Unfit, parsed_json, schema_of

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
}


class Person(BaseModel):
    name: str
    age: int = Field(ge=0)
    born: date | None = None


class Caller(BaseModel):
    back: Callable[[], None]


def a_function() -> None:
    """Stands for what is no class."""


def of(given: Any = None, response_format: Any = None) -> AnswerSchema:
    found = schema_of(GenerateParameters(prompt="x", schema_=given, response_format=response_format))
    assert found is not None
    return found


def unfit(schema: AnswerSchema, text: str) -> str:
    with pytest.raises(Unfit) as caught:
        schema.parse(text)
    return str(caught.value)


class TestWritten:
    def test_nowhere(self) -> None:
        assert schema_of(GenerateParameters(prompt="x")) is None

    @pytest.mark.parametrize(
        ("given", "response_format", "schema"),
        [
            (PERSON, None, PERSON),
            (json.dumps(PERSON), None, PERSON),
            (PERSON, "json_object", PERSON),
            (None, "json_object", {"type": "object"}),
            (None, "json", {"type": "object"}),
            (None, {"type": "json_object"}, {"type": "object"}),
            (None, {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}, PERSON),
            (None, {"type": "json_schema", "schema": PERSON}, PERSON),
            (None, PERSON, PERSON),
        ],
    )
    def test_as_a_schema(self, given: Any, response_format: Any, schema: Any) -> None:
        assert of(given, response_format) == AnswerSchema(schema)

    @pytest.mark.parametrize("response_format", ["text", {"type": "text"}])
    def test_as_text(self, response_format: Any) -> None:
        assert schema_of(GenerateParameters(prompt="x", response_format=response_format)) is None

    def test_as_a_class(self) -> None:
        found = of(f"python:{__name__}:Person")
        assert found.record is Person
        assert found.schema == Person.model_json_schema()

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"type": "objekt"}, "no JSON Schema"),
            ({"type": "string", "pattern": "("}, "no JSON Schema"),
            ("{", "no JSON"),
            ("[]", "no mapping"),
            (7, "is int"),
            ([PERSON], "is list"),
            (f"python:{__name__}:a_function", "no pydantic model"),
            (f"python:{__name__}:date", "no pydantic model"),
            (f"python:{__name__}:Caller", "has no JSON Schema"),
            (f"python:{__name__}:Nobody", "check the spelling"),
            ("python:no.such.module:Person", "no module"),
        ],
    )
    def test_what_is_no_schema(self, given: Any, said: str) -> None:
        with pytest.raises(StepError, match=said) as caught:
            of(given)
        assert not caught.value.retryable


class TestReferences:
    TREE: dict[str, Any] = {  # noqa: RUF012 - JSON
        "type": "object",
        "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["name"],
    }

    def test_into_the_schema_itself(self) -> None:
        schema = of({"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}})
        assert schema.parse("[1]") == [1]
        assert "0:" in unfit(schema, '["one"]')

    def test_back_to_the_whole(self) -> None:
        assert of(self.TREE).parse('{"name": "a", "children": [{"name": "b"}]}')
        assert "children.0" in unfit(of(self.TREE), '{"name": "a", "children": [{}]}')

    def test_by_identifier(self) -> None:
        inner = {"$id": "https://example.org/n.json", "type": "integer"}
        schema = of({"$defs": {"n": inner}, "properties": {"a": {"$ref": "https://example.org/n.json"}}})
        assert "a:" in unfit(schema, '{"a": "one"}')

    @pytest.mark.parametrize("reference", ["#/$defs/gone", "https://example.org/person.json", "file:///etc/passwd"])
    @pytest.mark.parametrize("place", ["whole", "property", "definition"])
    def test_to_what_is_not_there_are_refused_before_anybody_is_asked(self, reference: str, place: str) -> None:
        """Nothing is fetched: the tests' network fails for any host but this one."""
        refers = {"$ref": reference}
        schema = {
            "whole": refers,
            "property": {"type": "object", "properties": {"a": refers}},
            "definition": {"type": "object", "$defs": {"a": {"items": refers}}},
        }[place]
        with pytest.raises(ParametersInvalid, match="which is not in it"):
            of(schema)

    def test_that_go_round_for_ever(self) -> None:
        with pytest.raises(ParametersInvalid, match="without end"):
            of({"$ref": "#"})

    def test_an_answer_may_be_nested_deeper_than_can_be_checked(self) -> None:
        deep = '{"name": "a", "children": [' * 400 + "]}" * 400
        assert "nested too deep" in unfit(of(self.TREE), deep)


class TestParse:
    def test_what_fits(self) -> None:
        assert of(PERSON).parse('```json\n{"name": "Ada", "age": 36}\n```') == {"name": "Ada", "age": 36}

    def test_no_json(self) -> None:
        assert "it is not JSON" in unfit(of(PERSON), "Ada is 36.")

    def test_what_does_not_fit_is_named_by_its_place(self) -> None:
        said = unfit(of(PERSON), '{"name": 7, "age": -1}')
        assert "name: 7 is not of type 'string'" in said
        assert "age: -1 is less than" in said
        assert "the answer: 'age' is a required property" in unfit(of(PERSON), '{"name": "Ada"}')

    def test_not_all_problems_of_a_long_answer_are_told(self) -> None:
        numbers = of({"type": "array", "items": {"type": "integer"}})
        said = unfit(numbers, json.dumps(["x" * 1000] * 50))
        assert said.count("; ") == SHOWN_PROBLEMS - 1
        assert len(said) < SHOWN_PROBLEMS * 250

    def test_a_class_leaves_json(self) -> None:
        answer = of(f"python:{__name__}:Person").parse('{"name": "Ada", "age": "36", "born": "1815-12-10"}')
        assert answer == {"name": "Ada", "age": 36, "born": "1815-12-10"}

    def test_what_does_not_fit_a_class(self) -> None:
        said = unfit(of(f"python:{__name__}:Person"), '{"age": -1}')
        assert "name: Field required" in said
        assert "age: Input should be greater than or equal to 0" in said


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("[1, 2]", [1, 2]),
        (' {"a": null}\n', {"a": None}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("```\n[]```", []),
        ('Here it is:\n```JSON  \n{"a": "b"}\n  ```\nAnything else?', {"a": "b"}),
        ('{"code": "```\\nx\\n```"}', {"code": "```\nx\n```"}),
    ],
)
def test_json_is_found(reply: str, value: Any) -> None:
    assert parsed_json(reply) == value


@pytest.mark.parametrize("reply", ["", "no", "{'a': 1}", "NaN", '{"a": Infinity}', "```\nno\n```", "[" * 100_000])
def test_what_is_no_json(reply: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parsed_json(reply)
