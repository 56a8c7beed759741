"""Data tools: each action, text in and out, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke

ROWS = [
    {"id": 1, "kind": "a", "n": 10, "on": True},
    {"id": 2, "kind": "b", "n": 2.5, "on": False},
    {"id": 3, "kind": "a", "n": None, "on": True},
    {"id": 4, "kind": "a", "n": 5, "on": False},
]
CSV = "id,kind,n,on\r\n1,a,10,true\r\n2,b,2.5,false\r\n3,a,,true\r\n4,a,5,false\r\n"


def do(action: str, data: Any = ROWS, **parameters: object) -> Any:
    context = ToolContext(run="r", instance="s", attempt=1, folder=Path("/"))
    result = invoke(f"data-processing.{action}", {"data": data, **parameters}, context)
    assert isinstance(result, ToolResult)
    assert result.value == {
        "result": result.output,
        "success": True,
        "error": None,
        "processed_data": result.output["data"],
    }
    return result.output


def transform(*transformations: object, data: Any = ROWS, **parameters: object) -> Any:
    return do("transform", data, operation={"transformations": list(transformations)}, **parameters)["data"]


def test_filter_keeps_the_rows_that_equal_the_criteria():
    assert do("filter", operation={"criteria": {"kind": "a", "on": True}}) == {
        "action": "filter",
        "criteria": {"kind": "a", "on": True},
        "data": [ROWS[0], ROWS[2]],
        "original_count": 4,
        "filtered_count": 2,
        "row_count": 2,
        "columns": ["id", "kind", "n", "on"],
    }


@pytest.mark.parametrize("data", [ROWS, json.dumps(ROWS), {"records": ROWS, "meta": 1}, CSV, CSV.replace(",", ";")])
def test_rows_are_found_in_every_form(data):
    filtered = do("filter", data, operation={"criteria": {"on": True}})["data"]
    assert [(row["id"], row["n"]) for row in filtered] == [(1, 10), (3, None)]


def test_the_sum_of_active_records():
    text = json.dumps({"records": [{"active": True, "value": 0.1}] * 10 + [{"active": False, "value": 9}], "total": 1})
    transformations = [
        {"type": "filter", "field": "active", "value": True},
        {"type": "aggregate", "operation": "sum", "field": "value"},
    ]
    assert transform(*transformations, data=text) == {"value_sum": 1.0}


def test_the_sum_of_no_rows_is_zero():
    transformations = [{"type": "filter", "field": "id", "value": 9}, {"type": "aggregate", "field": "n"}]
    assert transform(*transformations) == {"n_sum": 0}


def test_true_is_not_one_but_is_true_in_csv():
    data = [{"x": 1}, {"x": True}, {"x": "True"}, {"x": "1"}]
    assert do("filter", data, operation={"criteria": {"x": True}})["data"] == [{"x": True}, {"x": "True"}]
    assert do("filter", data, operation={"criteria": {"x": 1}})["data"] == [{"x": 1}, {"x": "1"}]


@pytest.mark.parametrize(
    ("condition", "ids"),
    [("n >= 5", [1, 4]), ("kind != 'a'", [2]), ("on == true", [1, 3]), ("n < 5", [2]), ("n == null", [3])],
)
def test_a_filter_may_compare(condition, ids):
    assert [row["id"] for row in transform({"type": "filter", "condition": condition})] == ids


@pytest.mark.parametrize(
    ("transformation", "row"),
    [
        ({"type": "rename_fields", "mapping": {"kind": "k"}}, {"id": 1, "k": "a", "n": 10, "on": True}),
        ({"type": "add_field", "field": "x", "value": 0}, {**ROWS[0], "x": 0}),
        ({"type": "cast", "columns": {"n": "string", "id": "float"}}, {**ROWS[0], "n": "10", "id": 1}),
        ({"type": "calculate", "expressions": {"x": "n * id"}}, {**ROWS[0], "x": 10}),
        ({"type": "calculate", "field": "x", "expression": "n / 4"}, {**ROWS[0], "x": 2.5}),
    ],
)
def test_transformations_of_single_rows(transformation, row):
    assert transform(transformation)[0] == row
    assert transform(transformation, data=ROWS[0]) == row


def test_transformations_leave_the_data_that_was_given():
    data = [{"a": 1}]
    transform(
        {"type": "add_field", "field": "a", "value": 2}, {"type": "calculate", "expressions": {"a": "a + 1"}}, data=data
    )
    assert data == [{"a": 1}]


@pytest.mark.parametrize(
    ("given", "scaled"),
    [
        ({"method": "min-max"}, [0.0, 0.5, None, 1.0]),
        ({}, [0.0, 0.5, None, 1.0]),
        ({"method": "Z_Score", "columns": ["n"]}, [-1.2247, 0.0, None, 1.2247]),
    ],
)
def test_normalize(given, scaled):
    data = [{"n": value, "same": 3, "word": "w"} for value in (10, 15, None, 20)]
    rows = transform({"type": "normalize", **given}, data=data)
    assert [row["n"] and round(row["n"], 4) for row in rows] == scaled
    assert {(row["same"], row["word"]) for row in rows} == {(3 if "columns" in given else 0.0, "w")}


@pytest.mark.parametrize(
    ("given", "words"),
    [({"method": "maximal"}, "no normalization 'maximal'"), ({"columns": ["w"]}, "column 'w' holds 'x'")],
)
def test_what_cannot_be_normalized(given, words):
    with pytest.raises(ParametersInvalid, match=words):
        transform({"type": "normalize", **given}, data=[{"w": "x"}])


def test_fill_missing_and_deduplicate():
    assert [row["n"] for row in transform({"type": "fill_missing", "strategy": {"n": 0}})] == [10, 2.5, 0, 5]
    assert [row["id"] for row in transform({"type": "deduplicate", "columns": ["kind"]})] == [1, 2]
    assert [row["id"] for row in transform({"type": "deduplicate", "columns": ["kind"], "keep": "last"})] == [2, 4]


def test_calculations_pass_missing_values_on():
    assert transform({"type": "calculate", "expressions": {"x": "n - 1"}})[2]["x"] is None


def test_a_calculation_may_write_a_date_in_another_form():
    rows = [{"on": "2026-03-01"}, {"on": ""}, {"on": "2026-12-31T23:59:00"}]
    made = transform({"type": "calculate", "expressions": {"m": "DATE_FORMAT(on, '%Y-%m')"}}, data=rows)
    assert [row["m"] for row in made] == ["2026-03", None, "2026-12"]
    with pytest.raises(ParametersInvalid, match="'on' holds 'soon', which is no date"):
        transform({"type": "calculate", "field": "m", "expression": "date_format(on, '%d')"}, data=[{"on": "soon"}])


def test_one_transformation_may_stand_alone():
    assert do("transform", operation={"type": "filter", "field": "id", "value": 1})["data"] == [ROWS[0]]


def test_aggregate_by_group():
    aggregations = {
        "n": "sum",
        "rows": {"column": "id", "function": "count"},
        "kinds": {"column": "on", "function": "nunique"},
    }
    assert do("aggregate", group_by="kind", aggregations=aggregations)["data"] == [
        {"kind": "a", "n": 15, "rows": 3, "kinds": 2},
        {"kind": "b", "n": 2.5, "rows": 1, "kinds": 1},
    ]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("sum", 17.5),
        ("avg", 17.5 / 3),
        ("median", 5),
        ("min", 2.5),
        ("max", 10),
        ("count", 3),
        ("first", 10),
        ("last", 5),
    ],
)
def test_aggregate_of_all_rows(function, expected):
    assert do("aggregate", aggregations={"n": function})["data"] == {"n": expected}


def test_pivot():
    assert do("pivot", index="kind", columns="on", values="n", fill_value=0)["data"] == [
        {"kind": "a", "true": 10, "false": 5},
        {"kind": "b", "true": 0, "false": 2.5},
    ]


def test_csv_is_read_and_written_back():
    converted = do("convert", CSV)
    assert converted["data"] == [{**row, "on": str(row["on"]).lower()} for row in ROWS]
    assert do("convert", ROWS, output_format="csv")["data"] == CSV
    assert (
        do("filter", CSV, format="csv", operation={"criteria": {"id": 1}})["data"] == "id,kind,n,on\r\n1,a,10,true\r\n"
    )


def test_csv_keeps_what_is_no_number_and_carries_quotes_lines_and_nesting():
    rows = [{"zip": "007", "text": 'a "b",\nc', "f": "=1+1", "nested": [1, {"x": None}]}]
    text = do("convert", rows, output_format="csv")["data"]
    assert do("convert", text)["data"] == [{**rows[0], "nested": '[1, {"x": null}]'}]


def test_profile():
    data = do("profile", [*ROWS, ROWS[0]])["data"]
    assert (data["row_count"], data["column_count"], data["duplicate_rows"], data["missing_values"]) == (5, 4, 1, 1)
    assert data["columns"]["kind"] == {
        "type": "string",
        "missing": 0,
        "distinct": 2,
        "data_type": "string",
        "missing_count": 0,
        "missing_percentage": 0.0,
        "unique_count": 2,
    }
    assert data["columns"]["n"] | {"std": 0} == {
        "type": "number",
        "missing": 1,
        "distinct": 3,
        "min": 2.5,
        "max": 10,
        "mean": 6.875,
        "median": 7.5,
        "std": 0,
        "outlier_count": 0,
        "outlier_percentage": 0.0,
        "data_type": "numeric",
        "missing_count": 1,
        "missing_percentage": 20.0,
        "unique_count": 3,
    }


def test_a_profile_counts_what_lies_far_from_the_middle():
    rows = [*({"n": n} for n in (1, 2, 3, 4, 100)), {"n": None}, {"m": 1}, {"m": 1}]
    columns = do("profile", rows)["data"]["columns"]
    assert (columns["n"]["outlier_count"], columns["n"]["outlier_percentage"]) == (1, 12.5)
    assert columns["m"]["outlier_count"] == 0


def merge(*datasets: Any, **parameters: object) -> Any:
    named = [{"name": f"d{index}", "data": data} for index, data in enumerate(datasets)]
    return do("merge", datasets=named, **parameters)["data"]


def test_merge_combines_rows_and_mappings():
    assert merge([{"a": 1}], [{"b": 2}]) == [{"a": 1, "b": None}, {"a": None, "b": 2}]
    assert merge({"x": 1}, {"y": 2}) == {"d0": {"x": 1}, "d1": {"y": 2}}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("inner", [(2, "b", "x")]),
        ("left", [(1, "a", None), (2, "b", "x")]),
        ("right", [(2, "b", "x"), (3, None, "y")]),
        ("outer", [(1, "a", None), (2, "b", "x"), (3, None, "y")]),
    ],
)
def test_merge_joins(kind, expected):
    left, right = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}], [{"id": 2, "v": "x"}, {"id": 3, "v": "y"}]
    joined = merge(left, right, merge_strategy="join", join_on="id", join_type=kind)
    assert [(row["id"], row["v"], row["v_d1"]) for row in joined] == expected


@pytest.mark.parametrize(
    ("handling", "values"),
    [
        ("drop", [1, 3]),
        ("fill", [1, 0, 3, 0]),
        ("forward_fill", [1, 1, 3, 3]),
        ("backward_fill", [1, 3, 3, None]),
        ("keep", [1, None, 3, ""]),
    ],
)
def test_clean(handling, values):
    data = [{"k": "a", "n": 1}, {"k": "a", "n": 1}, {"k": "b"}, {"k": "c", "n": 3}, {"k": "d", "n": ""}]
    output = do("clean", data, handle_missing=handling, fill_value=0)
    assert [row.get("n") for row in output["data"]] == values
    assert (output["duplicates_removed"], output["original_count"]) == (1, 5)


@pytest.mark.parametrize(
    ("action", "parameters", "message"),
    [
        ("filter", {"data": "hello"}, "'hello', which is neither JSON nor CSV"),
        ("filter", {"data": "{nope"}, "starts like JSON, but does not parse"),
        ("filter", {"data": "a,b\n1,2,3"}, "record 2 has 3 fields, its header 2"),
        ("filter", {"data": "a,a\n1,2"}, "names a column twice"),
        ("filter", {"data": [1]}, r"data\[0\] is a int"),
        ("filter", {"data": 5}, "data is a int"),
        ("filter", {"operation": {"criteria": 1}}, "operation.criteria is 1"),
        (
            "transform",
            {"operations": [{"type": "fliter"}]},
            "no transformation of type 'fliter'; did you mean 'filter'",
        ),
        ("transform", {"operations": [{"type": "calculate", "expressions": {"x": "f(1)"}}]}, "write it as: a"),
        (
            "transform",
            {"operations": [{"type": "calculate", "expressions": {"x": "n / 0"}}]},
            "cannot be calculated of 10 and 0",
        ),
        ("transform", {"operations": [{"type": "filter", "condition": "1; import os"}]}, "is not understood"),
        ("transform", {"operations": [{"type": "cast", "columns": {"kind": "int"}}]}, "holds 'a', which is no int"),
        ("aggregate", {"aggregations": {"n": "smu"}}, "no aggregate function 'smu'; did you mean 'sum'"),
        ("aggregate", {"aggregations": {"kind": "sum"}}, "column 'kind' holds 'a', which sum cannot take"),
        ("aggregate", {"aggregations": {"nn": "sum"}}, "no row has a column 'nn'"),
        ("aggregate", {}, "'aggregations' is empty"),
        ("pivot", {"index": "kind", "columns": "on"}, "parameter 'values' is missing"),
        ("convert", {"output_format": "parquet"}, "output_format is 'parquet'; there are: json, csv"),
        ("merge", {"datasets": [1]}, r"datasets\[0\] has no 'data'"),
        ("merge", {"datasets": [], "merge_strategy": "join"}, "a join takes two datasets"),
        ("clean", {"handle_missing": "ignore"}, "'handle_missing' was"),
    ],
)
def test_what_does_not_fit_is_refused(action, parameters, message):
    with pytest.raises(ParametersInvalid, match=message):
        do(action, **parameters)
