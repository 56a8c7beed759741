"""A plan as boxes and lines: where each step stands. Pure. Lengths are in CSS pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from orchestrator_client.contract.plan import Plan, Step

WIDTH, HEIGHT = 184, 46
"""Of a step's box."""

BETWEEN_COLUMNS, BETWEEN_ROWS = 52, 14
MARGIN, HEADING = 14, 38
"""Around what a loop's box holds, and above that: its own name."""

STACK = 9
"""So many steps that do the same between the same neighbours become one box."""

MOST_BOXES = 400
"""A larger drawing is read by nobody, and slow; the table of steps has them all."""

PASSAGE = 6
"""Height of what a line needs that passes a column."""

LONGEST_LINE = 10
"""Columns that a line may pass and be led around their boxes; a longer one goes straight."""

SWEEPS = 4
"""Times that rows are put in the order of their neighbours."""


@dataclass(slots=True)
class Box:
    """A step, several of a kind, or a loop with its body inside."""

    id: str
    """Path of its (first) step in the plan: `each.draft`."""
    label: str
    detail: str
    steps: tuple[str, ...]
    """Paths of the steps that it stands for."""
    inner: Picture | None = None
    x: float = 0
    y: float = 0
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(slots=True)
class Picture:
    """One body: its boxes, placed, and between which of them lines go."""

    boxes: Sequence[Box]
    lines: Sequence[Sequence[Box]]
    """From a box to another, by the passages between them."""
    width: float
    height: float


def drawing_of(plan: Plan) -> dict[str, Any] | None:
    """What a page draws: the size of it all, boxes from the outside in, and lines as SVG paths; None if it is too
    large to be drawn."""
    if _count(plan) > MOST_BOXES:
        return None
    picture = _picture(plan, "")
    return {
        "width": picture.width,
        "height": picture.height,
        "boxes": [
            {
                "id": box.id,
                "label": box.label,
                "detail": box.detail,
                "steps": box.steps,
                "holds": box.inner is not None,
                "x": x,
                "y": y,
                "w": box.width,
                "h": box.height,
            }
            for box, x, y in _boxes(picture, 0, 0)
        ],
        "lines": list(_paths(picture, 0, 0)),
    }


def _count(plan: Plan) -> int:
    """Boxes that it would have."""
    inner = (_body(step) for step in plan.steps)
    return len(_stacks(plan)) + sum(_count(body) for body in inner if body is not None)


def _body(step: Step) -> Plan | None:
    """What a loop holds, as a plan of its own."""
    return None if step.loop is None else Plan(id=step.id, steps=step.loop.steps)


def _picture(plan: Plan, prefix: str) -> Picture:
    """One body, laid out from left to right."""
    stacks = _stacks(plan)
    boxes = {steps[0].id: _box(steps, prefix) for steps in stacks}
    box_of = {step.id: steps[0].id for steps in stacks for step in steps}
    columns = [list(dict.fromkeys(box_of[step] for step in level)) for level in plan.levels]
    found = (
        (box_of[before], box_of[step.id])
        for step in plan.steps
        for before in step.predecessors
        if before in box_of and box_of[before] != box_of[step.id]
    )
    lines = [_passed(one, other, columns, boxes) for one, other in dict.fromkeys(found)]
    _untangle(columns, [pair for line in lines for pair in pairwise(line)])
    width, height = _place([[boxes[name] for name in column] for column in columns])
    shown = [box for column in columns for name in column if (box := boxes[name]).steps]
    return Picture(shown, [[boxes[name] for name in line] for line in lines], width, height)


def _passed(one: str, other: str, columns: list[list[str]], boxes: dict[str, Box]) -> list[str]:
    """A line, with a passage through each column that lies between its ends, so that it goes behind no box."""
    first, last = (next(place for place, column in enumerate(columns) if end in column) for end in (one, other))
    line = [one]
    if last - first > LONGEST_LINE:
        return [one, other]
    for place in range(first + 1, last):
        passage = f"{one} {other} {place}"
        boxes[passage] = Box(passage, "", "", (), height=PASSAGE)
        columns[place].append(passage)
        line.append(passage)
    return [*line, other]


def _stacks(plan: Plan) -> list[list[Step]]:
    """The steps, those together that stand for one another in a wide fan."""
    alike: dict[object, list[Step]] = {}
    for step in plan.steps:
        followers = tuple(sorted(plan.followers.get(step.id, ())))
        body = step.id if step.loop else ""
        key = (step.kind, step.uses, tuple(sorted(step.predecessors)), followers, body)
        alike.setdefault(key, []).append(step)
    return [
        group for steps in alike.values() for group in ([steps] if len(steps) >= STACK else [[step] for step in steps])
    ]


def _box(steps: Sequence[Step], prefix: str) -> Box:
    first = steps[0]
    paths = tuple(f"{prefix}{step.id}" for step in steps)
    if len(steps) > 1:
        return Box(paths[0], f"{len(steps):,} steps", first.label.partition(" · ")[2], paths)
    detail = (first.model or first.uses) if first.kind == "model" else first.uses
    box = Box(paths[0], first.id, "templated" if "{{" in detail else detail, paths)
    if (body := _body(first)) is not None:
        inner = _picture(body, f"{paths[0]}.")
        box.inner = inner
        box.width, box.height = max(inner.width + 2 * MARGIN, WIDTH), inner.height + HEADING + MARGIN
    return box


def _untangle(columns: list[list[str]], lines: Sequence[tuple[str, str]]) -> None:
    """Order each column by the middle of its neighbours in the one before, and back, so that fewer lines cross."""
    before: dict[str, list[str]] = {}
    behind: dict[str, list[str]] = {}
    for one, other in lines:
        before.setdefault(other, []).append(one)
        behind.setdefault(one, []).append(other)
    for sweep in range(SWEEPS):
        neighbours = behind if sweep % 2 else before
        rows = {name: float(row) for column in columns for row, name in enumerate(column)}
        for column in reversed(columns) if sweep % 2 else columns:
            middle = {name: _middle([rows[other] for other in neighbours.get(name, ())], rows[name]) for name in column}
            column.sort(key=middle.__getitem__)
            rows |= {name: float(row) for row, name in enumerate(column)}


def _middle(rows: Sequence[float], own: float) -> float:
    return sum(rows) / len(rows) if rows else own


def _place(columns: Sequence[Sequence[Box]]) -> tuple[float, float]:
    """Give every box its place; returns the size of all."""
    heights = [sum(box.height + BETWEEN_ROWS for box in column) - BETWEEN_ROWS for column in columns]
    highest, x = max(heights, default=0.0), 0.0
    for column, height in zip(columns, heights, strict=True):
        y, width = (highest - height) / 2, max(box.width for box in column)
        for box in column:
            box.x, box.y = x, y
            box.width = box.width if box.steps else width
            y += box.height + BETWEEN_ROWS
        x += width + BETWEEN_COLUMNS
    return max(x - BETWEEN_COLUMNS, 0.0), highest


def _within(box: Box, x: float, y: float) -> tuple[float, float]:
    """Where what a loop's box holds begins."""
    return x + box.x + MARGIN, y + box.y + HEADING


def _boxes(picture: Picture, x: float, y: float) -> Iterator[tuple[Box, float, float]]:
    for box in picture.boxes:
        yield box, x + box.x, y + box.y
        if box.inner is not None:
            yield from _boxes(box.inner, *_within(box, x, y))


def _paths(picture: Picture, x: float, y: float) -> Iterator[str]:
    """Lines from the right of one box to the left of another: curves between columns, straight through passages."""
    for line in picture.lines:
        path = f"M{x + line[0].x + line[0].width:g} {y + line[0].y + line[0].height / 2:g}"
        for one, other in pairwise(line):
            x1, y1 = x + one.x + one.width, y + one.y + one.height / 2
            x2, y2 = x + other.x, y + other.y + other.height / 2
            bend = (x2 - x1) / 2
            path += f"L{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
        yield path
    for box in picture.boxes:
        if box.inner is not None:
            yield from _paths(box.inner, *_within(box, x, y))
