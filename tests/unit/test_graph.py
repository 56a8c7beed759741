"""Pipelines written in Python: the plan that a graph compiles to, and the mistakes that keep it from compiling."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field

from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.contract.plan import END, Channel, Input, InputType, OnFailure, Plan, Retry, StepKind
from orchestrator_client.graph import START, StateGraph, model, tool

HERE = __name__


def longest(current: str, update: str) -> str:
    return max(current, update, key=len)


class State(TypedDict):
    topic: str
    draft: str
    notes: Annotated[list[str], operator.add]
    score: NotRequired[Annotated[float, "how good it is"]]
    best: Annotated[str, longest]


def plan_topic(state: dict[str, Any]) -> dict[str, Any]:
    return {"notes": [state["topic"]]}


def review(state: dict[str, Any]) -> dict[str, Any]:
    return {"score": 1.0}


def is_good(state: dict[str, Any]) -> Literal["publish", "__end__"]:
    return "publish" if state["score"] > 0.5 else "__end__"


def choose(state: dict[str, Any]) -> str:
    return "yes" if state["score"] > 0.5 else "no"


def chain(*names: str) -> StateGraph:
    """Nodes one behind the other."""
    graph = StateGraph(State)
    for name in names:
        graph.add_node(name, review)
    for source, target in zip([START, *names], names, strict=False):
        graph.add_edge(source, target)
    return graph


def behind(node: Any, **settings: Any) -> StateGraph:
    """A node `b` behind a node `a`."""
    return chain("a").add_node("b", node, **settings).add_edge("a", "b")


def problems_of(graph: StateGraph, **options: Any) -> list[Problem]:
    with pytest.raises(PlanInvalid) as caught:
        graph.compile(**options)
    return caught.value.problems


class TestNodes:
    def test_a_function_becomes_a_tool_step_that_is_called_with_the_state(self) -> None:
        plan = StateGraph(State, id="talk").add_node(plan_topic).set_entry_point("plan_topic").compile()
        (step,) = plan.steps
        assert plan.id == "talk"
        assert (step.id, step.kind, step.uses, step.writes) == ("plan_topic", StepKind.TOOL, "python.call", None)
        assert step.parameters == {"function": f"{HERE}:plan_topic", "args": ["{{ state }}"]}
        assert plan.outputs == {"state": "{{ state }}"}

    def test_a_tool_and_a_model(self) -> None:
        graph = StateGraph(State)
        graph.add_node("save", tool("filesystem.write", path="{{ topic }}.md", content="{{ state.draft }}"))
        graph.add_node("write", model("gpt-5", prompt="About {{ topic }}", temperature=0.2, writes="draft"))
        plan = graph.add_edge(START, "write").add_edge("write", "save").compile()
        save, write = plan.step_by_id["save"], plan.step_by_id["write"]
        assert (save.uses, save.writes, save.after) == ("filesystem.write", None, ("write",))
        assert (write.kind, write.uses, write.model, write.writes) == (StepKind.MODEL, "generate", "gpt-5", "draft")
        assert write.parameters == {"prompt": "About {{ topic }}", "temperature": 0.2}
        assert write.queue == "model.openai"

    def test_settings_of_a_node(self) -> None:
        graph = StateGraph(State).add_node(
            "a",
            review,
            condition="{{ score > 1 }}",
            timeout=timedelta(minutes=1),
            retry=2,
            on_failure="skip",
            writes="score",
        )
        (step,) = graph.set_entry_point("a").set_finish_point("a").compile().steps
        assert (step.condition, step.timeout_seconds, step.retry.attempts) == ("{{ score > 1 }}", 60, 3)
        assert (step.on_failure, step.writes) == (OnFailure.SKIP, "score")

    def test_a_retry_record_is_taken_as_it_is(self) -> None:
        wanted = Retry(attempts=5, initial_seconds=0.5, factor=3, max_seconds=7)
        graph = StateGraph(State).add_node("a", review, retry=wanted).set_entry_point("a")
        assert graph.compile().steps[0].retry == wanted

    def test_without_a_state_the_channels_are_those_that_are_written(self) -> None:
        graph = StateGraph().add_node("a", tool("terminal.execute", command="date", writes="now")).set_entry_point("a")
        plan = graph.compile(outputs={"now": "{{ now }}"})
        assert (plan.channels, plan.outputs) == ({"now": Channel()}, {"now": "{{ now }}"})

    def test_the_plan_survives_its_own_json(self) -> None:
        plan = chain("a", "b").compile()
        assert Plan.from_json(plan.to_json()) == plan


@dataclasses.dataclass
class DataState:
    text: str = "hi"
    rows: list[int] = dataclasses.field(default_factory=lambda: [1])
    merged: Annotated[dict[str, int], "merge"] = dataclasses.field(default_factory=dict)


class ModelState(BaseModel):
    text: str = "hi"
    seen: Annotated[list[str], "append"] = Field(default_factory=list)
    choice: Literal["a", "b"] = "a"


class Types(TypedDict):
    text: str
    whole: int
    number: float
    flag: bool
    rows: Sequence[int]
    table: Mapping[str, int]
    maybe: str | None
    anything: Any
    nested: State


class TestState:
    def test_reducers(self) -> None:
        plan = chain("a").compile()
        assert plan.channels == {
            "topic": Channel(),
            "draft": Channel(),
            "notes": Channel(reducer="add", default=[]),
            "score": Channel(),
            "best": Channel(reducer=f"{HERE}:longest", default=""),
        }

    def test_every_channel_is_an_input(self) -> None:
        inputs = StateGraph(Types).add_node("a", review).set_entry_point("a").compile().inputs
        assert {name: declared.type for name, declared in inputs.items()} == {
            "text": InputType.STRING,
            "whole": InputType.INTEGER,
            "number": InputType.NUMBER,
            "flag": InputType.BOOLEAN,
            "rows": InputType.ARRAY,
            "table": InputType.OBJECT,
            "maybe": InputType.ANY,
            "anything": InputType.ANY,
            "nested": InputType.OBJECT,
        }

    def test_a_dataclass_gives_defaults(self) -> None:
        plan = StateGraph(DataState).add_node("a", review).set_entry_point("a").compile()
        assert plan.inputs["rows"] == Input(type=InputType.ARRAY, default=[1])
        assert plan.channels is not None
        assert plan.channels["merged"] == Channel(reducer="merge", default={})

    def test_a_pydantic_model_gives_defaults_and_choices(self) -> None:
        plan = StateGraph(ModelState).add_node("a", review).set_entry_point("a").compile()
        assert plan.inputs["choice"] == Input(default="a", choices=("a", "b"))
        assert plan.channels is not None
        assert plan.channels["seen"] == Channel(reducer="append", default=[])

    def test_every_step_reads_all_writers_before_it_in_plan_order(self) -> None:
        graph = chain("a", "b", "c")
        graph.add_node("log", tool("terminal.execute", command="date")).add_edge("a", "log").add_edge("log", "c")
        plan = graph.compile()
        assert plan.step_by_id["c"].reads == ("a", "b")
        assert plan.step_by_id["a"].reads == ()


class TestEdges:
    def test_a_list_of_sources_is_a_join_on_all(self) -> None:
        graph = chain("a").add_node("b", review).add_node("c", plan_topic).add_node("join", review)
        graph.add_edge("a", "b").add_edge("a", "c").add_edge(["b", "c"], "join")
        assert graph.compile().step_by_id["join"].after == ("b", "c")

    def test_a_router_is_a_step_of_its_own(self) -> None:
        graph = chain("a").add_node("good", review).add_node("bad", review)
        plan = graph.add_conditional_edges("a", choose, {"yes": "good", "no": "bad", "stop": END}).compile()
        router = plan.step_by_id["a__route"]
        assert (router.uses, router.after, router.reads) == ("python.route", ("a",), ("a",))
        assert router.parameters == {"function": f"{HERE}:choose", "args": ["{{ state }}"]}
        assert router.routes == {"yes": "good", "no": "bad", "stop": END}
        assert plan.step_by_id["good"].routed_from == ("a__route",)
        assert plan.step_by_id["good"].after == ()
        assert plan.step_by_id["bad"].reads == ("a",)

    def test_what_stands_behind_a_branch_dies_with_it(self) -> None:
        graph = chain("a").add_node("good", review).add_node("bad", review).add_node("after", review)
        graph.add_conditional_edges("a", choose, {"yes": "good", "no": "bad"})
        plan = graph.add_edge("good", "after").add_edge("bad", "after").compile()
        assert plan.step_by_id["after"].routed_from == ("good", "bad")
        assert plan.step_by_id["after"].after == ()

    def test_the_path_map_may_be_a_list_or_the_routers_return_type(self) -> None:
        graph = chain("a", "b").add_node("publish", review)
        graph.add_conditional_edges("a", choose, ["publish"]).add_conditional_edges("b", is_good)
        plan = graph.compile()
        assert plan.step_by_id["a__route"].routes == {"publish": "publish"}
        assert plan.step_by_id["b__route"].routes == {"publish": "publish", END: END}
        assert set(plan.step_by_id["publish"].routed_from) == {"a__route", "b__route"}

    def test_labels_are_compared_as_text(self) -> None:
        graph = chain("a").add_node("b", review).add_conditional_edges("a", choose, {True: "b", False: END})
        assert graph.compile().step_by_id["a__route"].routes == {"True": "b", "False": END}

    def test_a_router_at_the_start_and_two_behind_one_node(self) -> None:
        graph = StateGraph(State).add_node("a", review).add_node("b", review).add_node("c", review)
        graph.add_conditional_edges(START, choose, {"yes": "a"})
        graph.add_conditional_edges("a", choose, {"yes": "b"}).add_conditional_edges("a", choose, {"yes": "c"})
        plan = graph.compile()
        assert plan.step_by_id["start__route"].after == ()
        assert plan.step_by_id["b"].routed_from == ("a__route",)
        assert plan.step_by_id["c"].routed_from == ("a__route_2",)


def inner() -> Callable[..., Any]:
    def nested(state: dict[str, Any]) -> None: ...

    return nested


class Bad(TypedDict):
    text: Annotated[str, lambda old, new: new]
    rows: Annotated[list[str], "appnd"]
    both: Annotated[list[str], "append", "add"]


OUT_OF_A_ROUTER = behind(review).add_conditional_edges("a", choose, ["b"]).add_edge("a__route", "b")
READS_C = tool("terminal.execute", command="{{ steps.c.x }}")


class TestMistakes:
    @pytest.mark.parametrize(
        ("graph", "code", "words"),
        [
            (StateGraph(State), "no-entry", "no way in"),
            (StateGraph(State).add_node("a", review), "no-entry", "set_entry_point"),
            (chain("a").add_node("lost", review), "unreachable", "nothing leads to node 'lost'"),
            (chain("a").add_node("a", review), "duplicate-id", "'a' is added twice"),
            (behind(review).add_edge("a", "bb"), "unknown-step", "'bb', which is no node"),
            (chain("a").add_edge("z", "a"), "unknown-step", "'z', which is no node"),
            (chain("a").set_finish_point("b"), "unknown-step", "add_node('b', …)"),
            (chain("my node"), "bad-id", "my_node"),
            (chain("loop"), "reserved-id", "loop_step"),
            (chain("topic"), "reserved-id", "the name of a channel"),
            (chain("a", "b", "c").add_edge("c", "b"), "cycle", "b → c → b never ends"),
            (chain("a").add_edge("a", "a"), "cycle", "a → a"),
            (behind(lambda state: state), "not-importable", "give it a name with def"),
            (behind(inner()), "not-importable", "top of its module"),
            (behind(None), "not-importable", "not a function"),
            (chain("a").add_conditional_edges("a", lambda state: "a", {"x": END}), "not-importable", "router of 'a'"),
            (chain("a").add_conditional_edges("a", choose), "no-path-map", "Literal"),
            (chain("a").add_conditional_edges("a", choose, {"x": "b"}), "unknown-step", "'b', which is no node"),
            (behind(tool("filesystem.raed", path="x")), "unknown-tool", "no tool"),
            (behind(tool("filesystem.read")), "missing-parameter", "'path'"),
            (behind(model(writes="draft")), "missing-parameter", "prompt"),
            (behind(model(prompt="p")), "no-channel", "say writes="),
            (behind(model(prompt="p", writes="drft")), "unknown-channel", "'draft'"),
            (behind(model(prompt="{{ tpic }}", writes="draft")), "unresolved-name", "'topic'"),
            (behind(model(prompt="{{ state.x }}", writes="draft")), "unresolved-name", "'x'"),
            (behind(review, timeout=-1), "out-of-range", "timeout"),
            (behind(review, on_failure="contine"), "wrong-value", "'continue'"),
            (behind(review, condition="{{ x | nope }}"), "template", "nope"),
            (chain("a", "b").add_edge(START, "b"), "two-starts", "follows both START and 'a'"),
            (behind(READS_C).add_node("c", review).add_edge("a", "c"), "not-upstream", "may not have run"),
            (OUT_OF_A_ROUTER, "unknown-step", "is a router"),
            (chain("a").set_cycle("a", max_iterations=3), "cycle", "no cycle begins at 'a'"),
            (StateGraph(dict).add_node("a", review).set_entry_point("a"), "bad-state", "TypedDict"),
        ],
    )  # fmt: skip
    def test_a_mistake_is_named_with_a_remedy(self, graph: StateGraph, code: str, words: str) -> None:
        found = problems_of(graph)
        assert code in [problem.code for problem in found]
        assert words in "\n".join(problem.render("graph") for problem in found)

    def test_all_mistakes_are_found_in_one_pass(self) -> None:
        graph = chain("a").add_node("b", tool("nope")).add_node("c", model(prompt="p")).add_edge("a", "c")
        assert {problem.code for problem in problems_of(graph)} == {"unknown-tool", "unreachable", "no-channel"}

    def test_reducers_that_cannot_be(self) -> None:
        found = problems_of(StateGraph(Bad).add_node("a", review).set_entry_point("a"))
        assert sorted(problem.code for problem in found) == ["bad-reducer", "bad-reducer", "not-importable"]

    def test_two_nodes_that_both_set_a_channel_in_no_order(self) -> None:
        graph = chain("a").add_node("b", review, writes="draft").add_node("c", review, writes="draft")
        (problem,) = problems_of(graph.add_edge("a", "b").add_edge("a", "c"))
        assert (problem.code, "'b' and 'c' both write 'draft'" in problem.message) == ("parallel-writes", True)

    def test_branches_of_one_router_may_set_the_same_channel(self) -> None:
        graph = chain("a").add_node("b", review, writes="draft").add_node("c", review, writes="draft")
        assert graph.add_conditional_edges("a", choose, {"yes": "b", "no": "c"}).compile().channels

    def test_parameters_that_json_cannot_say_are_named_by_their_path(self) -> None:
        call = tool("http.post", url="u", json={"rows": [{"at": datetime(2024, 1, 1)}]})
        (problem,) = problems_of(StateGraph(State).add_node("a", call).set_entry_point("a"))
        assert (problem.code, problem.step) == ("not-json", "a")
        assert "a.parameters.json.rows[0].at is a datetime" in problem.message

    def test_outputs_are_checked_too(self) -> None:
        found = problems_of(chain("a"), outputs={"x": "{{ state.nope }}", "y": float("nan")})
        assert sorted(problem.code for problem in found) == ["not-json", "unresolved-name"]

    def test_a_graph_may_be_compiled_again_after_it_was_put_right(self) -> None:
        graph = chain("a").add_edge("a", "b")
        assert [problem.code for problem in problems_of(graph)] == ["unknown-step"]
        assert len(graph.add_node("b", review).compile().steps) == 2
