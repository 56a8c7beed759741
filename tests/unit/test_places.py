"""Where an instance stands, and whose values its step's names mean there."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.plan import LoopKind, Plan, Step
from orchestrator_worker.compiler import compile_plan
from orchestrator_worker.context.places import asks_model, bindings, place_of, scope_name
from tests.integration.loops import each, loop, text

BODY = (
    text("one", "x", reads=("one", "two", "before")),
    text("two", "x", after=("one",), reads=("one", "two", "last")),
    text("last", "x", after=("two",), reads=("one",)),
)
GRAPH = compile_plan(
    Plan(
        id="p",
        steps=(
            text("before", "x"),
            each("m", [1], *BODY, after=("before",)),
            loop(
                "lp",
                LoopKind.WHILE,
                True,
                each("in", [1], text("leaf", "x", reads=("side", "before"))),
                text("side", "x"),
            ),
            loop("again", LoopKind.UNTIL, True, *BODY),
        ),
    )
)


@pytest.mark.parametrize(
    ("instance", "step", "scopes", "prefix"),
    [
        ("before", "before", [], ""),
        ("m", "m", [], ""),
        ("m[12].one", "one", ["m[12]"], "m[12]."),
        ("lp#3.side", "side", ["lp#3"], "lp#3."),
        ("lp#3.in[0].leaf", "leaf", ["lp#3", "lp#3.in[0]"], "lp#3.in[0]."),
        ("m[1].one#2.3", None, ["m[1]"], "m[1]."),
        ("before#0.1", None, [], ""),
    ],
)
def test_a_name_is_a_path(instance: str, step: str | None, scopes: list[str], prefix: str) -> None:
    place = place_of(GRAPH, instance)
    assert (place.step.id if place.step else None) == step
    assert [scope.name for scope in place.scopes] == scopes
    assert (place.instance, place.prefix) == (instance, prefix)


@pytest.mark.parametrize("instance", ["gone", "m[0].gone", "gone[0].one", "m[x].one", "m[0].", ".one", ""])
def test_a_name_that_the_plan_does_not_have(instance: str) -> None:
    with pytest.raises(KeyError):
        place_of(GRAPH, instance)


@pytest.mark.parametrize(
    ("instance", "reads"),
    [
        # In a map, all means this item.
        ("m[2].one", {"one": "m[2].one", "two": "m[2].two", "before": "before"}),
        # In a loop, what comes later, or the step itself, means the pass before.
        ("again#0.one", {"before": "before"}),
        ("again#2.one", {"one": "again#1.one", "two": "again#1.two", "before": "before"}),
        ("again#2.two", {"one": "again#2.one", "two": "again#1.two", "last": "again#1.last"}),
        ("again#2.last", {"one": "again#2.one"}),
        # From within a map in a loop: `side` does not come before the map.
        ("lp#0.in[1].leaf", {"before": "before"}),
        ("lp#1.in[1].leaf", {"before": "before", "side": "lp#0.side"}),
        ("before#1.1", {}),
    ],
)
def test_what_the_names_of_a_step_mean(instance: str, reads: dict[str, str]) -> None:
    assert place_of(GRAPH, instance).reads() == reads


@pytest.mark.parametrize(
    ("instance", "asks"),
    [("a#0.1", True), ("m[0].a#0.12", True), ("a#1.1", False), ("a#0", False), ("m#0.a", False), ("a#10.1", False)],
)
def test_before_its_first_turn_a_step_asks_models(instance: str, asks: bool) -> None:
    assert asks_model(instance) is asks


def test_the_names_of_scopes() -> None:
    assert scope_name(GRAPH.steps["m"], "m", 3) == "m[3]"
    assert scope_name(GRAPH.steps["lp"], "x.lp", 3) == "x.lp#3"


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, {"is_first": True, "is_last": False, "has_prev": False, "has_next": True, "remaining": 2, "position": 1}),
        (2, {"is_first": False, "is_last": True, "has_prev": True, "has_next": False, "remaining": 0, "position": 3}),
    ],
)
def test_what_a_map_binds(index: int, expected: dict[str, Any]) -> None:
    bound = bindings(place_of(GRAPH, f"m[{index}].one"), {f"m[{index}]": {"item": "i", "length": 3}})
    assert expected.items() <= bound.items()
    assert (bound["item"], bound["index"], bound["m"]["item"], bound["loops"]["m"]["length"]) == ("i", index, "i", 3)


def test_inner_loops_hide_outer_ones_which_loops_still_gives() -> None:
    bound = bindings(place_of(GRAPH, "lp#4.in[1].leaf"), {"lp#4.in[1]": {"item": "i", "length": 2}})
    assert (bound["index"], bound["loops"]["lp"]["index"], bound["loops"]["in"]["index"]) == (1, 4, 1)


def test_outside_of_loops_nothing_is_bound() -> None:
    assert bindings(place_of(GRAPH, "before"), {}) == {}


def test_steps_are_known_by_the_plan_too() -> None:
    step: Step | None = GRAPH.plan.step_at("lp#1.in[0].leaf")
    assert step is not None
    assert step.id == "leaf"
