"""Columns of numbers brought to one scale."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from orchestrator_client.contract.catalog import suggestion
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.rows import Row, Table, is_missing, names_of

Number = int | float


def normalized(table: Table, given: Row) -> Table:
    """Scale `columns`, or all that hold numbers and nothing else, by `method`; missing values stay missing.

    `min-max` (0 to 1) or `z-score` (mean 0, standard deviation 1). A column whose values are all alike becomes 0.

    Raises:
        ParametersInvalid: there is no such method, or a column that is named holds something else.
    """
    method = str(given.get("method", "min-max")).strip().lower().replace("_", "-")
    if method not in _METHODS:
        near = suggestion(method, _METHODS) or f"there are: {', '.join(_METHODS)}"
        raise ParametersInvalid(f"no normalization {method!r}; {near}")
    named = names_of(given.get("columns"), "columns")
    scales = {}
    for column in named or list(dict.fromkeys(column for row in table.rows for column in row)):
        values = [row[column] for row in table.rows if not is_missing(row.get(column))]
        wrong = next((value for value in values if not _is_number(value)), None)
        if wrong is None and values:
            scales[column] = _METHODS[method](values)
        elif named and values:
            raise ParametersInvalid(f"column {column!r} holds {wrong!r}, which is no number, and cannot be normalized")
    return Table(
        [{name: _scaled(value, scales.get(name)) for name, value in row.items()} for row in table.rows], table.single
    )


def _is_number(value: Json) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool)


def _scaled(value: Json, scale: tuple[Number, Number] | None) -> Json:
    """A value less the zero of its scale, in the unit of it."""
    if scale is None or is_missing(value):
        return value
    zero, unit = scale
    return (value - zero) / unit if unit else 0.0


def _between_extremes(values: list[Number]) -> tuple[Number, Number]:
    return min(values), max(values) - min(values)


def _around_the_mean(values: list[Number]) -> tuple[Number, Number]:
    return statistics.fmean(values), statistics.pstdev(values)


_METHODS: Mapping[str, Callable[[list[Number]], tuple[Number, Number]]] = {
    **dict.fromkeys(("min-max", "minmax"), _between_extremes),
    **dict.fromkeys(("z-score", "zscore", "standard"), _around_the_mean),
}
"""Method -> the zero and the unit of a column's scale."""
