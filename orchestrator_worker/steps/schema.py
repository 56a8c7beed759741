"""The form that a model's answer must have: a JSON Schema, or an importable pydantic class; and whether it has it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from orchestrator_client.contract.catalog import PYTHON_PREFIX
from orchestrator_client.contract.catalog.models import GenerateParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json

SHOWN_PROBLEMS = 10
"""Of an answer that does not fit, that the model is told."""

_FENCED = re.compile(r"```[\w-]*[ \t]*\n(.*?)```", re.DOTALL)
"""A code fence, as models wrap JSON in unasked."""


class Unfit(Exception):
    """An answer does not have the form; the message is for the model."""


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """What the answer must be."""

    schema: dict[str, Json]
    """JSON Schema, which the provider is given too."""
    record: type[BaseModel] | None = None

    def parse(self, text: str) -> Json:
        """The answer as an object.

        Raises:
            Unfit: it is not JSON, or does not fit the schema.
        """
        try:
            value = parsed_json(text)
        except ValueError as error:
            raise Unfit(f"it is not JSON ({error})") from None
        return self._validated(value)

    def _validated(self, value: Json) -> Json:
        if self.record is not None:
            try:
                return self.record.model_validate(value).model_dump(mode="json")
            except ValidationError as error:
                problems = [f"{_place(p['loc'])}: {p['msg']}" for p in error.errors(include_url=False)]
                raise Unfit("; ".join(problems[:SHOWN_PROBLEMS])) from None
        try:
            problems = [
                f"{_place(e.absolute_path)}: {e.message[:200]}" for e in _validator(self.schema).iter_errors(value)
            ]
        except RecursionError:
            raise Unfit("it is nested too deep") from None
        if problems:
            raise Unfit("; ".join(problems[:SHOWN_PROBLEMS]))
        return value


def _place(path: Any) -> str:
    return ".".join(str(part) for part in path) or "the answer"


def schema_of(parameters: GenerateParameters) -> AnswerSchema | None:
    """The schema that the parameters ask for; None where any text will do.

    Raises:
        ParametersInvalid: it is no schema, or no importable class.
    """
    given = parameters.schema_ if parameters.schema_ is not None else _of_response_format(parameters.response_format)
    match given:
        case None:
            return None
        case str() if given.startswith(PYTHON_PREFIX):
            return _of_class(given.removeprefix(PYTHON_PREFIX))
        case str():
            return _of_text(given)
        case dict():
            return answer_schema(given)
    raise ParametersInvalid(f"parameter 'schema' is {type(given).__name__}; give a JSON Schema or python:module:Class")


def _of_response_format(given: Json) -> Json:
    """OpenAI's spellings, and the bare schema that existing files write there."""
    fields = given if isinstance(given, dict) else {}
    match given if isinstance(given, str) else fields.get("type"):
        case "text":
            return None
        case "json_object" | "json":
            return {"type": "object"}
        case "json_schema":
            return (fields.get("json_schema") or fields).get("schema")
    return given


def _of_text(given: str) -> AnswerSchema:
    try:
        return answer_schema(json.loads(given))
    except ValueError as error:
        raise ParametersInvalid(
            f"parameter 'schema' is text and no JSON ({error}); give a JSON Schema, or python:module:Class"
        ) from None


def _of_class(path: str) -> AnswerSchema:
    from orchestrator_worker.tools.python import imported

    record = imported(path)
    if not isinstance(record, type) or not issubclass(record, BaseModel):
        raise ParametersInvalid(f"parameter 'schema': {path} is no pydantic model; name a subclass of BaseModel")
    try:
        return AnswerSchema(record.model_json_schema(), record)
    except PydanticInvalidForJsonSchema as error:
        raise ParametersInvalid(f"parameter 'schema': {path} has no JSON Schema: {error.message[:200]}") from None


def answer_schema(schema: Json) -> AnswerSchema:
    """What must fit this schema.

    Raises:
        ParametersInvalid: it is no JSON Schema, or refers to what is not in it.
    """
    from jsonschema import Draft202012Validator, SchemaError
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, dict):
        raise ParametersInvalid("parameter 'schema' is no mapping; give a JSON Schema")
    try:
        Draft202012Validator.check_schema(schema)
        _check_references(schema)
        # What refers to itself and to nothing else has no end, whatever the answer.
        _validator(schema).is_valid(None)
    except SchemaError as error:
        raise ParametersInvalid(f"parameter 'schema' is no JSON Schema: {error.message[:200]}") from None
    except Unresolvable as error:
        raise ParametersInvalid(
            f"parameter 'schema' refers to {error.ref!r}, which is not in it; put it under $defs: nothing is fetched"
        ) from None
    except RecursionError:
        raise ParametersInvalid("parameter 'schema' refers to itself without end; let a property lead back") from None
    return AnswerSchema(schema)


def _validator(schema: dict[str, Json]) -> Any:
    """Checks values against a schema, and fetches nothing that the schema refers to."""
    from jsonschema import Draft202012Validator  # 60 ms, which a worker whose steps have no schema never pays
    from referencing import Registry

    return Draft202012Validator(schema, registry=Registry())


def _check_references(schema: dict[str, Json]) -> None:
    """Look up all that the schema refers to: a model is not paid to write what cannot be checked.

    Raises:
        Unresolvable: something is not there.
    """
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    root = DRAFT202012.create_resource(schema)
    left = [(root, Registry().resolver_with_root(root))]
    while left:
        resource, resolver = left.pop()
        if isinstance(resource.contents, dict) and isinstance(resource.contents.get("$ref"), str):
            resolver.lookup(resource.contents["$ref"])
        left += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]


def parsed_json(text: str) -> Json:
    """What a model means by JSON: the reply itself, or what stands in its first code fence.

    Raises:
        ValueError: neither is JSON.
    """
    try:
        return _strict(text)
    except ValueError:
        fenced = _FENCED.search(text)
        if fenced is None:
            raise
        return _strict(fenced[1])


def _strict(text: str) -> Json:
    """JSON without the NaN and Infinity that Python adds to it; the store keeps neither."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")
