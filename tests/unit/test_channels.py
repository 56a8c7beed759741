"""The state of a graph, folded from the updates of its writers."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.plan import Channel, Json, Loop, LoopKind, Plan, Step, StepKind
from orchestrator_worker.compiler import compile_plan
from orchestrator_worker.context import channels
from orchestrator_worker.context.channels import reduce_channel


def keep_longest(current: str, update: str) -> str:
    return max(current, update, key=len)


def extend_in_place(current: list[Json], update: list[Json]) -> list[Json]:
    current.extend(update)
    return current


HERE = __name__


def node(name: str, *after: str, uses: str = "python.node", **fields: Any) -> Step:
    return Step(id=name, kind=StepKind.TOOL, uses=uses, after=after, **fields)


def graph(*nodes: Step, **channels: Channel) -> Plan:
    return Plan(id="g", steps=nodes, channels=channels)


def fold(plan: Plan, inputs: dict[str, Json], values: dict[str, Json]) -> dict[str, Json]:
    """The state of a run of the plan."""
    return channels.fold(plan.channels or {}, inputs, compile_plan(plan).order, values)


def left(result: Json, **envelope: Json) -> dict[str, Json]:
    return {"result": result, "success": True, "error": None, **envelope}


# --- reducers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reducer", "current", "update", "expected"),
    [
        ("last", 1, 2, 2),
        ("last", 1, None, None),
        ("add", None, [1], [1]),
        ("add", [1], [2], [1, 2]),
        ("add", 1, 2, 3),
        ("add", "a", "b", "ab"),
        ("append", None, 1, [1]),
        ("append", [1], [2], [1, [2]]),
        ("merge", None, {"a": 1}, {"a": 1}),
        ("merge", {"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        (f"{HERE}:keep_longest", "abc", "de", "abc"),
        ("operator:mul", 2, 3, 6),
    ],
)
def test_reducers(reducer: str, current: Json, update: Json, expected: Json) -> None:
    before = copy.deepcopy((current, update))
    assert reduce_channel(reducer, current, update) == expected
    assert (current, update) == before


@pytest.mark.parametrize(
    ("reducer", "current", "update", "said"),
    [
        ("add", 1, [2], "reducer 'add' cannot combine int and list"),
        ("merge", {}, [1, 2], "reducer 'merge' cannot combine dict and list"),
        ("operator:truediv", 1, 0, "division by zero"),
        ("no.such.module:function", 1, 2, "No module named 'no'"),
        ("operator:no_such_function", 1, 2, "no_such_function"),
        ("", 1, 2, "reducer ''"),
    ],
)
def test_a_reducer_that_cannot_says_what_it_was_given(reducer: str, current: Json, update: Json, said: str) -> None:
    with pytest.raises(ToolFailed, match=said):
        reduce_channel(reducer, current, update)


# --- the fold --------------------------------------------------------------------------------------------------------


def test_a_channel_starts_with_the_input_of_its_name_or_else_its_default() -> None:
    empty = graph(a=Channel(default=[0]), b=Channel(default="d"), c=Channel())
    assert fold(empty, {"a": [1], "no_channel": 1}, {}) == {"a": [1], "b": "d", "c": None}


def test_updates_come_in_the_order_of_the_plan_not_in_that_of_their_arrival() -> None:
    nodes = (node("first", writes="log"), node("last", "middle", writes="log"), node("middle", "first", writes="log"))
    made = graph(*nodes, log=Channel(reducer="append"))
    values = {"last": left(3), "middle": left(2), "first": left(1)}
    assert fold(made, {}, values) == {"log": [1, 2, 3]}
    assert fold(made, {}, dict(reversed(values.items()))) == {"log": [1, 2, 3]}


def test_a_function_updates_several_channels_by_name() -> None:
    made = graph(node("n"), total=Channel(reducer="add", default=1), seen=Channel(), other=Channel(default="kept"))
    assert fold(made, {}, {"n": left({"total": 2, "seen": True})}) == {"total": 3, "seen": True, "other": "kept"}


def test_a_tool_with_a_channel_of_its_own_leaves_its_result_there() -> None:
    made = graph(node("n", uses="filesystem.read", writes="text"), text=Channel())
    assert fold(made, {}, {"n": left({"text": "nested"})}) == {"text": {"text": "nested"}}


@pytest.mark.parametrize(
    "value",
    [
        None,
        left(None),
        left({}),
        {"status": "skipped", "success": False, "reason": "no"},
        {"result": {"x": 1}, "status": "failed", "success": False, "error": "e"},
    ],
)
def test_who_left_nothing_was_skipped_or_failed_updates_nothing(value: Json) -> None:
    assert fold(graph(node("n"), x=Channel(default=0)), {}, {"n": value}) == {"x": 0}


@pytest.mark.parametrize("idle", [node("n", routes={"yes": "m"}), node("n", uses="filesystem.read")])
def test_routers_and_tools_without_a_channel_update_nothing(idle: Step) -> None:
    assert fold(graph(idle, x=Channel(default=0)), {}, {"n": left({"x": 1})}) == {"x": 0}


def test_a_channel_that_is_none_is_named_with_those_there_are() -> None:
    with pytest.raises(ToolFailed, match="node 'n' updates 'y', which is no channel of the state: x, z"):
        fold(graph(node("n"), x=Channel(), z=Channel()), {}, {"n": left({"y": 1})})


def test_a_result_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ToolFailed, match="node 'n' returned list"):
        fold(graph(node("n"), x=Channel()), {}, {"n": left([1])})


def test_folding_changes_neither_inputs_nor_values_nor_defaults() -> None:
    nodes = [node(f"n{at}") for at in range(2)]
    made = graph(*nodes, a=Channel(reducer="add"), m=Channel(reducer="merge", default={"d": 1}))
    inputs, values = {"a": [0]}, {n.id: left({"a": [1], "m": {n.id: 1}}) for n in nodes}
    before = copy.deepcopy((inputs, values, made.channels))
    assert fold(made, inputs, values) == {"a": [0, 1, 1], "m": {"d": 1, "n0": 1, "n1": 1}}
    assert (inputs, values, made.channels) == before


def test_a_reducer_that_works_in_place_leaves_the_plan_as_it_was() -> None:
    made = graph(node("n"), a=Channel(reducer=f"{HERE}:extend_in_place", default=[]))
    assert [fold(made, {}, {"n": left({"a": [1]})}) for _ in range(2)] == [{"a": [1]}, {"a": [1]}]


def test_a_reducer_that_works_in_place_leaves_inputs_and_values_as_they_were() -> None:
    made = graph(node("n"), node("m", "n"), a=Channel(reducer=f"{HERE}:extend_in_place"))
    inputs, values = {"a": [0]}, {"n": left({"a": [1]}), "m": left({"a": [2]})}
    assert fold(made, inputs, values) == {"a": [0, 1, 2]}
    assert inputs == {"a": [0]}


# --- updates of many passes ------------------------------------------------------------------------------------------

OF_EACH = {name: Channel(reducer=name) for name in ("last", "add", "append", "merge")} | {
    "own": Channel(reducer=f"{HERE}:keep_longest", default="")
}


@pytest.mark.parametrize(
    ("channel", "given", "kept"),
    [
        ("last", [1, None, 2], [2]),
        ("add", [1, 2, 3], [6]),
        ("add", [[1], [2]], [[1, 2]]),
        ("add", ["a", "b"], ["ab"]),
        ("add", [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]),
        ("add", [1, True, 2], [1, True, 2]),
        ("append", [1, 2], [1, 2]),
        ("merge", [{"a": 1}, {"b": 2}, {"a": 3}], [{"a": 3, "b": 2}]),
        ("own", ["a", "bb"], ["a", "bb"]),
        ("of no channel", [1], []),
    ],
)
def test_updates_are_combined_where_that_changes_nothing(channel: str, given: list[Json], kept: list[Json]) -> None:
    updates = [(channel, update) for update in given]
    short = channels.shortened(OF_EACH, updates)
    assert short == [(channel, update) for update in kept]
    if kept:
        assert channels.applied(OF_EACH, {}, short) == channels.applied(OF_EACH, {}, updates)


def test_a_cycle_leaves_the_updates_of_its_passes() -> None:
    loop = Loop(kind=LoopKind.GRAPH, steps=())
    made = graph(node("c", uses="graph", loop=loop), node("n", "c"), log=Channel(reducer="append"))
    values = {"c": {"updates": [["log", 1], ["log", 2]]}, "n": left({"log": 3})}
    assert fold(made, {}, values) == {"log": [1, 2, 3]}
