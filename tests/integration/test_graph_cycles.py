"""Graphs that go round, fan out at run time and hold other graphs, delivered in any order."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.plan import Plan
from orchestrator_client.graph import END, START, StateGraph
from tests import graph_cycles as nodes
from tests.fleet import InProcessFleet
from tests.integration.loops import finish

SEEDS = [None, 1, 2, 3]


def run(fleet: InProcessFleet, plan: Plan, seed: int | None = None, **inputs: Any) -> RunDocument:
    return finish(fleet, fleet.submit(plan, **inputs), seed)


def refine(**settings: Any) -> StateGraph:
    """Draft and review, round and round, and then publish."""
    graph = StateGraph(nodes.Trace, id="refine", **settings)
    graph.add_node("draft", nodes.draft).add_node("b", nodes.b).add_node("c", nodes.c)
    graph.add_edge(START, "draft").add_edge("draft", "b")
    return graph.add_conditional_edges("b", nodes.go_on, {"again": "draft", "enough": "c"})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cycle_goes_round_until_its_router_leads_out(fleet: InProcessFleet, seed: int | None) -> None:
    document = run(fleet, refine().compile(), seed, most=3)
    assert document.error is None
    state = document.outputs["state"]
    assert state["trace"] == ["draft0", "b1", "draft2", "b3", "draft4", "b5", "c6"]
    assert (state["rounds"], state["total"]) == (3, 3)
    assert document.steps["draft__cycle#2.draft"].status == "completed"
    assert document.steps["draft__cycle"].value["count"] == 3


def test_a_cycle_that_passes_its_bound_fails_the_run(fleet: InProcessFleet) -> None:
    document = run(fleet, refine(max_iterations=4).compile(), most=10)
    assert (document.status, document.error_type) == ("failed", "CycleTooLong")
    assert "cycle 'draft__cycle' (draft → b) went round 4 times and would go on" in str(document.error)


def test_the_bound_itself_is_allowed(fleet: InProcessFleet) -> None:
    document = run(fleet, refine().set_cycle("draft", max_iterations=3, name="refine").compile(), most=3)
    assert document.success
    assert document.steps["refine#2.b"].status == "completed"


@pytest.mark.parametrize("seed", SEEDS)
def test_cycles_within_cycles(fleet: InProcessFleet, seed: int | None) -> None:
    graph = StateGraph(nodes.Trace, id="nested").add_node("draft", nodes.draft)
    graph.add_node("a", nodes.a).add_node("b", nodes.b).add_node("c", nodes.c)
    graph.add_edge(START, "draft").add_edge("draft", "a").add_edge("a", "b")
    graph.add_conditional_edges("b", nodes.inner_round, {"back": "a", "on": "c"})
    graph.add_conditional_edges("c", nodes.go_on, {"again": "draft", "enough": END})
    document = run(fleet, graph.compile(), seed, most=2)
    assert document.error is None
    trace = ["draft0", "a1", "b2", "a3", "b4", "c5", "draft6", "a7", "b8", "c9"]
    assert document.outputs["state"]["trace"] == trace
    assert document.steps["draft__cycle#0.a__cycle#1.b"].status == "completed"


@pytest.mark.parametrize("seed", SEEDS)
def test_what_leads_out_of_any_pass_runs_once_behind_the_last(fleet: InProcessFleet, seed: int | None) -> None:
    graph = StateGraph(nodes.Trace, id="both").add_node("draft", nodes.draft)
    graph.add_node("a", nodes.a).add_node("b", nodes.b).add_edge(START, "draft")
    routes = {"again": "draft", "out": "a", "enough": END, "never": "b"}
    graph.add_conditional_edges("draft", nodes.both_ways, routes)
    document = run(fleet, graph.compile(), seed, most=3)
    assert document.error is None
    assert document.outputs["state"]["trace"] == ["draft0", "draft1", "draft2", "a3"]
    assert document.steps["b"].status == "skipped"


def joined() -> StateGraph:
    """A cycle with two branches that a join leads back from."""
    graph = StateGraph(nodes.Trace, id="joined")
    for name, node in (("draft", nodes.draft), ("a", nodes.a), ("b", nodes.b), ("c", nodes.c), ("d", nodes.d)):
        graph.add_node(name, node)
    graph.add_edge(START, "draft").add_edge("d", "draft")
    graph.add_conditional_edges("draft", nodes.go_on, {"again": "a", "enough": END})
    return graph.add_edge("draft", "b").add_edge(["a", "b"], "d").add_edge("draft", "c")


@pytest.mark.parametrize("seed", SEEDS)
def test_branches_of_a_pass_and_a_way_back_behind_a_join(fleet: InProcessFleet, seed: int | None) -> None:
    document = run(fleet, joined().compile(), seed, most=2)
    assert document.error is None
    trace = document.outputs["state"]["trace"]
    assert trace == ["draft0", "b1", "a1", "d3", "draft4", "b5", "c6"]


def fan(router: Any, path_map: list[str] | None = None, **settings: Any) -> StateGraph:
    graph = StateGraph(nodes.Trace, id="fan").add_node("a", nodes.a).add_node("work", nodes.work, **settings)
    graph.add_node("c", nodes.c).add_edge(START, "a").add_edge("work", "c")
    return graph.add_conditional_edges("a", router, path_map or ["work"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("max_parallel", [1, 2, 100])
def test_a_node_runs_once_for_each_send(fleet: InProcessFleet, seed: int | None, max_parallel: int) -> None:
    words = ["one", "three", "five5", "x"]
    document = run(fleet, fan(nodes.each_word, max_parallel=max_parallel).compile(), seed, words=words)
    assert document.error is None
    state = document.outputs["state"]
    assert state["trace"] == ["a0", *(f"{word}:2" for word in words), "c5"]
    assert state["total"] == 14
    assert document.steps["work[3].work"].status == "completed"


def test_nothing_sent_is_a_branch_not_taken(fleet: InProcessFleet) -> None:
    document = run(fleet, fan(nodes.each_word).compile(), words=[])
    assert document.success
    assert (document.steps["work"].status, document.steps["c"].status) == ("skipped", "skipped")


def test_names_and_sends_may_be_mixed(fleet: InProcessFleet) -> None:
    graph = StateGraph(nodes.Trace, id="mixed").add_node("a", nodes.a).add_node("work", nodes.work)
    graph.add_node("c", nodes.c).add_edge(START, "a").add_conditional_edges("a", nodes.words_and_names, ["work", "c"])
    document = run(fleet, graph.compile(), words=["w", "ww"])
    assert document.error is None
    assert document.outputs["state"]["trace"] == ["a0", "whole:5", "w:1", "ww:1", "c1"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cycle_may_send_on_its_way_out(fleet: InProcessFleet, seed: int | None) -> None:
    graph = StateGraph(nodes.Trace, id="out").add_node("draft", nodes.draft).add_node("work", nodes.work)
    graph.add_node("c", nodes.c).add_edge(START, "draft").add_edge("work", "c")
    graph.add_conditional_edges("draft", nodes.again_or_words, ["draft", "work"], sends=["work"])
    document = run(fleet, graph.compile(), seed, most=2, words=["x", "yy"])
    assert document.error is None
    assert document.outputs["state"]["trace"] == ["draft0", "draft1", "x:2", "yy:2", "c4"]


def inner() -> StateGraph:
    graph = StateGraph(nodes.Inner, id="inner").add_node("first", nodes.inner_first).add_node("last", nodes.inner_last)
    return graph.add_edge(START, "first").add_edge("first", "last")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_graph_is_a_node_of_another(fleet: InProcessFleet, seed: int | None) -> None:
    graph = StateGraph(nodes.Trace, id="outer").add_node("a", nodes.a).add_node("research", inner())
    graph.add_node("c", nodes.c).add_edge(START, "a").add_edge("a", "research").add_edge("research", "c")
    document = run(fleet, graph.compile(), seed)
    assert document.error is None
    assert document.outputs["state"]["trace"] == ["a0", "in1", "own=first keys=own,trace", "c3"]
    assert "own" not in document.outputs["state"]
    assert document.steps["research#0.first"].status == "completed"


def test_a_graph_may_be_sent_to_and_stand_in_a_cycle(fleet: InProcessFleet) -> None:
    graph = StateGraph(nodes.Trace, id="deep").add_node("draft", nodes.draft).add_node("work", inner().compile())
    graph.add_node("c", nodes.c).add_edge(START, "draft").add_edge("work", "c")
    graph.add_conditional_edges("draft", nodes.each_word, ["work"])
    graph.add_conditional_edges("c", nodes.go_on, {"again": "draft", "enough": END})
    document = run(fleet, graph.compile(), most=2, words=["x", "yy"])
    assert document.error is None
    one_round = ["in0", "own=first keys=own,trace"] * 2
    assert document.outputs["state"]["trace"] == ["draft0", *one_round, "c5", "draft6", *one_round, "c11"]
    assert document.steps["draft__cycle#1.work[1].work#0.first"].status == "completed"


def test_what_was_sent_is_read_once_however_often_the_node_is_called_back(
    fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a fan of n items would read n times what was sent to all of them."""
    read: list[tuple[str, list[str]]] = []
    claim = type(fleet.engine.store).claim

    def watched(
        store: Any, run: str, instance: str, number: int, token: str, worker: str, reads: Any, *rest: Any
    ) -> Any:
        read.append((instance, list(reads)))
        return claim(store, run, instance, number, token, worker, reads, *rest)

    monkeypatch.setattr(type(fleet.engine.store), "claim", watched)
    document = run(fleet, fan(nodes.each_word, max_parallel=1).compile(), words=["a", "b", "c"])
    assert document.error is None
    assert [reads for instance, reads in read if instance == "work"] == [["a", "a__route"], [], [], []]
