"""Validation against JSON Schema: four modes, one shape of result."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke

SCHEMA = {
    "type": "object",
    "properties": {
        "rows": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}},
        "day": {"type": "string", "format": "date"},
        "on": {"type": "boolean"},
    },
    "required": ["rows"],
}


def validate(data: Any, schema: Any = SCHEMA, **parameters: object) -> ToolResult:
    context = ToolContext(run="r", instance="s", attempt=1, folder=Path("/"))
    result = invoke("validation.validate", {"data": data, "schema": schema, **parameters}, context)
    assert isinstance(result, ToolResult)
    assert result.success
    return result


def test_valid_data_is_valid():
    data = {"rows": [{"id": 1}]}
    assert validate(data).value == {
        "result": {"valid": True, "errors": [], "warnings": [], "data": data, "mode": "strict"},
        "success": True,
        "error": None,
    }


@pytest.mark.parametrize("mode", ["strict", "report_only", "STRICT"])
def test_an_error_has_message_path_and_schema_path(mode):
    output = validate({"rows": [{"id": "x"}]}, mode=mode).output
    assert output["valid"] is False
    assert output["errors"] == [
        {
            "message": "'x' is not of type 'integer'",
            "path": ["rows", 0, "id"],
            "schema_path": ["properties", "rows", "items", "properties", "id", "type"],
            "validator": "type",
        }
    ]


def test_lenient_takes_five_for_its_text_and_warns():
    result = validate({"rows": [{"id": "5"}, {"id": "x"}], "on": "true"}, mode="lenient")
    assert result.output["data"] == {"rows": [{"id": 5}, {"id": "x"}], "on": True}
    assert result.output["warnings"] == [
        'data.rows[0].id was "5", taken as the integer 5',
        'data.on was "true", taken as the boolean true',
    ]
    assert [error["path"] for error in result.output["errors"]] == [["rows", 1, "id"]]
    assert result.warnings == tuple(result.output["warnings"])


def test_permissive_makes_warnings_of_errors():
    output = validate({}, validation_level="permissive").output
    assert (output["valid"], output["errors"]) == (True, [])
    assert output["warnings"] == ["data: 'rows' is a required property"]


def test_text_that_is_json_is_parsed_unless_text_is_wanted():
    assert validate('{"rows": []}').output["data"] == {"rows": []}
    assert validate("5", {"type": "string"}).output["valid"]
    assert not validate("no json", {"type": "object"}).output["valid"]


def test_formats_are_checked():
    errors = validate({"rows": [], "day": "2024-13-01"}).output["errors"]
    assert [error["validator"] for error in errors] == ["format"]


def test_many_and_long_errors_are_cut():
    errors = validate({"rows": ["x" * 1000] * 150}).output["errors"]
    assert len(errors) == 101
    assert errors[-1]["message"] == "and 50 more errors"
    assert all(len(error["message"]) <= 500 for error in errors)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "objekt"}, "'schema' is no JSON Schema at type: 'objekt' is not valid"),
        ("{", "'schema' is text, but not JSON"),
        ([], "'schema' is no JSON Schema at its top"),
        ({"$ref": "http://127.0.0.1:1/x"}, r"refers to 'http://127\.0\.0\.1:1/x', which is not in it"),
        ({"$ref": "file:///etc/passwd"}, "which is not in it"),
    ],
)
def test_a_schema_that_is_none_or_reaches_out_is_refused(schema, message):
    with pytest.raises(ParametersInvalid, match=message):
        validate({}, schema)


ROW = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "n": {"type": "integer", "minimum": 1}, "note": {"type": "string"}},
    "required": ["id", "n"],
}


class TestCsv:
    def test_each_row_is_judged_by_itself(self):
        output = validate("id,n,note\na,1,x\nb,0,\n,2,y\n", ROW).output
        assert (output["valid"], output["rows_validated"]) == (False, 3)
        assert [(error["path"], error["validator"]) for error in output["errors"]] == [
            ([1, "n"], "minimum"),
            ([2], "required"),
        ]
        assert output["data"][0] == {"id": "a", "n": 1, "note": "x"}

    def test_lenient_takes_a_number_for_its_text(self):
        output = validate("id,n\n7,1\n", ROW, mode="lenient").output
        assert (output["valid"], output["data"]) == (True, [{"id": "7", "n": 1}])
        assert output["warnings"] == ['data[0].id was 7, taken as the string "7"']

    @pytest.mark.parametrize("text", ["no table, just words", "id,n", 'id,n\na,1,"b'])
    def test_other_text_is_one_value(self, text):
        assert validate(text, ROW).output["errors"][0]["validator"] == "type"
