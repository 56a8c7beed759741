"""Rows: what the data tools work on, read from JSON, CSV, lists and mappings, and written back."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass

from orchestrator_client.contract.caps import VALUE_BYTES
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json

Row = dict[str, Json]

# Columns may hold whole documents; the module's own limit of 128 KB is for none.
csv.field_size_limit(VALUE_BYTES)

_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?([eE][+-]?\d{1,2})?")
"""Numbers as JSON writes them. Anything else stays text: `007`, `+49…` and `1.2.3` are names of things."""

_HOLDERS = ("records", "data", "rows", "items", "results")
"""Keys under which files hold their rows, tried in this order before any other list of mappings."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, and whether they came as one mapping that is not a list."""

    rows: list[Row]
    single: bool = False


def table_of(data: Json) -> Table:
    """Read rows from whatever a step was given; rows are copies, so what is done to them stays here.

    Raises:
        ParametersInvalid: it is neither rows, nor holds any, nor is text in JSON or CSV.
    """
    parsed = _parsed(data) if isinstance(data, str) else data
    if isinstance(parsed, dict):
        held = _held(parsed)
        return Table([dict(parsed)], single=True) if held is None else Table([dict(row) for row in held])
    if isinstance(parsed, list):
        for index, row in enumerate(parsed):
            if not isinstance(row, dict):
                raise ParametersInvalid(f"data[{index}] is a {type(row).__name__}; rows are a list of mappings")
        return Table([dict(row) for row in parsed])
    raise ParametersInvalid(
        f"data is a {type(parsed).__name__}; give a list of mappings, a mapping, or JSON or CSV text"
    )


def columns_of(rows: list[Row]) -> list[str]:
    """Every column, in the order of first appearance."""
    return list(dict.fromkeys(column for row in rows for column in row))


def csv_text(rows: list[Row]) -> str:
    """Rows as CSV (RFC 4180, with a header): nothing for null, JSON for what is nested, `true` and `false`."""
    written = io.StringIO()
    columns = columns_of(rows)
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([[_cell(row.get(column)) for column in columns] for row in rows])
    return written.getvalue()


def names_of(value: Json, what: str) -> list[str]:
    """One column or a list of them, as a list.

    Raises:
        ParametersInvalid: it is neither.
    """
    names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    if any(not isinstance(name, str) for name in names) or (value and not names):
        raise ParametersInvalid(f"{what} is {value!r}; give the name of a column, or a list of names")
    return names


def is_missing(value: Json) -> bool:
    """Null and empty text count as missing; 0 and false do not."""
    return value is None or value == ""


def frozen(value: Json) -> str:
    """A value as a key: equal values have equal keys, and 1 is not true."""
    return json.dumps(value, sort_keys=True)


def _held(mapping: Row) -> list[Row] | None:
    """The rows that a mapping holds, or None where it is a row itself."""
    for key in (*_HOLDERS, *mapping):
        value = mapping.get(key)
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return value
    return None


def _parsed(text: str) -> Json:
    """Text as JSON where it starts like JSON, else as CSV. A byte-order mark, as spreadsheets write it, is dropped."""
    text = text.removeprefix("\ufeff").strip()
    if text.startswith(("{", "[")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ParametersInvalid(f"data is text that starts like JSON, but does not parse: {error}") from None
    return _from_csv(text)


def _from_csv(text: str) -> list[Row]:
    """CSV with a header, its delimiter being the one of `, ; tab |` that the header has most of.

    Raises:
        ParametersInvalid: it is one word, is quoted wrongly, or names a column twice.
    """
    header_line = text.partition("\n")[0]
    delimiter = max(",;\t|", key=header_line.count)
    if "\n" not in text and delimiter not in text:
        raise ParametersInvalid(f"data is the text {text[:60]!r}, which is neither JSON nor CSV")
    try:
        header, *lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise ParametersInvalid(f"data is text that is neither JSON nor CSV: {error}") from None
    if len(set(header)) < len(header):
        raise ParametersInvalid(f"data is CSV whose header names a column twice: {', '.join(header)[:200]}")
    return [_row(header, line, number) for number, line in enumerate(lines, 2) if line]


def _row(header: list[str], line: list[str], number: int) -> Row:
    """One record; fields missing at its end are null.

    Raises:
        ParametersInvalid: it has more fields than the header.
    """
    if len(line) > len(header):
        raise ParametersInvalid(f"data is CSV whose record {number} has {len(line)} fields, its header {len(header)}")
    padded = [*line, *[""] * (len(header) - len(line))]
    return {column.strip(): _read_cell(cell) for column, cell in zip(header, padded, strict=True)}


def _read_cell(cell: str) -> Json:
    """Null for nothing, a number for what reads as one, else text. `=1+1` is text like any other."""
    if cell == "":
        return None
    return json.loads(cell) if _NUMBER.fullmatch(cell) else cell


def _cell(value: Json) -> str:
    """A value as a field, the reverse of `_read_cell` for all but text that looks like a number."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
