"""Data tools over rows in plain Python: what fits into a step's value needs no data frames.

The `data` of every result stand under `processed_data` as well, where existing pipelines read them. They are
rows (or a mapping, where one mapping came in or one aggregate came out), or CSV text with `output_format: csv`.
"""

from __future__ import annotations

import statistics
from typing import Any

from orchestrator_client.contract.catalog.data import (
    AggregateParameters,
    CleanParameters,
    DataParameters,
    MergeParameters,
    PivotParameters,
    TransformParameters,
)
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.aggregation import aggregated, grouped, pivoted
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.rows import Row, Table, columns_of, csv_text, frozen, is_missing, names_of, table_of
from orchestrator_worker.tools.transformations import matches, transformed

FORMATS = ("json", "csv")


def filter(_context: ToolContext, parameters: DataParameters) -> ToolResult:
    """Keep the rows whose fields equal `operation.criteria`: `{criteria, data, original_count, filtered_count}`."""
    criteria = parameters.operation.get("criteria", {})
    if not isinstance(criteria, dict):
        raise ParametersInvalid(f"data-processing.filter: operation.criteria is {criteria!r}; give column: value")
    table = table_of(parameters.data)
    kept = [row for row in table.rows if matches(row, criteria)]
    counts = {"original_count": len(table.rows), "filtered_count": len(kept)}
    return _result("filter", parameters, Table(kept, table.single), criteria=criteria, **counts)


def transform(_context: ToolContext, parameters: TransformParameters) -> ToolResult:
    """Apply `operation.transformations` in turn: `{transformations, data, original_count, row_count, columns}`."""
    given = parameters.operation.get("transformations", [])
    if not isinstance(given, list):
        raise ParametersInvalid("data-processing.transform: operation.transformations is not a list")
    # One transformation may stand alone, without the list around it.
    alone = [parameters.operation] if "type" in parameters.operation else []
    transformations = [*given, *alone, *parameters.transformations]
    table = table_of(parameters.data)
    before = len(table.rows)
    for transformation in transformations:
        table = transformed(table, transformation)
    return _result("transform", parameters, table, transformations=transformations, original_count=before)


def aggregate(_context: ToolContext, parameters: AggregateParameters) -> ToolResult:
    """Aggregate columns, by group where asked: `{group_by, aggregations, data, row_count, columns}`."""
    by = names_of(parameters.group_by or parameters.operation.get("group_by"), "group_by")
    aggregations = parameters.aggregations or parameters.operation.get("aggregations") or {}
    if not isinstance(aggregations, dict) or not aggregations:
        raise ParametersInvalid("data-processing.aggregate: parameter 'aggregations' is empty; give column: function")
    rows = grouped(table_of(parameters.data).rows, by, aggregations)
    return _result("aggregate", parameters, Table(rows, single=not by), group_by=by, aggregations=aggregations)


def pivot(_context: ToolContext, parameters: PivotParameters) -> ToolResult:
    """One row a value of `index`, one column a value of `columns`: `{index, columns, values, data, …}`."""
    asked = {name: names_of(getattr(parameters, name), name) for name in ("index", "columns", "values")}
    if empty := [name for name, columns in asked.items() if not columns]:
        raise ParametersInvalid(f"data-processing.pivot: parameter {empty[0]!r} is missing; name a column")
    rows = pivoted(
        table_of(parameters.data).rows,
        asked["index"],
        asked["columns"],
        asked["values"],
        parameters.aggfunc,
        parameters.fill_value,
    )
    return _result("pivot", parameters, Table(rows), **{**asked, "aggfunc": parameters.aggfunc})


def convert(_context: ToolContext, parameters: DataParameters) -> ToolResult:
    """Convert between CSV text and rows: `{output_format, data, row_count, columns}`."""
    return _result("convert", parameters, table_of(parameters.data), output_format=parameters.output_format or "json")


def profile(_context: ToolContext, parameters: DataParameters) -> ToolResult:
    """Describe the columns: `{data: {row_count, column_count, columns: {name: …}, duplicate_rows, missing_values}}`."""
    rows = table_of(parameters.data).rows
    columns = {name: _profiled(rows, name) for name in columns_of(rows)}
    data = {
        "row_count": len(rows),
        "column_count": len(columns),
        "columns": columns,
        "duplicate_rows": len(rows) - len({frozen(row) for row in rows}),
        "missing_values": sum(column["missing"] for column in columns.values()),
    }
    return _enveloped({"action": "profile", "data": data})


def merge(_context: ToolContext, parameters: MergeParameters) -> ToolResult:
    """Combine datasets one below the other, or join them on columns: `{merge_strategy, data, row_count, columns}`.

    Datasets that are single mappings are combined side by side, each under its name.
    """
    named = [_dataset(dataset, position) for position, dataset in enumerate(parameters.datasets)]
    if parameters.merge_strategy == "join":
        table = Table(_joined(named, parameters))
    elif all(table.single for _, table in named):
        table = Table([{name: single.rows[0] for name, single in named}], single=True)
    else:
        table = _below(named)
    return _result("merge", None, table, merge_strategy=parameters.merge_strategy)


def clean(_context: ToolContext, parameters: CleanParameters) -> ToolResult:
    """Drop duplicates and treat missing values: `{data, original_count, row_count, columns, duplicates_removed}`.

    `handle_missing`: `drop` the row, `fill` with `fill_value`, take the value before (`forward_fill`) or after
    (`backward_fill`) it in the column, or `keep`.
    """
    table = table_of(parameters.data)
    rows = list({frozen(row): row for row in table.rows}.values()) if parameters.remove_duplicates else table.rows
    removed = len(table.rows) - len(rows)
    rows = _complete(rows, parameters)
    counts = {"original_count": len(table.rows), "duplicates_removed": removed}
    return _result("clean", parameters, Table(rows, table.single), **counts)


def _result(action: str, parameters: DataParameters | None, table: Table, **fields: Json) -> ToolResult:
    """A result with rows in the form that was asked for, their number and their columns.

    Raises:
        ParametersInvalid: there is no such form.
    """
    wanted = ((parameters.output_format if parameters else None) or "json").lower()
    if wanted not in FORMATS:
        raise ParametersInvalid(
            f"data-processing.{action}: output_format is {wanted!r}; there are: {', '.join(FORMATS)}"
        )
    data: Json = table.rows
    if wanted == "csv":
        data = csv_text(table.rows)
    elif table.single:
        data = table.rows[0] if table.rows else None
    shape = {"row_count": len(table.rows), "columns": columns_of(table.rows)}
    return _enveloped({"action": action, "data": data, **shape, **fields})


def _enveloped(output: dict[str, Json]) -> ToolResult:
    """The result, with its data where existing pipelines read them."""
    return ToolResult(output, envelope={"processed_data": output["data"]})


def _profiled(rows: list[Row], column: str) -> dict[str, Json]:
    """One column: its type (`mixed` and `empty` among them), missing and distinct values, the spread of numbers.

    Percentages are of all rows. Existing pipelines read `data_type`, `missing_count` and `unique_count`.
    """
    present = [row[column] for row in rows if not is_missing(row.get(column))]
    kinds = sorted({_kind(value) for value in present})
    described: dict[str, Json] = {
        "type": kinds[0] if len(kinds) == 1 else "mixed" if kinds else "empty",
        "missing": len(rows) - len(present),
        "distinct": len({frozen(value) for value in present}),
    }
    is_numeric = bool(kinds) and set(kinds) <= {"integer", "number"}
    if is_numeric:
        described["type"] = kinds[-1]
        described |= {name: aggregated(rows, column, name) for name in ("min", "max", "mean", "median", "std")}
        outliers = _outliers([value for value in present if isinstance(value, int | float)])
        described |= {"outlier_count": outliers, "outlier_percentage": _percentage(outliers, len(rows))}
    return described | {
        "data_type": "numeric" if is_numeric else described["type"],
        "missing_count": described["missing"],
        "missing_percentage": _percentage(len(rows) - len(present), len(rows)),
        "unique_count": described["distinct"],
    }


def _outliers(values: list[int | float]) -> int:
    """Numbers further than one and a half times the middle half's width beyond it (Tukey's fences)."""
    if len(values) < 2:
        return 0
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    reach = 1.5 * (upper - lower)
    return sum(not lower - reach <= value <= upper + reach for value in values)


def _percentage(part: int, whole: int) -> float:
    """Of a hundred, to two digits; 0 of nothing."""
    return round(100 * part / whole, 2) if whole else 0.0


def _kind(value: Json) -> str:
    """The JSON Schema name of a value's type."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _dataset(given: Json, position: int) -> tuple[str, Table]:
    """Name and table of one dataset; those without a name are `dataset_1` and so on."""
    if isinstance(given, dict) and "data" in given:
        return str(given.get("name", f"dataset_{position + 1}")), table_of(given["data"])
    raise ParametersInvalid(f"data-processing.merge: datasets[{position}] has no 'data'; each is {{name, data}}")


def _below(named: list[tuple[str, Table]]) -> Table:
    """All rows one below the other, each with every column."""
    rows = [row for _, table in named for row in table.rows]
    columns = columns_of(rows)
    return Table([{column: row.get(column) for column in columns} for row in rows])


def _joined(named: list[tuple[str, Table]], parameters: MergeParameters) -> list[Row]:
    """The datasets joined one after another, from left to right.

    Raises:
        ParametersInvalid: there is nothing to join, or nothing to join on.
    """
    keys = names_of(parameters.join_on, "join_on")
    if not keys or len(named) < 2:
        raise ParametersInvalid("data-processing.merge: a join takes two datasets or more, and columns as 'join_on'")
    rows = named[0][1].rows
    for name, table in named[1:]:
        rows = _join(rows, table.rows, keys, parameters.join_type, name)
    return rows


def _join(left: list[Row], right: list[Row], keys: list[str], kind: str, name: str) -> list[Row]:
    """SQL's join of two tables; a column that both have is taken from the right as `<column>_<name>`."""
    shared = set(columns_of(left)) - set(keys)
    renamed = [{f"{column}_{name}" if column in shared else column: row[column] for column in row} for row in right]
    by_key: dict[str, list[Row]] = {}
    for row in renamed:
        by_key.setdefault(_join_key(row, keys), []).append(row)
    blank_left, blank_right = (dict.fromkeys(columns_of(side)) for side in (left, renamed))
    joined = [
        {**blank_right, **match, **row}
        for row in left
        for match in by_key.get(_join_key(row, keys), [{}] if kind in ("left", "outer") else [])
    ]
    if kind in ("right", "outer"):
        met = {_join_key(row, keys) for row in left}
        joined += [{**blank_left, **row} for row in renamed if _join_key(row, keys) not in met]
    order = dict.fromkeys([*blank_left, *blank_right])
    return [{column: row.get(column) for column in order} for row in joined]


def _join_key(row: Row, keys: list[str]) -> str:
    """A row's values in the joined columns, as one key. Missing values meet each other, unlike in SQL."""
    return frozen([row.get(key) for key in keys])


def _complete(rows: list[Row], parameters: CleanParameters) -> list[Row]:
    """Rows with their missing values treated."""
    columns = columns_of(rows)
    match parameters.handle_missing:
        case "drop":
            return [row for row in rows if not any(is_missing(row.get(column)) for column in columns)]
        case "fill":
            return [_filled(row, dict.fromkeys(columns, parameters.fill_value)) for row in rows]
        case "forward_fill":
            return _filled_forward(rows, columns)
        case "backward_fill":
            return _filled_forward(rows[::-1], columns)[::-1]
        case "keep":
            return rows


def _filled(row: Row, values: dict[str, Any]) -> Row:
    """A row with all columns, its missing values taken from `values`."""
    return {column: value if is_missing(row.get(column)) else row[column] for column, value in values.items()}


def _filled_forward(rows: list[Row], columns: list[str]) -> list[Row]:
    """Rows whose missing values are the last ones seen above; None where there was none yet."""
    last: Row = dict.fromkeys(columns)
    filled: list[Row] = []
    for row in rows:
        last = _filled(row, last)
        filled.append(last)
    return filled
