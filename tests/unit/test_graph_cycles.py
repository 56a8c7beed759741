"""What cycles, sends and sub-graphs compile to, and which of them cannot be compiled."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.plan import END, LoopKind, Plan, Step, Way
from orchestrator_client.graph import START, StateGraph
from orchestrator_client.graph.cycles import components
from orchestrator_client.loader import loads
from tests import graph_cycles as nodes


def graph(*edges: tuple[str, str], start: str = "a", **settings: Any) -> StateGraph:
    """Nodes a to d, as far as edges name them; `x?y` for a router's way from x to y or the end."""
    made = StateGraph(nodes.Trace, **settings)
    for name in sorted({end for edge in edges for end in edge} | {start}):
        made.add_node(name, getattr(nodes, name))
    return made.add_edge(START, start)


def routed(made: StateGraph, source: str, *targets: str) -> StateGraph:
    return made.add_conditional_edges(source, nodes.go_on, {target: target for target in (*targets, END)})


def rounds(**settings: Any) -> StateGraph:
    """`a` and `b` round and round, then `c`."""
    made = graph(("a", "b"), ("b", "c"), **settings).add_edge("a", "b")
    return routed(made, "b", "a", "c")


def cycle_of(plan: Plan, name: str) -> Step:
    step = plan.step_by_id[name]
    assert step.loop is not None
    return step


def problem_of(made: StateGraph) -> tuple[str, str]:
    with pytest.raises(PlanInvalid) as caught:
        made.compile()
    (problem,) = caught.value.problems
    return problem.code, problem.render("graph")


class TestCycles:
    def test_a_cycle_is_a_control_step_whose_body_it_is(self) -> None:
        plan = rounds().compile()
        assert [step.id for step in plan.steps] == ["a__cycle", "c"]
        step = cycle_of(plan, "a__cycle")
        assert (step.queue, step.after) == (names.CONTROL_QUEUE, ())
        assert step.loop is not None
        assert (step.loop.kind, step.loop.entry, step.loop.max_iterations) == (LoopKind.GRAPH, "a", 25)
        assert [(inner.id, inner.after) for inner in step.loop.steps] == [
            ("a", ()),
            ("b", ("a",)),
            ("b__route", ("b",)),
        ]
        back, out = Way(target="a", sources=("b__route",)), Way(target="c", sources=("b__route",))
        assert step.loop.ways == (back, out)
        assert plan.step_by_id["c"].routed_from == ("a__cycle",)

    def test_a_step_of_a_pass_reads_that_pass_and_what_follows_reads_the_cycle(self) -> None:
        plan = rounds().compile()
        body = cycle_of(plan, "a__cycle").loop
        assert body is not None
        assert {step.id: step.reads for step in body.steps} == {"a": (), "b": ("a",), "b__route": ("a", "b")}
        assert plan.step_by_id["c"].reads == ("a__cycle",)

    def test_a_bound_and_a_name(self) -> None:
        named = rounds(max_iterations=7).set_cycle("a", name="refine").compile()
        bounded = rounds(max_iterations=7).set_cycle("a", max_iterations=3).compile()
        assert [cycle_of(named, "refine").loop.max_iterations] == [7]  # type: ignore[union-attr]
        assert [cycle_of(bounded, "a__cycle").loop.max_iterations] == [3]  # type: ignore[union-attr]

    def test_the_plan_survives_its_own_json(self) -> None:
        plan = rounds().compile()
        assert Plan.from_json(plan.to_json()) == plan

    def test_a_plan_without_them_says_nothing_of_cycles(self) -> None:
        text = json.dumps(json.loads(graph(("a", "b")).add_edge("a", "b").compile().to_json()))
        assert not {"ways", "entry", "sends"} & set(text.replace('"', " ").split())

    def test_a_template_may_read_what_has_ended_before_the_cycle_and_nothing_within_another(self) -> None:
        made = rounds().add_node("d", nodes.d, condition="{{ steps.b.result }}").add_edge("c", "d")
        code, words = problem_of(made)
        assert (code, "or read the state" in words) == ("not-upstream", True)

    @pytest.mark.parametrize(
        ("made", "words"),
        [
            (routed(routed(graph(("a", "b")), "a", "b"), "b", "a").add_edge(START, "b"), "entered at 'a', 'b'"),
            (routed(graph(("a", "b")).add_edge("a", "b").add_edge("b", "a"), "a", "b"), "a → b → a never ends"),
            (rounds().set_cycle("b"), "entries: a"),
            (graph(("a", "b")).add_edge("a", "b").set_cycle("a"), "the graph has no cycle"),
        ],
        ids=["two entries", "no way out", "another entry", "no cycle"],
    )
    def test_a_cycle_that_cannot_be_compiled_says_what_to_do(self, made: StateGraph, words: str) -> None:
        code, text = problem_of(made)
        assert code == "cycle"
        assert words in text

    def test_a_join_into_a_cycle_of_a_source_within_it(self) -> None:
        made = routed(graph(("a", "b"), ("c", "d"), start="c").add_edge("a", "b"), "b", "a")
        code, text = problem_of(made.add_edge("c", "d").add_edge(["c", "b"], "a"))
        assert (code, "the join of 'c', 'b' leads into a cycle that one of them is in" in text) == ("cycle", True)

    def test_a_join_with_a_cycle_that_leads_there_by_another_edge_too(self) -> None:
        code, text = problem_of(rounds().add_edge(["a", "b"], "c"))
        assert (code, "'a' leads to 'c' by a join and by another edge" in text) == ("cycle", True)

    def test_a_join_of_a_cycle_with_a_node_outside(self) -> None:
        made = routed(graph(("a", "b"), ("c", "d"), start="c").add_edge("c", "a").add_edge("a", "b"), "b", "a")
        plan = made.add_edge(["a", "c"], "d").compile()
        assert plan.step_by_id["d"].after == ("a__cycle", "c")
        assert Way(target="d", sources=("a",)) in plan.step_by_id["a__cycle"].loop.ways  # type: ignore[union-attr]

    @pytest.mark.parametrize("most", [0, 100_001])
    def test_bounds_have_bounds(self, most: int) -> None:
        assert problem_of(rounds(max_iterations=most))[0] == "out-of-range"

    def test_a_start_and_an_edge_into_one_cycle(self) -> None:
        made = rounds().add_node("d", nodes.d).add_edge(START, "d").add_edge("d", "a")
        code, text = problem_of(made)
        assert (code, "'a' follows both START and 'd'" in text) == ("two-starts", True)

    def test_a_long_graph_compiles_in_linear_steps(self) -> None:
        chain = [f"n{number}" for number in range(3_000)]
        arcs = list(pairwise(chain))
        assert len(list(components(chain, arcs))) == 3_000
        assert list(components(chain, [*arcs, (chain[-1], chain[0])])) == [chain]


class TestSends:
    def made(self, router: Any = nodes.each_word, **settings: Any) -> StateGraph:
        made = graph(("a", "c")).add_node("work", nodes.work, max_parallel=3).add_edge("work", "c")
        return made.add_conditional_edges("a", router, ["work"], **settings)

    def test_a_router_that_speaks_of_send_may_send_to_its_targets(self) -> None:
        plan = self.made().compile()
        loop = plan.step_by_id["work"].loop
        assert loop is not None
        assert (loop.kind, loop.max_parallel, [step.id for step in loop.steps]) == (LoopKind.SENDS, 3, ["work"])
        assert plan.step_by_id["a__route"].sends == ("work",)
        assert plan.step_by_id["work"].reads == ("a", "a__route")

    def test_a_router_that_does_not_leads_to_a_plain_step(self) -> None:
        plan = self.made(nodes.go_on).compile()
        assert (plan.step_by_id["work"].loop, plan.step_by_id["a__route"].sends) == (None, ())

    def test_it_may_be_said(self) -> None:
        assert self.made(nodes.go_on, sends=["work"]).compile().step_by_id["a__route"].sends == ("work",)

    def test_a_target_that_other_edges_lead_to_is_a_plain_step(self) -> None:
        plan = self.made().add_node("b", nodes.b).add_edge("a", "b").add_edge("b", "work").compile()
        assert plan.step_by_id["work"].loop is None

    @pytest.mark.parametrize(
        ("made", "code", "words"),
        [
            (rounds().add_conditional_edges("b", nodes.go_on, ["a"], sends=["a"]), "cycle", "where a cycle begins"),
            (rounds().add_conditional_edges("b", nodes.go_on, ["a"], sends=["c"]), "unknown-step", "no route to 'c'"),
            (graph(("a", "b")).add_edge("a", "b").add_conditional_edges("a", nodes.go_on, sends=["b"]), "wrong-value",
             "another edge leads too"),
        ],
        ids=["entry", "no route", "another edge"],
    )  # fmt: skip
    def test_what_cannot_be_sent_to(self, made: StateGraph, code: str, words: str) -> None:
        found = problem_of(made)
        assert (found[0], words in found[1]) == (code, True)

    def test_at_most_so_many_at_a_time(self) -> None:
        assert problem_of(graph().add_node("b", nodes.b, max_parallel=0).add_edge("a", "b"))[0] == "out-of-range"


def inner() -> StateGraph:
    made = StateGraph(nodes.Inner, id="inner").add_node("first", nodes.inner_first)
    return made.add_edge(START, "first")


class TestSubGraphs:
    def outer(self, node: Any, **settings: Any) -> StateGraph:
        return graph().add_node("sub", node, **settings).add_edge("a", "sub")

    @pytest.mark.parametrize("node", [inner(), inner().compile()], ids=["graph", "plan"])
    def test_it_is_a_body_with_a_state_of_its_own(self, node: Any) -> None:
        step = self.outer(node, condition="{{ rounds }}").compile().step_by_id["sub"]
        assert step.loop is not None
        assert step.loop.channels is not None
        assert (step.condition, list(step.loop.channels), step.loop.max_iterations) == (
            "{{ rounds }}",
            ["trace", "own"],
            1,
        )

    def test_it_may_have_cycles_and_sub_graphs_within(self) -> None:
        deep = self.outer(self.outer(rounds())).compile()
        assert deep.step_at("sub#0.sub#0.a__cycle#3.b") is not None

    @pytest.mark.parametrize(
        ("node", "settings", "code", "words"),
        [
            (loads("id: f\nsteps: [{id: x, tool: debug, parameters: {}}]").plan, {}, "bad-state", "plan of a file"),
            (StateGraph(nodes.Talk).add_node("x", nodes.a).add_edge(START, "x"), {}, "no-channel", "shares no channel"),
            (inner(), {"retry": 2}, "wrong-value", "condition only, no retry"),
            (inner(), {"writes": "trace"}, "wrong-value", "no writes"),
            (inner().add_edge("first", "gone"), {}, "unknown-step", "in sub-graph 'sub': an edge names 'gone'"),
        ],
    )
    def test_what_cannot_be_one(self, node: Any, settings: dict[str, Any], code: str, words: str) -> None:
        found = problem_of(self.outer(node, **settings))
        assert (found[0], words in found[1]) == (code, True)

    def test_a_graph_within_itself(self) -> None:
        made = graph()
        code, text = problem_of(made.add_node("sub", made).add_edge("a", "sub"))
        assert (code, "has itself as a node" in text) == ("cycle", True)

    def test_graphs_nest_to_a_depth(self) -> None:
        made = graph()
        for _ in range(9):
            made = self.outer(made)
        assert "nest deeper than 8 levels" in problem_of(made)[1]
