"""Grouping and pivoting of rows. Missing values (null, empty text) take no part in any aggregate."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

from orchestrator_client.contract.catalog import suggestion
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.rows import Row, frozen, is_missing

Number = int | float


def _total(numbers: list[Number]) -> Number:
    """A sum that is exact for whole numbers, and does not depend on the order of the others."""
    return math.fsum(numbers) if any(isinstance(number, float) for number in numbers) else sum(numbers)


_OF_NUMBERS: Mapping[str, Callable[[list[Number]], Number]] = {
    "sum": _total,
    "mean": statistics.fmean,
    "median": statistics.median,
    "std": lambda numbers: statistics.stdev(numbers) if len(numbers) > 1 else 0.0,
}
_OF_VALUES: Mapping[str, Callable[[list[Json]], Json]] = {
    "min": min,
    "max": max,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "list": list,
}
_OF_ANY_NUMBER_OF_VALUES: Mapping[str, Callable[[list[Json]], Json]] = {
    "count": len,
    "count_distinct": lambda values: len({frozen(value) for value in values}),
}
_ALIASES = {"avg": "mean", "average": "mean", "nunique": "count_distinct", "size": "count", "stddev": "std"}

FUNCTIONS = (*_OF_NUMBERS, *_OF_VALUES, *_OF_ANY_NUMBER_OF_VALUES)


def aggregated(rows: list[Row], column: str, function: Json) -> Json:
    """One aggregate of one column; of no values at all: 0 for a sum or count, else None.

    Raises:
        ParametersInvalid: there is no such function, or the column holds what it cannot work on.
    """
    name = _ALIASES.get(function, function) if isinstance(function, str) else function
    if name not in FUNCTIONS:
        near = suggestion(str(name), FUNCTIONS)
        raise ParametersInvalid(f"no aggregate function {function!r}; {near or 'there are: ' + ', '.join(FUNCTIONS)}")
    values = [row[column] for row in rows if not is_missing(row.get(column))]
    if name in _OF_ANY_NUMBER_OF_VALUES:
        return _OF_ANY_NUMBER_OF_VALUES[name](values)
    if not values:
        return 0 if name == "sum" else [] if name == "list" else None
    if name in _OF_NUMBERS:
        return _OF_NUMBERS[name](_numbers(values, column, name))
    try:
        return _OF_VALUES[name](values)
    except TypeError as error:
        raise ParametersInvalid(f"column {column!r} mixes kinds of values, so it has no {name}: {error}") from None


def groups(rows: list[Row], columns: list[str]) -> list[tuple[Row, list[Row]]]:
    """Rows by the values of some columns, in the order of first appearance; no columns make one group."""
    found: dict[str, tuple[Row, list[Row]]] = {}
    if not columns:
        return [({}, rows)]
    for row in rows:
        key = {column: row.get(column) for column in columns}
        found.setdefault(frozen(list(key.values())), (key, []))[1].append(row)
    return list(found.values())


def grouped(rows: list[Row], columns: list[str], aggregations: Mapping[str, Json]) -> list[Row]:
    """One row a group: the columns it is grouped by, then one column an aggregation."""
    wanted = [(name, *_wanted(name, aggregation)) for name, aggregation in aggregations.items()]
    _check_columns(rows, [*columns, *(column for _, column, _ in wanted)])
    return [
        {**key, **{name: aggregated(members, column, function) for name, column, function in wanted}}
        for key, members in groups(rows, columns)
    ]


def pivoted(
    rows: list[Row], index: list[str], columns: list[str], values: list[str], function: str, fill: Json
) -> list[Row]:
    """One row an index value, one column a value of `columns`; `fill` where there is nothing to aggregate."""
    _check_columns(rows, [*index, *columns, *values])
    headings = [(_heading(key), key) for key, _ in groups(rows, columns)]
    table: list[Row] = []
    for key, members in groups(rows, index):
        row = dict(key)
        by_heading = {_heading(found): cell for found, cell in groups(members, columns)}
        for value in values:
            for heading, _ in headings:
                name = heading if len(values) == 1 else f"{value}_{heading}"
                cell = by_heading.get(heading)
                row[name] = fill if cell is None else aggregated(cell, value, function)
        table.append(row)
    return table


def _wanted(name: str, aggregation: Json) -> tuple[str, Json]:
    """Column and function of one aggregation: `n: sum`, or `total: {column: n, function: sum}`."""
    if isinstance(aggregation, str):
        return name, aggregation
    if isinstance(aggregation, dict) and isinstance(aggregation.get("function"), str):
        return str(aggregation.get("column", name)), aggregation["function"]
    raise ParametersInvalid(f"aggregation {name!r} is {aggregation!r}; give a function, or a column and a function")


def _check_columns(rows: list[Row], columns: list[str]) -> None:
    """Refuse columns that no row has: a misspelt one would aggregate to nothing, and nobody would notice."""
    known = {column for row in rows for column in row}
    for column in columns:
        if rows and column not in known:
            near = suggestion(column, known) or f"there are: {', '.join(sorted(known))[:200]}"
            raise ParametersInvalid(f"no row has a column {column!r}; {near}")


def _numbers(values: list[Json], column: str, name: str) -> list[Number]:
    """The values, all of them numbers; a text among them is refused, not skipped, or a sum would be silently wrong."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ParametersInvalid(f"column {column!r} holds {value!r}, which {name} cannot take; cast or filter it")
    return values


def _heading(key: Row) -> str:
    """The heading of a pivot's column: text as it is, other values as JSON, several joined by `_`."""
    return "_".join(value if isinstance(value, str) else frozen(value) for value in key.values())
