"""Model steps of several calls, message by message: answers that are repaired, tools, and crashes in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from orchestrator_client.contract import names
from orchestrator_worker.records import Repair
from orchestrator_worker.scheduler import Ended, Left
from tests.conformance.model_server import Answer, ModelServer, calls, error, text
from tests.conformance.scripted_server import Received, ScriptedServer
from tests.conftest import RedisServer, wait_until
from tests.fleet import Message
from tests.functions import record
from tests.integration.model_fleet import ModelFleet, model_plan

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"], "additionalProperties": False}
ADD, FAIL, RECORD = "tests_integration_test_model_turns_add", "tests_functions_fail", "tests_functions_record"


class City(BaseModel):
    name: str
    people: int = Field(gt=0)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path, server: ModelServer) -> Iterator[ModelFleet]:
    fleet = ModelFleet.on(redis_server.url, tmp_path)
    yield fleet
    fleet.close()


def returns(received: Received) -> list[str]:
    """What the model was told that its tools gave, in order."""
    return [item["output"] for item in received.body["input"] if item.get("type") == "function_call_output"]


# --- answers of a form -----------------------------------------------------------------------------------------------


def test_an_answer_that_does_not_fit_is_repaired_once(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text('{"age": "old"}'), text('{"age": 36}'))
    run = fleet.submit(model_plan(schema=AGE))
    document = fleet.finish(run)
    assert document.outputs == {"said": {"age": 36}}
    first, second = server.requests
    assert first.body["text"]["format"]["schema"] == AGE
    said, told = second.body["input"][-2:]
    assert (said["role"], told["role"]) == ("assistant", "user")
    assert '{"age": "old"}' in str(said["content"])
    assert "'old' is not of type 'integer'" in told["content"]
    assert document.steps["ask"].retries == 0


def test_one_that_does_not_fit_after_that_fails_and_is_kept(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("She is old."), text('{"age": "old"}'))
    run = fleet.submit(model_plan(schema=AGE))
    document = fleet.finish(run)
    step = document.steps["ask"]
    assert (document.status, step.status, step.value["result"]) == ("failed", "failed", '{"age": "old"}')
    assert "also after its repair: age: 'old' is not of type 'integer'" in step.error
    assert len(server.requests) == 2
    assert step.usage.requests == 2


def test_an_answer_may_be_asked_for_as_a_class(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text('{"name": "Ghent", "people": 0}'), text('{"name": "Ghent", "people": "270000"}'))
    run = fleet.submit(model_plan(schema=f"python:{__name__}:City"))
    assert fleet.finish(run).outputs == {"said": {"name": "Ghent", "people": 270000}}
    assert "people: Input should be greater than 0" in server.requests[1].body["input"][-1]["content"]


# --- tools -----------------------------------------------------------------------------------------------------------


def test_tools_run_beside_each_other_as_steps_of_their_own(
    fleet: ModelFleet, server: ModelServer, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("found")
    wanted = ("c1", "filesystem_read", {"path": "a.txt"}), ("c2", ADD, {"a": 1, "b": 2})
    server.script(calls(*wanted, input_tokens=100, output_tokens=20), text("Both.", input_tokens=200, output_tokens=5))
    run = fleet.submit(model_plan(tools=["filesystem.read", f"python:{__name__}:add"]))
    assert isinstance(fleet.deliver(fleet.taken("ask")), Left)
    first, second = fleet.taken("ask#1.1"), fleet.taken("ask#1.2")
    assert {first.queue, second.queue} == {names.TOOL_QUEUE}
    for message in (second, first):
        assert isinstance(fleet.deliver(message), Ended)
    document = fleet.finish(run)
    assert (document.success, document.outputs) == (True, {"said": "Both."})
    assert [document.steps[f"ask#1.{n}"].status for n in (1, 2)] == ["completed", "completed"]
    assert [fleet.receipt(run, f"ask#1.{n}").uses for n in (1, 2)] == ["filesystem.read", f"python:{__name__}:add"]
    assert document.steps["ask#1.2"].value["result"] == 3
    again = server.requests[1]
    assert [item["type"] for item in again.body["input"][1:]] == [
        "reasoning",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
    ]
    assert "found" in returns(again)[0]
    assert returns(again)[1] == "3"
    usage = document.steps["ask"].usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (2, 300, 25)
    assert document.steps["ask"].retries == 0


def test_the_chord_counts_every_step_that_was_asked_for(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(calls(("c1", ADD, {"a": 1, "b": 2}), ("c2", ADD, {"a": 3, "b": 4})), text("Done."))
    run = fleet.submit(model_plan(tools=[f"python:{__name__}:add"]))
    assert fleet.finish(run).success
    grown = int(fleet.redis.get(fleet.engine.canvas.growth_key(run.id)))
    ended = {instance for instance, verdict in fleet.delivered if isinstance(verdict, Ended)}
    assert (grown, ended) == (2, {"ask", "ask#1.1", "ask#1.2"})


def test_a_tool_is_tried_again_by_itself(fleet: ModelFleet, server: ModelServer) -> None:
    with ScriptedServer(otherwise=lambda _: Answer(body=b'"found"')) as web:
        web.script(Answer(status=503))
        server.script(calls(("c1", "http_get", {"url": f"{web.root}/a"})), text("Found."))
        run = fleet.submit(model_plan(tools=["http.get"]))
        fleet.drain()
        assert run.document().steps["ask#1.1"].status == "parked"
        fleet.set_clock(run, forward_ms=120_000)
        assert [due.repair for due in fleet.engine.scheduler.sweep()] == [Repair.PUBLISH]
        document = fleet.finish(run)
    assert document.outputs == {"said": "Found."}
    assert document.steps["ask#1.1"].retries == 1
    assert len(server.requests) == 2
    assert "found" in returns(server.requests[1])[0]


def test_a_tool_that_fails_is_the_models_affair(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(calls(("c1", FAIL, {"message": "no luck"})), text("It failed, so what."))
    run = fleet.submit(model_plan(tools=["python:tests.functions:fail"]))
    document = fleet.finish(run)
    assert (document.status, document.outputs) == ("completed", {"said": "It failed, so what."})
    assert document.steps["ask#1.1"].status == "failed"
    [told] = returns(server.requests[1])
    assert told.startswith("Error: ")
    assert "no luck" in told


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("c1", "no_such_tool", {}), f"there is no tool 'no_such_tool'; there are: {ADD}"),
        (("c1", ADD, '{"a": 1,'), "the arguments cannot be read"),
    ],
)
def test_a_call_that_cannot_be_made_goes_back_without_a_step(
    fleet: ModelFleet, server: ModelServer, call: Any, told: str
) -> None:
    server.script(calls(call), text("Sorry."))
    run = fleet.submit(model_plan(tools=[f"python:{__name__}:add"]))
    document = fleet.finish(run)
    assert document.outputs == {"said": "Sorry."}
    assert list(document.steps) == ["ask"]
    assert told in returns(server.requests[1])[0]


def test_arguments_that_a_tool_does_not_take_go_back_too(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(calls(("c1", ADD, {"a": 1})), text("Sorry."))
    document = fleet.finish(fleet.submit(model_plan(tools=[f"python:{__name__}:add"])))
    assert (document.success, document.steps["ask#1.1"].status) == (True, "failed")
    assert "parameter 'b' is required, and was not given; it takes a, b" in returns(server.requests[1])[0]


def test_another_models_tools_are_steps_of_their_own(fleet: ModelFleet, server: ModelServer) -> None:
    """The first model's steps have their receipts already: a second one of their name would never be waited for."""
    wanted = calls(("c1", ADD, {"a": 1, "b": 2}))
    server.script(wanted, error(400, "I am tired"), wanted, text("Three."))
    run = fleet.submit(model_plan(tools=[f"python:{__name__}:add"], fallback_models=["gpt-4.1-mini"]))
    document = fleet.finish(run)
    assert document.outputs == {"said": "Three."}
    assert sorted(document.steps) == ["ask", "ask#1.1", "ask#2.1"]
    assert len(server.requests[2].body["input"]) == 1, "it begins anew"
    assert returns(server.requests[3]) == ["3"]


def test_turns_come_to_an_end(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(otherwise=lambda _: calls(("c1", ADD, {"a": 1, "b": 2})))
    run = fleet.submit(model_plan(tools=[f"python:{__name__}:add"], max_turns=3))
    document = fleet.finish(run)
    assert document.status == "failed"
    assert "still asks for tools after 3 turns; raise max_turns" in document.steps["ask"].error
    assert len(server.requests) == 3
    assert sorted(document.steps) == ["ask", "ask#1.1", "ask#2.1"]
    assert document.steps["ask"].usage.requests == 3


# --- crashes ---------------------------------------------------------------------------------------------------------


def test_no_turn_that_was_answered_is_asked_for_again(fleet: ModelFleet, server: ModelServer, tmp_path: Path) -> None:
    """Every message comes twice, and the copy again after whatever it led to."""
    ledger = str(tmp_path / "ledger")
    server.script(calls(("c1", RECORD, {"path": ledger})), calls(("c1", RECORD, {"path": ledger})), text("Done."))
    run = fleet.submit(model_plan(tools=["python:tests.functions:record"]))
    copies: list[Message] = []
    while (message := fleet.take()) is not None:
        fleet.deliver(message)
        copies.append(message)
        for copy in copies:
            fleet.deliver(copy)
    document = fleet.finish(run)
    assert document.outputs == {"said": "Done."}
    assert len(server.requests) == 3
    assert record(ledger, peek=True) == 2
    assert document.steps["ask"].usage.requests == 3


@pytest.mark.parametrize("lost", ["ask", "ask#1.1", "ask again"])
def test_a_lost_message_costs_no_request(fleet: ModelFleet, server: ModelServer, tmp_path: Path, lost: str) -> None:
    ledger = str(tmp_path / "ledger")
    server.script(calls(("c1", RECORD, {"path": ledger})), text("Done."))
    run = fleet.submit(model_plan(tools=["python:tests.functions:record"]))
    for place in ("ask", "ask#1.1", "ask again"):
        message = fleet.taken(place.removesuffix(" again"))
        if place == lost:
            fleet.set_clock(run, forward_ms=60_000)
            assert [due.repair for due in fleet.engine.scheduler.sweep()] == [Repair.REPUBLISH]
            message = fleet.taken(place.removesuffix(" again"))
        fleet.deliver(message)
    assert fleet.finish(run).outputs == {"said": "Done."}
    assert len(server.requests) == 2
    assert record(ledger, peek=True) == 1


def test_a_worker_that_dies_in_a_turn_costs_that_turn_and_none_before(
    fleet: ModelFleet, server: ModelServer, tmp_path: Path
) -> None:
    ledger = str(tmp_path / "ledger")
    server.script(calls(("c1", RECORD, {"path": ledger})), text("Done."))
    run = fleet.submit(model_plan(tools=["python:tests.functions:record"]))
    fleet.deliver(fleet.taken("ask"))
    fleet.deliver(fleet.taken("ask#1.1"))
    _, _, attempt = fleet.taken("ask").args
    fleet.engine.store.claim(run.id, "ask", attempt, "token", "a worker that dies", [])
    fleet.set_clock(run, forward_ms=60_000)
    assert fleet.engine.scheduler.sweep() == [], "a lease that has just run out may still be renewed"
    fleet.set_clock(run, forward_ms=70_000)
    assert [due.repair for due in fleet.engine.scheduler.sweep()] == [Repair.LOST]
    document = fleet.finish(run)
    assert document.outputs == {"said": "Done."}
    assert (len(server.requests), record(ledger, peek=True)) == (2, 1)
    assert document.steps["ask"].retries == 1


def test_a_tool_whose_worker_dies_is_called_by_another(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(calls(("c1", ADD, {"a": 1, "b": 2})), text("Three."))
    run = fleet.submit(model_plan(tools=[f"python:{__name__}:add"]))
    fleet.deliver(fleet.taken("ask"))
    fleet.taken("ask#1.1")
    fleet.engine.store.claim(run.id, "ask#1.1", 1, "token", "a worker that dies", [])
    fleet.set_clock(run, forward_ms=60_000)
    assert fleet.engine.scheduler.sweep() == [], "a lease that has just run out may still be renewed"
    fleet.set_clock(run, forward_ms=70_000)
    assert [due.repair for due in fleet.engine.scheduler.sweep()] == [Repair.LOST]
    document = fleet.finish(run)
    assert document.outputs == {"said": "Three."}
    assert document.steps["ask#1.1"].retries == 1
    assert returns(server.requests[1]) == ["3"]


def test_a_cancelled_run_asks_nobody_once_its_tools_have_ended(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(calls(("c1", ADD, {"a": 1, "b": 2})), text("Done."))
    run = fleet.submit(model_plan(tools=[f"python:{__name__}:add"]))
    fleet.deliver(fleet.taken("ask"))
    run.cancel()
    fleet.drain()
    wait_until(lambda: fleet.engine.scheduler.sweep() or run.document().steps["ask"].status == "cancelled", "swept")
    document = fleet.finish(run)
    assert document.steps["ask"].status == "cancelled"
    assert len(server.requests) == 1
