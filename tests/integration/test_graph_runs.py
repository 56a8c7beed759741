"""Graphs as they run: a state that parallel writers share, branches that are taken or die, and clear failures."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.plan import Plan
from orchestrator_client.graph import END, START, StateGraph, model, tool
from orchestrator_client.loader import loads
from tests import graph_nodes as nodes
from tests.conformance.model_server import ModelServer, text
from tests.fleet import InProcessFleet, Message
from tests.standing_fleet import StandingFleet

Order = Callable[[list[Message]], None]
"""Puts the messages that are under way into the order in which they are delivered, in place."""

ORDERS: dict[str, Order] = {
    "oldest first": lambda messages: None,
    "newest first": lambda messages: messages.reverse(),
    **{f"shuffled {seed}": random.Random(seed).shuffle for seed in range(4)},
}


def play(fleet: InProcessFleet, plan: Plan, order: Order = ORDERS["oldest first"], **inputs: Any) -> RunDocument:
    """Run a plan, delivering its messages one by one in this order, and return its document."""
    run = fleet.submit(plan, **inputs)
    under_way: list[Message] = []
    while True:
        while (message := fleet.take("tool")) is not None:
            under_way.append(message)
        if not under_way:
            document: RunDocument = fleet.finish(run)
            return document
        order(under_way)
        fleet.deliver(under_way.pop(0))


def fan(*writers: Callable[..., Any]) -> Plan:
    """Writers side by side between `first` and `look`."""
    graph = StateGraph(nodes.Notes, id="fan").add_node("first", nodes.count_up).add_edge(START, "first")
    for number, writer in enumerate(writers):
        graph.add_node(f"w{number}", writer).add_edge("first", f"w{number}")
    graph.add_node("look", nodes.look).add_edge([f"w{number}" for number in range(len(writers))], "look")
    return graph.compile()


def branching(router: Callable[..., Any], path_map: Any, *targets: str) -> Plan:
    """`first`, a router behind it, and a node for each target, all of which meet in `meet`."""
    graph = StateGraph(nodes.Notes, id="branching").add_node("first", nodes.nothing).add_edge(START, "first")
    graph.add_conditional_edges("first", router, path_map)
    graph.add_node("meet", nodes.look)
    for target, node in zip(targets, (nodes.note_a, nodes.note_b, nodes.note_c), strict=False):
        graph.add_node(target, node).add_edge(target, "meet")
    return graph.compile()


def statuses(document: RunDocument) -> dict[str, str]:
    return {step.id: step.status for step in document.steps.values() if "__route" not in step.id}


class TestState:
    @pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
    def test_parallel_writers_fold_in_plan_order(self, fleet: InProcessFleet, order: Order) -> None:
        document = play(fleet, fan(nodes.note_a, nodes.note_b, nodes.note_c), order, word="w", count=4)
        assert document.outputs["state"] == {
            "word": "w",
            "count": 5,
            "last": "a|a|bb|bb|ccc|ccc|ccc|6|ccc",
            "added": ["a", "a", "bb", "bb", "ccc", "ccc"],
            "total": 6,
            "appended": [{"by": "a"}, {"by": "bb"}, {"by": "ccc"}],
            "merged": {"who": "ccc", "a": True, "bb": True, "ccc": True},
            "best": "ccc",
        }

    def test_the_order_of_the_plan_decides_and_not_the_names(self, fleet: InProcessFleet) -> None:
        state = play(fleet, fan(nodes.note_c, nodes.note_a), ORDERS["newest first"]).outputs["state"]
        assert state["added"] == ["ccc", "ccc", "a", "a"]
        assert state["merged"]["who"] == "a"

    def test_reducers_begin_with_the_inputs(self, fleet: InProcessFleet) -> None:
        given: dict[str, Any] = {
            "added": ["x"],
            "total": 40,
            "appended": [0],
            "merged": {"y": 1, "who": "me"},
            "best": "zzzz",
        }
        state = play(fleet, fan(nodes.note_b), **given).outputs["state"]
        assert state["added"] == ["x", "bb", "bb"]
        assert (state["total"], state["best"]) == (42, "zzzz")
        assert state["appended"] == [0, {"by": "bb"}]
        assert state["merged"] == {"y": 1, "who": "bb", "bb": True}

    def test_a_node_sees_only_what_was_before_it(self, fleet: InProcessFleet) -> None:
        graph = StateGraph(nodes.Notes, id="sight").add_node("a", nodes.note_a).add_node("look", nodes.look)
        graph.add_node("late", nodes.note_c)
        graph.add_edge(START, "a").add_edge("a", "look").add_edge("look", "late")
        assert play(fleet, graph.compile()).outputs["state"]["last"] == "a|a|a|1|a"

    def test_a_node_that_returns_nothing_leaves_the_state(self, fleet: InProcessFleet) -> None:
        document = play(fleet, fan(nodes.nothing), word="w", count=1)
        assert (document.outputs["state"]["added"], document.outputs["state"]["count"]) == ([], 2)

    def test_a_function_with_writes_returns_that_channels_update(self, fleet: InProcessFleet) -> None:
        graph = StateGraph(nodes.Notes, id="writes").add_node("say", nodes.say, writes="best").add_edge(START, "say")
        assert play(fleet, graph.compile(), word="hi").outputs["state"]["best"] == "said hi"


class TestBranches:
    @pytest.mark.parametrize(("count", "taken", "left"), [(2, "even_node", "odd_node"), (3, "odd_node", "even_node")])
    def test_one_way_or_the_other(self, fleet: InProcessFleet, count: int, taken: str, left: str) -> None:
        plan = branching(nodes.parity, {"even": "even_node", "odd": "odd_node"}, "even_node", "odd_node")
        document = play(fleet, plan, count=count)
        assert document.success
        assert statuses(document) == {"first": "completed", taken: "completed", left: "skipped", "meet": "completed"}
        assert document.steps[left].reason == "nothing that leads here was taken"
        assert document.outputs["state"]["last"] == ("a|a|a|1|a" if taken == "even_node" else "bb|bb|bb|2|bb")

    @pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
    def test_a_list_of_ways(self, fleet: InProcessFleet, order: Order) -> None:
        document = play(fleet, branching(nodes.by_word, ["x", "y", "z"], "x", "y", "z"), order, word="z,x")
        assert statuses(document) == {
            "first": "completed",
            "x": "completed",
            "y": "skipped",
            "z": "completed",
            "meet": "completed",
        }
        assert document.outputs["state"]["added"] == ["a", "a", "ccc", "ccc"]

    def test_the_end_of_a_branch(self, fleet: InProcessFleet) -> None:
        document = play(fleet, branching(nodes.by_word, {"on": "x", "stop": END}, "x"), word="stop")
        assert document.success
        assert statuses(document) == {"first": "completed", "x": "skipped", "meet": "skipped"}
        assert {document.steps[step].reason for step in ("x", "meet")} == {"nothing that leads here was taken"}
        assert document.outputs["state"]["added"] == []

    def test_a_router_at_the_start(self, fleet: InProcessFleet) -> None:
        graph = StateGraph(nodes.Notes, id="start").add_node("x", nodes.note_a).add_node("y", nodes.note_b)
        graph.add_conditional_edges(START, nodes.by_word, ["x", "y"])
        document = play(fleet, graph.compile(), word="y")
        assert statuses(document) == {"x": "skipped", "y": "completed"}

    def test_a_dead_branch_dies_to_its_end_and_no_further(self, fleet: InProcessFleet) -> None:
        graph = StateGraph(nodes.Notes, id="long-dead").add_conditional_edges(START, nodes.by_word, ["x", "y"])
        for name in ("x", "x2", "x3", "y", "meet"):
            graph.add_node(name, nodes.note_a)
        graph.add_edge("x", "x2").add_edge("x2", "x3").add_edge("x3", "meet").add_edge("y", "meet")
        document = play(fleet, graph.compile(), word="y")
        assert [step for step, status in statuses(document).items() if status == "completed"] == ["y", "meet"]
        assert document.success

    def test_a_join_behind_a_dead_branch_is_skipped(self, fleet: InProcessFleet) -> None:
        """A list of sources needs them all; single edges need one of them."""
        graph = StateGraph(nodes.Notes, id="join").add_conditional_edges(START, nodes.by_word, ["x", "y"])
        for name in ("x", "y", "both", "either"):
            graph.add_node(name, nodes.nothing)
        graph.add_edge(["x", "y"], "both").add_edge("x", "either").add_edge("y", "either")
        document = play(fleet, graph.compile(), word="x")
        assert statuses(document) == {"x": "completed", "y": "skipped", "both": "skipped", "either": "completed"}


def failure_of(document: RunDocument) -> tuple[str, str | None]:
    assert document.status == "failed"
    return document.error or "", document.error_type


SAME = """
id: same
inputs: {word: {type: string}}
steps:
  - id: double
    tool: python
    action: call
    parameters: {function: "operator:mul", args: ["{{ word }}", 2]}
  - id: save
    tool: filesystem
    action: write
    dependencies: [double]
    parameters: {path: "same.txt", content: "{{ double.result }}!"}
  - id: load
    tool: filesystem
    action: read
    dependencies: [save]
    parameters: {path: "same.txt"}
  - id: never
    tool: filesystem
    action: delete
    dependencies: [load]
    condition: "{{ word == 'other' }}"
    parameters: {path: "same.txt"}
outputs: {text: "{{ load.content }}", double: "{{ double.result }}"}
"""


def same_graph() -> Plan:
    """What the file says, as a graph."""
    graph = StateGraph(nodes.Talk, id="same")
    graph.add_node("double", tool("python.call", function="operator:mul", args=["{{ word }}", 2], writes="answer"))
    graph.add_node("save", tool("filesystem.write", path="same.txt", content="{{ answer }}!"))
    graph.add_node("load", tool("filesystem.read", path="same.txt", writes="file"))
    graph.add_node("never", tool("filesystem.delete", path="same.txt"), condition="{{ word == 'other' }}")
    graph.add_edge(START, "double").add_edge("double", "save").add_edge("save", "load").add_edge("load", "never")
    return graph.compile(outputs={"text": "{{ file.content }}", "double": "{{ answer }}"})


def result_of(document: RunDocument) -> dict[str, Any]:
    """All that a run left, without its times."""
    steps = {step.id: (step.status, step.reason, step.value, step.dependencies) for step in document.steps.values()}
    return {"steps": steps, "outputs": document.outputs, "order": document.execution_order, "state": document.status}


def test_a_file_and_a_graph_that_say_the_same_do_the_same(fleet: InProcessFleet) -> None:
    from_file, from_graph = play(fleet, loads(SAME).plan, word="ab"), play(fleet, same_graph(), word="ab")
    assert from_file.outputs == {"text": "abab!", "double": "abab"}
    assert result_of(from_file) == result_of(from_graph)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandingFleet, ModelServer]]:
    """Real workers, one for tools and one for models, and a model server."""
    folder = tmp_path_factory.mktemp("graphs")
    with ModelServer() as server, StandingFleet(folder) as standing:
        environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": server.url, "ORCHESTRATOR_WORKDIR": str(folder)}
        standing.start_program("tools", "-m", "orchestrator_worker", "-c", "2", **environment)
        standing.start_program("models", "-m", "orchestrator_worker", "--queues=model.openai", "-c", "4", **environment)
        yield standing, server


class TestRealWorkers:
    def test_tools_and_models_write_their_channels(self, standing: tuple[StandingFleet, ModelServer]) -> None:
        fleet, server = standing
        (fleet.folder / "in.txt").write_text("from a file")
        server.script(otherwise=lambda received: text(str(received.body["input"][-1]["content"]).upper()))
        graph = StateGraph(nodes.Talk, id="talk").add_node("listen", nodes.listen)
        graph.add_node("read", tool("filesystem.read", path="in.txt", writes="file")).add_edge(START, "read")
        for name, prompt in (("ask", "{{ word }}: {{ file.content }}"), ("again", "{{ state.word }} again")):
            channel = "answer" if name == "ask" else "answers"
            graph.add_node(name, model("gpt-4o-mini", prompt=prompt, writes=channel)).add_edge("read", name)
        document = fleet.client.submit(graph.add_edge(["ask", "again"], "listen").compile(), {"word": "say"}).result(60)
        assert document.error is None
        assert document.outputs["state"]["heard"] == ["from a file", "SAY: FROM A FILE", "SAY AGAIN"]
        assert document.usage.requests == 2

    @pytest.mark.parametrize("word", ["x", "y,z", "x,y,z"])
    def test_branches_and_reducers(self, standing: tuple[StandingFleet, ModelServer], word: str) -> None:
        fleet, _ = standing
        plan = branching(nodes.by_word, ["x", "y", "z"], "x", "y", "z")
        document = fleet.client.submit(plan, {"word": word}).result(60)
        writers = {"x": "a", "y": "bb", "z": "ccc"}
        taken = [name for branch, name in writers.items() if branch in word.split(",")]
        assert document.outputs["state"]["added"] == [name for name in taken for _ in range(2)]
        assert [step for step in writers if document.steps[step].status == "skipped"] == sorted(
            set(writers) - set(word.split(","))
        )

    def test_a_state_that_cannot_be_folded_ends_the_run(self, standing: tuple[StandingFleet, ModelServer]) -> None:
        fleet, _ = standing
        graph = StateGraph(nodes.Notes, id="unfoldable").add_node("only", nodes.no_mapping).add_edge(START, "only")
        message, _ = failure_of(fleet.client.submit(graph.compile()).result(60))
        assert "node 'only' returned int" in message


class TestFailures:
    @pytest.mark.parametrize("word", ["nowhere", "x,nowhere"])
    def test_a_router_that_returns_an_unknown_label(self, fleet: InProcessFleet, word: str) -> None:
        document = play(fleet, branching(nodes.by_word, ["x", "y"], "x", "y"), word=word)
        message, kind = failure_of(document)
        assert kind == "ParametersInvalid"
        assert "router 'first__route' returned 'nowhere'; its path map knows x, y" in message
        assert statuses(document)["meet"] == "cancelled"

    def test_a_node_that_updates_an_unknown_channel(self, fleet: InProcessFleet) -> None:
        message, kind = failure_of(play(fleet, fan(nodes.unknown_channel)))
        assert kind == "ToolFailed"
        assert "node 'w0' updates 'nowhere', which is no channel of the state: word, count" in message

    def test_a_node_that_returns_no_mapping(self, fleet: InProcessFleet) -> None:
        message, _ = failure_of(play(fleet, fan(nodes.no_mapping)))
        assert "node 'w0' returned int; return a mapping of channels to updates, or say writes=…" in message

    def test_a_reducer_that_raises(self, fleet: InProcessFleet) -> None:
        graph = StateGraph(nodes.Refused, id="refused").add_node("a", nodes.refused).add_node("b", nodes.nothing)
        message, kind = failure_of(play(fleet, graph.add_edge(START, "a").add_edge("a", "b").compile()))
        assert kind == "ToolFailed"
        assert "reducer 'tests.graph_nodes:refusing' cannot combine" in message
        assert "these do not mix" in message

    @pytest.mark.parametrize("last", [nodes.unknown_channel, nodes.no_mapping])
    def test_the_last_node_of_a_graph_fails_as_clearly(self, fleet: InProcessFleet, last: Callable[..., Any]) -> None:
        """Nothing runs behind it that would read the state, only the outputs do."""
        graph = StateGraph(nodes.Notes, id="last").add_node("only", last).add_edge(START, "only")
        message, _ = failure_of(play(fleet, graph.compile()))
        assert "node 'only'" in message
