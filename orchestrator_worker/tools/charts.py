"""Charts of rows, drawn with matplotlib: the one module that knows it. Nothing is shown, everything becomes bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.rows import Row, columns_of

POINTS = 10_000
"""Rows that one chart draws; a picture shows no more."""
LABELS = 30
"""Bars and slices of one chart."""
SERIES = 8
"""Columns of numbers in one chart."""

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn: rows by a column of labels and columns of numbers."""

    kind: str
    title: str
    labels: list[str]
    series: Mapping[str, list[float]]


def charts_of(rows: list[Row], kinds: list[str], title: str, x: str | None, y: list[str]) -> list[Chart]:
    """One chart for each kind; `auto` is a bar chart where a column has texts, else a line chart.

    Raises:
        ParametersInvalid: there are no rows or no numbers, a column is not there, or a kind is not known.
    """
    if not rows:
        raise ParametersInvalid("visualization: there are no rows to draw")
    rows, columns = rows[:POINTS], columns_of(rows[:POINTS])
    if missing := [name for name in (*([x] if x else []), *y) if name not in columns]:
        raise ParametersInvalid(
            f"visualization: there is no column '{missing[0]}'; there is {', '.join(columns)[:300]}"
        )
    numbers = y or [name for name in columns if name != x and _is_number(rows, name)][:SERIES]
    if not numbers:
        raise ParametersInvalid(f"visualization: no column has numbers, of {', '.join(columns)[:300]}")
    words = x or next((name for name in columns if name not in numbers), None)
    labels = [str(row.get(words)) if words else str(place) for place, row in enumerate(rows, 1)]
    series = {name: [_number(row.get(name)) for row in rows] for name in numbers}
    known = [_kind(written, words is not None) for written in kinds]
    return [Chart(kind, title or f"{kind} of {', '.join(numbers)}", labels, series) for kind in dict.fromkeys(known)]


def _kind(written: str, has_words: bool) -> str:
    name = written.strip().lower().removesuffix("_chart").removesuffix("_plot").removesuffix(" chart")
    if name == AUTO:
        return "bar" if has_words else "line"
    name = {"hist": "histogram", "boxplot": "box"}.get(name, name)
    if name not in _DRAWINGS:
        raise ParametersInvalid(
            f"visualization: no chart type '{written[:40]}'; types are {', '.join(_DRAWINGS)}, auto"
        )
    return name


def drawn(chart: Chart, form: str) -> bytes:
    """The chart as a picture, `png` or `svg`.

    Raises:
        ToolFailed: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolFailed(
            f"charts need matplotlib: pip install 'orchestrator[visualization]' ({error})", False
        ) from None
    # No pyplot: it keeps every figure in a global list, and threads would share it.
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(chart.title.replace("$", r"\$"))
    _DRAWINGS[chart.kind](axes, chart)
    if len(chart.series) > 1 and chart.kind not in ("pie", "heatmap", "box"):
        axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format=form, metadata={"Date": None} if form == "svg" else None)
    return picture.getvalue()


def _bar(axes: Any, chart: Chart) -> None:
    labels = chart.labels[:LABELS]
    width = 0.8 / len(chart.series)
    for place, (name, values) in enumerate(chart.series.items()):
        axes.bar([at + place * width for at in range(len(labels))], values[:LABELS], width, label=name)
    axes.set_xticks([at + 0.4 - width / 2 for at in range(len(labels))], labels, rotation=45, ha="right")


def _line(axes: Any, chart: Chart) -> None:
    for name, values in chart.series.items():
        axes.plot(range(len(values)), values, marker="o" if len(values) <= LABELS else None, label=name)
    if len(chart.labels) <= LABELS:
        axes.set_xticks(range(len(chart.labels)), chart.labels, rotation=45, ha="right")


def _scatter(axes: Any, chart: Chart) -> None:
    """The first column of numbers against the others; against its place where it is the only one."""
    (first, across), *others = chart.series.items()
    axes.set_xlabel(first if others else "")
    for name, values in others or [(first, across)]:
        axes.scatter(across if others else range(len(values)), values, label=name)


def _histogram(axes: Any, chart: Chart) -> None:
    for name, values in chart.series.items():
        axes.hist([value for value in values if not math.isnan(value)], bins="auto", alpha=0.7, label=name)


def _pie(axes: Any, chart: Chart) -> None:
    (name, values), *_ = chart.series.items()
    parts = [(label, value) for label, value in zip(chart.labels, values, strict=True) if value > 0][:LABELS]
    if not parts:
        raise ParametersInvalid(f"visualization: a pie needs numbers above 0, and '{name}' has none")
    axes.pie([value for _, value in parts], labels=[label for label, _ in parts], autopct="%1.0f%%")


def _box(axes: Any, chart: Chart) -> None:
    known = [[value for value in values if not math.isnan(value)] for values in chart.series.values()]
    axes.boxplot(known)
    axes.set_xticks(range(1, len(known) + 1), list(chart.series))


def _heatmap(axes: Any, chart: Chart) -> None:
    """The numbers themselves, a row for each label."""
    names = list(chart.series)
    rows = [list(row) for row in zip(*chart.series.values(), strict=True)][:LABELS]
    image = axes.imshow(rows, aspect="auto")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(rows)), chart.labels[:LABELS])
    axes.figure.colorbar(image)


_DRAWINGS: Mapping[str, Callable[[Any, Chart], None]] = {
    "bar": _bar,
    "line": _line,
    "scatter": _scatter,
    "histogram": _histogram,
    "pie": _pie,
    "box": _box,
    "heatmap": _heatmap,
}


def _is_number(rows: list[Row], column: str) -> bool:
    """Whether a column has numbers, and nothing else but gaps."""
    found = [row[column] for row in rows if row.get(column) not in (None, "")]
    return bool(found) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)


def _number(value: Json) -> float:
    """A number, or a gap."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
