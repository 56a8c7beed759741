"""Plan to graph."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_worker.compiler import Graph, Successor, compile_plan


def step(name: str, *after: str, kind: StepKind = StepKind.TOOL, **fields: Any) -> Step:
    return Step(id=name, kind=kind, uses="u", after=after, **fields)


def graph(*steps: Step) -> Graph:
    return compile_plan(Plan(id="p", steps=steps))


def test_entries_are_the_steps_without_edges_into_them_each_with_its_queue() -> None:
    made = graph(
        step("a"), step("b", kind=StepKind.MODEL, provider="google"), step("c", "a"), step("d", routed_from=("a",))
    )
    assert made.entries == (("a", "tool"), ("b", "model.google"))


def test_an_edge_knows_how_many_arrivals_its_target_needs_and_where_it_goes() -> None:
    made = graph(step("a"), step("b"), step("c", "a", "b", kind=StepKind.CONTROL))
    arrival = Successor("c", need=2, queue="control", route=False)
    assert made.successors == {"a": (arrival,), "b": (arrival,), "c": ()}


def test_routes_and_order_edges_are_told_apart_and_both_counted() -> None:
    made = graph(step("a"), step("r"), step("c", "a", routed_from=("r", "a")))
    assert made.successors["a"] == (Successor("c", 3, "tool", route=False), Successor("c", 3, "tool", route=True))
    assert made.successors["r"] == (Successor("c", 3, "tool", route=True),)


def test_successors_stand_in_the_order_of_the_file() -> None:
    made = graph(step("z", "a"), step("a"), step("m", "a"), step("b", "a"))
    assert [edge.step for edge in made.successors["a"]] == ["z", "m", "b"]


def test_steps_are_found_by_their_ids() -> None:
    made = graph(step("a"), step("b", "a"))
    assert {name: found.id for name, found in made.steps.items()} == {"a": "a", "b": "b"}


@settings(max_examples=50)
@given(st.lists(st.sets(st.integers(0, 9)), max_size=10))
def test_as_many_edges_lead_to_a_step_as_it_needs_arrivals(needs: list[set[int]]) -> None:
    made = graph(*(step(f"s{at}", *(f"s{n}" for n in sorted(before) if n < at)) for at, before in enumerate(needs)))
    edges = [edge for behind in made.successors.values() for edge in behind]
    for name in made.steps:
        arriving = [edge for edge in edges if edge.step == name]
        assert all(edge.need == len(arriving) for edge in arriving)
        assert (name in dict(made.entries)) == (not arriving)
