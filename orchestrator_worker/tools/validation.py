"""Validation of data against a JSON Schema (draft 2020-12). Schemas refer to themselves only: nothing is fetched."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from orchestrator_client.contract.catalog.data import ValidationParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import InputType, Json, coerce
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.rows import Row, is_missing, table_of

SHOWN_ERRORS = 100
"""Errors that a result lists; one more line says how many there are beyond."""

SHOWN_CHARACTERS = 500
"""Of a message, which quotes the data it is about."""


def validate(_context: ToolContext, parameters: ValidationParameters) -> ToolResult:
    """Validate data: `{valid, errors: [{message, path, schema_path}], warnings, data, mode}`. Never fails for the data.

    `strict` takes the data as it is; `lenient` first turns scalars into the types that the schema wants where nothing
    is lost by it, and warns of each; `permissive` calls everything valid and makes warnings of the errors;
    `report_only` judges as `strict` does. CSV whose columns the schema of a mapping names is judged row by row: a blank
    cell is a field that the row lacks, `data` are the rows, and `rows_validated` is their number.

    Raises:
        ParametersInvalid: the schema is not one, or refers to what is not in it.
    """
    schema = _schema(parameters.schema_)
    data = _data(parameters.data, schema)
    rows = _rows(data, schema)
    data = data if rows is None else rows
    warnings: list[str] = []
    if parameters.mode == "lenient":
        data = _coerced(data, schema if rows is None else {"items": schema}, "data", warnings)
    parts = [([], data)] if rows is None else [([place], _filled(row)) for place, row in enumerate(data)]
    errors = _errors(parts, schema)
    if parameters.mode == "permissive":
        warnings += [f"{_place(error['path'])}: {error['message']}" for error in errors]
        errors = []
    output = {"valid": not errors, "errors": errors, "warnings": warnings, "data": data, "mode": parameters.mode}
    if rows is not None:
        output["rows_validated"] = len(rows)
    return ToolResult(output, warnings=tuple(warnings[:SHOWN_ERRORS]))


def _schema(given: Json) -> Json:
    """The schema, parsed where it is text, and checked against the draft's own schema.

    Raises:
        ParametersInvalid: it is none; the message names the place in it.
    """
    try:
        schema = json.loads(given) if isinstance(given, str) else given
        Draft202012Validator.check_schema(schema)
    except ValueError as error:
        raise ParametersInvalid(f"validation.validate: parameter 'schema' is text, but not JSON: {error}") from None
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path)
        raise ParametersInvalid(
            f"validation.validate: 'schema' is no JSON Schema at {place or 'its top'}: {_short(error.message)}"
        ) from None
    return schema


def _data(given: Json, schema: Json) -> Json:
    """Text that is JSON is parsed, unless text is what the schema wants."""
    if not isinstance(given, str) or (isinstance(schema, dict) and schema.get("type") == "string"):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        return given


def _rows(data: Json, schema: Json) -> list[Row] | None:
    """The rows of CSV text, where the schema is that of one of them; None for all other data."""
    if not isinstance(data, str) or not isinstance(schema, dict) or schema.get("type") != "object":
        return None
    columns = {name.strip().strip('"') for name in data.strip().partition("\n")[0].split(",")}
    if not columns & (schema.get("properties") or {}).keys():
        return None
    try:
        return table_of(data).rows or None
    except ParametersInvalid:
        # No table after all: the schema says what it should have been.
        return None


def _filled(row: Row) -> Row:
    """A row without its blank cells."""
    return {name: value for name, value in row.items() if not is_missing(value)}


Part = tuple[list[Json], Json]
"""Data that are judged by themselves, and the path to them."""


def _errors(parts: list[Part], schema: Json) -> list[dict[str, Json]]:
    """Every error, in the order of the data. `format` is checked too, though the draft leaves that open.

    Raises:
        ParametersInvalid: the schema refers to something that is not in it.
    """
    validator = Draft202012Validator(schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    try:
        found = [
            (path, error)
            for path, part in parts
            for error in sorted(validator.iter_errors(part), key=lambda error: list(map(str, error.absolute_path)))
        ]
    except Unresolvable as error:
        raise ParametersInvalid(
            f"validation.validate: the schema refers to {error.ref!r}, which is not in it; put it under $defs"
        ) from None
    listed = [_error(path, error) for path, error in found[:SHOWN_ERRORS]]
    if (hidden := len(found) - SHOWN_ERRORS) > 0:
        listed.append({"message": f"and {hidden} more errors", "path": [], "schema_path": []})
    return listed


def _error(path: list[Json], error: ValidationError) -> dict[str, Json]:
    """One error as data: both paths are lists of keys and indices."""
    return {
        "message": _short(error.message),
        "path": [*path, *error.absolute_path],
        "schema_path": list(error.absolute_schema_path),
        "validator": error.validator,
    }


def _coerced(value: Json, schema: Json, where: str, warnings: list[str]) -> Json:
    """`value` with scalars turned into what the schema says; left as it is where that would lose something."""
    if not isinstance(schema, dict):
        return value
    if isinstance(value, dict):
        known, other = schema.get("properties") or {}, schema.get("additionalProperties")
        return {key: _coerced(item, known.get(key, other), f"{where}.{key}", warnings) for key, item in value.items()}
    if isinstance(value, list):
        items = schema.get("items")
        return [_coerced(item, items, f"{where}[{index}]", warnings) for index, item in enumerate(value)]
    wanted = schema.get("type")
    if value is None or wanted not in ("string", "integer", "number", "boolean"):
        return value
    if Draft202012Validator(schema).is_type(value, wanted):
        return value
    try:
        converted = coerce(value, InputType(wanted))
    except ValueError:
        return value
    warnings.append(f"{where} was {json.dumps(value)}, taken as the {wanted} {json.dumps(converted)}")
    return converted


def _place(path: list[Json]) -> str:
    """A path as people write it: `data.rows[0].id`."""
    return "data" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def _short(message: str) -> str:
    """A message cut to `SHOWN_CHARACTERS`."""
    return message if len(message) <= SHOWN_CHARACTERS else message[: SHOWN_CHARACTERS - 1] + "…"
