"""Transformations of rows, one function each. No expression engine: conditions compare, calculations combine two."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from orchestrator_client.contract.catalog import suggestion
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import InputType, Json, coerce
from orchestrator_worker.tools.aggregation import aggregated, grouped
from orchestrator_worker.tools.normalization import normalized
from orchestrator_worker.tools.rows import Row, Table, frozen, is_missing, names_of

_CONDITION = re.compile(r"\s*([^\W\d][\w.-]*)\s*(==|!=|>=|<=|>|<)\s*(.+?)\s*")
_CALCULATION = re.compile(r"\s*([\w.]+)\s*([-+*/])\s*([\w.]+)\s*")
_DATE_FORMAT = re.compile(
    r"""\s*DATE_FORMAT\(\s*([^\W\d][\w.-]*)\s*,\s*(['"])((?:[^%'"]|%[A-Za-z%]){1,100})\2\s*\)\s*""", re.IGNORECASE
)
"""A column, and a form as `strftime` takes it, without widths, which could be of any size."""
_COMPARISONS: Mapping[str, Callable[[Json, Json], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CALCULATIONS: Mapping[str, Callable[[Json, Json], Json]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_CASTS: Mapping[str, InputType] = {
    "int": InputType.INTEGER,
    "integer": InputType.INTEGER,
    "float": InputType.NUMBER,
    "number": InputType.NUMBER,
    "str": InputType.STRING,
    "string": InputType.STRING,
    "bool": InputType.BOOLEAN,
    "boolean": InputType.BOOLEAN,
}


def transformed(table: Table, transformation: Json) -> Table:
    """The table after one transformation, `{type: …, …}`.

    Raises:
        ParametersInvalid: there is no such transformation, or it does not fit the rows.
    """
    if not isinstance(transformation, dict):
        raise ParametersInvalid(f"transformation {transformation!r} is no mapping with a type")
    kind = str(transformation.get("type"))
    if kind not in _TRANSFORMATIONS:
        near = suggestion(kind, _TRANSFORMATIONS) or f"there are: {', '.join(_TRANSFORMATIONS)}"
        raise ParametersInvalid(f"no transformation of type {kind!r}; {near}")
    return _TRANSFORMATIONS[kind](table, transformation)


def matches(row: Row, criteria: Mapping[str, Json]) -> bool:
    """Whether every field equals its criterion. A field that the row lacks equals nothing."""
    return all(field in row and equal(row[field], wanted) for field, wanted in criteria.items())


def equal(found: Json, wanted: Json) -> bool:
    """Equality between data and plan: CSV has only text and numbers, so `true` there equals true; 1 never does."""
    if isinstance(found, bool) is isinstance(wanted, bool):
        return bool(found == wanted) or (isinstance(found, str) ^ isinstance(wanted, str) and _spelled(found, wanted))
    return isinstance(found, str | bool) and isinstance(wanted, str | bool) and _spelled(found, wanted)


def _spelled(found: Json, wanted: Json) -> bool:
    """Whether two values are spelled alike, in either case of letters."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in (found, wanted)]
    return texts[0].lower() == texts[1].lower()


def _filter(table: Table, given: Row) -> Table:
    """Keep rows by `field` and `value` (and `operator`), by `criteria`, or by a `condition`."""
    if "condition" in given:
        keep = _condition(str(given["condition"]))
    elif "field" in given:
        field, wanted = str(given["field"]), given.get("value")
        keep = _comparing(field, str(given.get("operator", "==")), wanted)
    elif isinstance(criteria := given.get("criteria"), dict):
        keep = lambda row: matches(row, criteria)  # noqa: E731
    else:
        raise ParametersInvalid("a filter takes 'field' and 'value', or 'criteria', or a 'condition'")
    return Table([row for row in table.rows if keep(row)], table.single)


def _condition(text: str) -> Callable[[Row], bool]:
    """A condition such as `status != 'cancelled'` as a predicate.

    Raises:
        ParametersInvalid: it is more than one comparison with a literal.
    """
    if not (found := _CONDITION.fullmatch(text)):
        raise ParametersInvalid(
            f"condition {text!r} is not understood; write it as: column == value (or !=, <, <=, >, >=)"
        )
    field, comparison, literal = found.groups()
    return _comparing(field, comparison, _literal(literal))


def _comparing(field: str, comparison: str, wanted: Json) -> Callable[[Row], bool]:
    """A predicate on one field. A missing value is unequal to everything and has no order."""
    if comparison == "==":
        return lambda row: field in row and equal(row[field], wanted)
    if comparison == "!=":
        return lambda row: not (field in row and equal(row[field], wanted))
    if comparison not in _COMPARISONS:
        raise ParametersInvalid(f"no comparison {comparison!r}; there are ==, !=, {', '.join(_COMPARISONS)}")
    return lambda row: not is_missing(row.get(field)) and _ordered(row[field], comparison, wanted, field)


def _ordered(found: Json, comparison: str, wanted: Json, field: str) -> bool:
    """Compare by size.

    Raises:
        ParametersInvalid: text and numbers have no order among each other.
    """
    try:
        return _COMPARISONS[comparison](found, wanted)
    except TypeError:
        raise ParametersInvalid(f"column {field!r} holds {found!r}, which has no order with {wanted!r}") from None


def _literal(text: str) -> Json:
    """A quoted text, number, true, false or null."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        raise ParametersInvalid(f"{text!r} is no number, true, false or null; put text in quotes") from None


def _aggregate(table: Table, given: Row) -> Table:
    """One aggregate (`operation` and `field`, left as `<field>_<operation>`), or several as `aggregations`."""
    by = names_of(given.get("group_by"), "group_by")
    if isinstance(given.get("aggregations"), dict):
        rows = grouped(table.rows, by, given["aggregations"])
    else:
        function, field = given.get("operation", given.get("function", "sum")), given.get("field", given.get("column"))
        if not isinstance(field, str):
            raise ParametersInvalid("an aggregate takes 'operation' and 'field', or 'aggregations'")
        name = f"{field}_{function}"
        # Rows that were all filtered away still have a sum.
        known = bool(table.rows)
        rows = grouped(table.rows, by, {name: {"column": field, "function": function}}) if known else []
        rows = rows or ([] if by else [{name: aggregated([], field, function)}])
    return Table(rows, single=not by)


def _rename(table: Table, given: Row) -> Table:
    """Rename columns by `mapping`, old name to new; a column that no row has is no error."""
    mapping = _mapping(given, "mapping", "fields")
    return Table(
        [{mapping.get(column, column): value for column, value in row.items()} for row in table.rows], table.single
    )


def _add(table: Table, given: Row) -> Table:
    """Set `field` to `value` in every row."""
    field = _name(given, "field")
    return Table([{**row, field: given.get("value")} for row in table.rows], table.single)


def _deduplicate(table: Table, given: Row) -> Table:
    """Keep the first (or `keep: last`) of the rows that agree in `columns`, or in all."""
    columns = names_of(given.get("columns"), "columns")
    last = given.get("keep", "first") == "last"
    kept: dict[str, Row] = {}
    for row in reversed(table.rows) if last else table.rows:
        kept.setdefault(frozen([row.get(column) for column in columns] if columns else row), row)
    return Table(list(reversed(kept.values())) if last else list(kept.values()), table.single)


def _cast(table: Table, given: Row) -> Table:
    """Convert columns to types, losing nothing: 2.5 is no integer."""
    columns = _mapping(given, "columns", "mapping")
    return Table(
        [
            {name: _as(value, columns[name], name) if name in columns else value for name, value in row.items()}
            for row in table.rows
        ],
        table.single,
    )


def _as(value: Json, wanted: Json, column: str) -> Json:
    """One value as the wanted type; missing values stay missing, as null.

    Raises:
        ParametersInvalid: it is not of that type, or there is no such type.
    """
    if is_missing(value):
        return None
    try:
        if wanted in ("date", "datetime"):
            moment = datetime.fromisoformat(str(value))
            return (moment.date() if wanted == "date" else moment).isoformat()
        if wanted in _CASTS:
            return coerce(value, _CASTS[str(wanted)])
    except ValueError:
        raise ParametersInvalid(f"column {column!r} holds {value!r}, which is no {wanted}") from None
    raise ParametersInvalid(f"column {column!r}: no type {wanted!r}; there are: {', '.join(_CASTS)}, date, datetime")


def _fill(table: Table, given: Row) -> Table:
    """Fill missing values: by column with `strategy`, or everywhere with `value`."""
    if isinstance(given.get("strategy"), dict) or isinstance(given.get("values"), dict):
        fill = _mapping(given, "strategy", "values")
        rows = [
            {**row, **{name: value for name, value in fill.items() if is_missing(row.get(name))}} for row in table.rows
        ]
    else:
        rows = [
            {name: given.get("value") if is_missing(value) else value for name, value in row.items()}
            for row in table.rows
        ]
    return Table(rows, table.single)


def _calculate(table: Table, given: Row) -> Table:
    """New columns, each of two operands or of a date, as `expressions`, or as `field` and `expression`."""
    expressions = given.get("expressions") or {_name(given, "field"): given.get("expression")}
    if not isinstance(expressions, dict):
        raise ParametersInvalid("a calculation takes 'expressions', or 'field' and 'expression'")
    rows = [dict(row) for row in table.rows]
    for name, expression in expressions.items():
        value_in = _calculation(expression)
        for row in rows:
            row[name] = value_in(row)
    return Table(rows, table.single)


def _calculation(expression: Json) -> Callable[[Row], Json]:
    """What an expression makes of a row.

    Raises:
        ParametersInvalid: it is neither `a * b` nor `DATE_FORMAT(column, '%Y-%m')`.
    """
    if found := _DATE_FORMAT.fullmatch(str(expression)):
        column, _, form = found.groups()
        return lambda row: _dated(row.get(column), form, column)
    if not (found := _CALCULATION.fullmatch(str(expression))):
        remedy = "write it as: a * b (or +, -, /), or as DATE_FORMAT(column, '%Y-%m')"
        raise ParametersInvalid(f"calculation {expression!r} is not understood; {remedy}")
    left, sign, right = found.groups()
    return lambda row: _combined(row, left, sign, right)


def _dated(value: Json, form: str, column: str) -> Json:
    """A date in another form, or None where it is missing."""
    if is_missing(value):
        return None
    try:
        return datetime.fromisoformat(str(value)).strftime(form)
    except ValueError:
        raise ParametersInvalid(f"column {column!r} holds {value!r}, which is no date") from None


def _combined(row: Row, left: str, sign: str, right: str) -> Json:
    """The result, or None where a value is missing."""
    values = [row.get(side) if not side[0].isdigit() else _literal(side) for side in (left, right)]
    if any(is_missing(value) for value in values):
        return None
    try:
        return _CALCULATIONS[sign](*values)
    except (TypeError, ArithmeticError) as error:
        raise ParametersInvalid(
            f"{left} {sign} {right} cannot be calculated of {values[0]!r} and {values[1]!r}: {error}"
        ) from None


def _mapping(given: Row, *names: str) -> dict[str, Json]:
    """The first of some parameters that is a mapping."""
    for name in names:
        if isinstance(given.get(name), dict):
            return dict(given[name])
    raise ParametersInvalid(f"transformation {given.get('type')!r} takes a mapping {names[0]!r}")


def _name(given: Row, key: str) -> str:
    """A parameter that names a column."""
    if not isinstance(given.get(key), str):
        raise ParametersInvalid(f"transformation {given.get('type')!r} takes the name of a column as {key!r}")
    return str(given[key])


_TRANSFORMATIONS: Mapping[str, Callable[[Table, Row], Table]] = {
    "filter": _filter,
    "aggregate": _aggregate,
    "rename_fields": _rename,
    "rename": _rename,
    "add_field": _add,
    "deduplicate": _deduplicate,
    "cast": _cast,
    "fill_missing": _fill,
    "calculate": _calculate,
    "normalize": normalized,
}
