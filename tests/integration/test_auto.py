"""Values that a plan leaves to a model: asked once, when their step starts, and recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Plan, Step, StepKind
from tests.conformance.model_server import ModelServer
from tests.conformance.model_server import text as reply
from tests.conftest import RedisServer
from tests.integration.loops import each, text
from tests.integration.model_fleet import ModelFleet


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path, server: ModelServer) -> Iterator[ModelFleet]:
    fleet = ModelFleet.on(redis_server.url, tmp_path, default_model="gpt-4o-mini")
    yield fleet
    fleet.close()


def finish(fleet: ModelFleet, plan: Plan) -> dict[str, object]:
    """The results of a run's steps."""
    run = fleet.submit(plan)
    while (message := fleet.take(names.model_queue("openai"), names.TOOL_QUEUE, names.CONTROL_QUEUE)) is not None:
        fleet.deliver(message)
    fleet.engine.scheduler.close(run.id)
    document = run.document()
    assert document.success, document.error
    return {name: step.value.get("result") for name, step in document.steps.items()}


def test_a_parameter_is_asked_for_and_coerced(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(reply("I would say 12 of them."))
    tag = '<AUTO type="integer" min="1" max="5">How many {{ word }}?</AUTO>'
    steps = (text("word", "apples"), text("n", tag, after=("word",), reads=("word",)))
    left = finish(
        fleet,
        Plan(
            id="p",
            steps=(
                steps[0],
                steps[1].model_copy(
                    update={"parameters": {**steps[1].parameters, "args": [tag.replace("word", "word.result")]}}
                ),
            ),
        ),
    )
    assert left["n"] == "5"
    [request] = server.requests
    assert "How many apples?" in request.body["input"][-1]["content"]
    assert "a whole number from 1 to 5" in request.body["input"][-1]["content"]


def test_what_a_model_wrote_is_no_template(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(reply("{{ execution.id }}"))
    assert (
        finish(fleet, Plan(id="p", steps=(text("t", "said: <AUTO>something</AUTO>"),)))["t"]
        == "said: {{ execution.id }}"
    )


def test_items_of_a_map_are_a_list(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(reply('Here: ["a", "b"]'))
    left = finish(fleet, Plan(id="p", steps=(each("m", "<AUTO>list the letters</AUTO>", text("t", "{{ item }}")),)))
    assert (left["m[0].t"], left["m[1].t"]) == ("a", "b")


def test_a_condition_is_true_or_false(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(reply("false"))
    run = fleet.submit(Plan(id="p", steps=(text("t", "x", condition="<AUTO>Is it needed?</AUTO>"),)))
    while (message := fleet.take(names.model_queue("openai"), names.TOOL_QUEUE)) is not None:
        fleet.deliver(message)
    assert run.document().steps["t"].status == "skipped"


def test_a_models_parameters_may_be_left_to_a_model(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(reply("500"), reply("done"))
    step = Step(
        id="ask",
        kind=StepKind.MODEL,
        uses="generate",
        model="gpt-4o-mini",
        parameters={"prompt": "Write", "max_tokens": '<AUTO min="100" max="1000">How long?</AUTO>'},
    )
    assert finish(fleet, Plan(id="p", steps=(step,)))["ask"] == "done"
    assert server.requests[1].body["max_output_tokens"] == 500
