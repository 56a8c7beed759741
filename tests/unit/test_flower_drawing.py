"""Where the boxes of a plan's drawing stand."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest

from orchestrator_client.contract.plan import Plan, Step
from orchestrator_client.flower.drawing import MOST_BOXES, drawing_of
from tests.fleet import plan_of_shape, python_step
from tests.integration.loops import each


def boxes_of(plan: Plan) -> dict[str, dict[str, Any]]:
    drawing = drawing_of(plan)
    assert drawing is not None
    return {box["id"]: box for box in drawing["boxes"]}


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (apart_x or apart_y)


def holds(outer: dict[str, Any], inner: dict[str, Any]) -> bool:
    return bool(
        outer["x"] < inner["x"]
        and outer["y"] < inner["y"]
        and inner["x"] + inner["w"] < outer["x"] + outer["w"]
        and inner["y"] + inner["h"] < outer["y"] + outer["h"]
    )


DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["a", "d"]}


def test_steps_stand_behind_what_they_wait_for_and_none_on_another() -> None:
    boxes = boxes_of(plan_of_shape(DIAMOND))
    for step, needs in DIAMOND.items():
        for need in needs:
            assert boxes[need]["x"] + boxes[need]["w"] < boxes[step]["x"]
    assert not any(overlap(one, other) for one, other in combinations(boxes.values(), 2))


def test_a_line_that_passes_a_column_goes_behind_no_box() -> None:
    drawing = drawing_of(plan_of_shape(DIAMOND))
    assert drawing is not None
    between = [box for box in drawing["boxes"] if box["id"] in ("b", "c", "d")]
    [line] = [line for line in drawing["lines"] if line.count("C") == 3]
    points = [tuple(map(float, pair)) for pair in re.findall(r"L(\S+) ([^C]+)C", line)]
    for x, y in points[1:]:
        assert not any(box["x"] < x - 1 < box["x"] + box["w"] and box["y"] < y < box["y"] + box["h"] for box in between)


def test_a_loop_holds_its_steps_once() -> None:
    inner = each("inner", [1], python_step("deep"))
    plan = Plan(id="p", steps=(python_step("a"), each("outer", [1], python_step("x"), inner, after=("a",))))
    boxes = boxes_of(plan)
    assert set(boxes) == {"a", "outer", "outer.x", "outer.inner", "outer.inner.deep"}
    assert holds(boxes["outer"], boxes["outer.x"])
    assert holds(boxes["outer"], boxes["outer.inner"])
    assert holds(boxes["outer.inner"], boxes["outer.inner.deep"])
    assert not overlap(boxes["outer.x"], boxes["outer.inner"])


def test_a_wide_fan_of_the_same_is_one_box() -> None:
    wide = tuple(python_step(f"w{number}", after=("a",)) for number in range(200))
    end = python_step("end", after=tuple(step.id for step in wide))
    boxes = boxes_of(Plan(id="p", steps=(python_step("a"), *wide, end)))
    assert set(boxes) == {"a", "w0", "end"}
    assert boxes["w0"]["label"] == "200 steps"
    assert len(boxes["w0"]["steps"]) == 200


@pytest.mark.parametrize("count", [MOST_BOXES + 1, 2_000])
def test_what_is_too_large_is_not_drawn(count: int) -> None:
    chain: list[Step] = [python_step("s0")]
    chain += [python_step(f"s{number}", after=(f"s{number - 1}",)) for number in range(1, count)]
    assert drawing_of(Plan(id="p", steps=tuple(chain))) is None
