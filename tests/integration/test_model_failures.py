"""Model steps that fail, wait out the weather or ask another model, and answers that several runs share."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import OnFailure, Plan, Retry
from orchestrator_client.contract.run import Outcome
from orchestrator_worker.scheduler import Ended
from tests.conformance.model_server import ModelServer, calls, error, text
from tests.conftest import RedisServer
from tests.functions import record
from tests.integration.model_fleet import ModelFleet, model_plan

RECORD = "tests_functions_record"


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path, server: ModelServer) -> Iterator[ModelFleet]:
    fleet = ModelFleet.on(redis_server.url, tmp_path)
    yield fleet
    fleet.close()


# --- failures --------------------------------------------------------------------------------------------------------


def test_another_model_answers_once_the_first_has_no_attempt_left(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(error(500), error(500), error(500), text("Here.", model="gpt-4.1-mini"))
    run = fleet.submit(model_plan(fallback_models=["gpt-4.1-mini"]))
    document = fleet.finish(run)
    assert [request.body["model"] for request in server.requests] == ["gpt-4o-mini"] * 2 + ["gpt-4.1-mini"] * 2
    assert document.outputs == {"said": "Here."}
    receipt = fleet.receipt(run)
    assert (receipt.model, receipt.attempt, receipt.excused) == ("gpt-4.1-mini", 4, 2)
    assert receipt.selection == "asked because openai/gpt-4o-mini had failed"


def test_a_model_that_is_not_there_is_not_tried_twice(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(error(404, "no such model", code="model_not_found"), text("Here.", model="gpt-4.1-mini"))
    document = fleet.finish(fleet.submit(model_plan(fallback_models=["gpt-4.1-mini"])))
    assert document.outputs == {"said": "Here."}
    assert [request.body["model"] for request in server.requests] == ["gpt-4o-mini", "gpt-4.1-mini"]


def test_the_last_models_failure_is_the_steps(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(error(404, "not the first"), error(404, "nor the second"))
    document = fleet.finish(fleet.submit(model_plan(fallback_models=["gpt-4.1-mini"])))
    assert document.status == "failed"
    assert "nor the second" in document.steps["ask"].error


def test_a_rate_limit_costs_no_attempt(fleet: ModelFleet, server: ModelServer) -> None:
    limited = error(429, "slow down", code="rate_limit_exceeded", headers={"retry-after": "60"})
    server.script(limited, limited, limited, text("At last."))
    run = fleet.submit(model_plan(retry=Retry(attempts=1)))
    for refusals in (1, 2, 3):
        fleet.deliver(fleet.taken("ask"))
        assert fleet.take() is None
        waiting = run.document().steps["ask"]
        assert (waiting.status, waiting.retries) == ("waiting", 0)
        fleet.set_clock(run, forward_ms=refusals * 120_000)
        fleet.engine.scheduler.promote()
    document = fleet.finish(run)
    assert document.outputs == {"said": "At last."}
    assert document.steps["ask"].retries == 0
    assert fleet.receipt(run).excused == 3


def test_what_failed_attempts_cost_is_counted(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(
        text("", input_tokens=1000, output_tokens=500),
        text("", input_tokens=1000, output_tokens=500),
        text("Here.", input_tokens=1000, output_tokens=500),
    )
    run = fleet.submit(model_plan(fallback_models=["gpt-4o-mini-2024-07-18"]))
    document = fleet.finish(run)
    usage = document.steps["ask"].usage
    assert document.outputs == {"said": "Here."}
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (3, 3000, 1500)
    assert usage.cost_usd == 3 * Decimal("0.00045")
    assert document.usage == usage


def test_a_failed_step_says_what_it_cost(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text(""), error(400))
    document = fleet.finish(fleet.submit(model_plan()))
    assert document.status == "failed"
    assert document.steps["ask"].usage.requests == 1


@pytest.mark.parametrize(
    "odd", [{"cache": -5}, {"cache": 10**19}, {"max_tokens": 10**30}, {"options": {"top_k": float("inf")}}], ids=str
)
def test_numbers_that_nobody_meant_end_the_step_and_not_the_store(
    fleet: ModelFleet, server: ModelServer, odd: dict[str, Any]
) -> None:
    """A script that stopped half way would leave a run that nobody can end."""
    run = fleet.client.submit(model_plan(**odd), budget_usd=1)
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.engine.scheduler.start(run.id)
    assert fleet.finish(run).status in ("completed", "failed")


# --- shared answers --------------------------------------------------------------------------------------------------


def test_the_same_request_is_made_once(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("36."), text("37."))
    first = fleet.finish(fleet.submit(model_plan("one", cache=True)))
    run = fleet.submit(model_plan("two", cache=True))
    second = fleet.finish(run)
    assert (first.outputs, second.outputs) == ({"said": "36."}, {"said": "36."})
    assert len(server.requests) == 1
    assert fleet.receipt(run).cached
    assert (second.usage.requests, second.usage.cost_usd) == (0, 0)
    other = fleet.finish(fleet.submit(model_plan("three", cache=True, temperature=0.5)))
    assert other.outputs == {"said": "37."}


def test_a_step_that_does_not_say_so_shares_nothing(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("36."), text("37."))
    fleet.finish(fleet.submit(model_plan("one", cache=True)))
    assert fleet.finish(fleet.submit(model_plan("two"))).outputs == {"said": "37."}


def test_who_asks_the_same_meanwhile_waits_for_the_answer(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(text("36."))
    leader = fleet.submit(model_plan("leader", cache=True))
    call = fleet.taken("ask")
    followers = [fleet.submit(model_plan(f"follower-{n}", cache=True)) for n in range(3)]
    assert fleet.take() is None
    assert [run.document().steps["ask"].status for run in followers] == ["waiting"] * 3
    fleet.engine.scheduler.promote()
    assert fleet.take() is None
    fleet.deliver(call)
    fleet.engine.scheduler.promote()
    assert [fleet.finish(run).outputs for run in (leader, *followers)] == [{"said": "36."}] * 4
    assert len(server.requests) == 1
    assert [fleet.receipt(run).cached for run in (leader, *followers)] == [False, True, True, True]


def test_when_the_answer_fails_one_of_those_who_wait_asks_itself(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(error(400, "no"), text("36."))
    leader = fleet.submit(model_plan("leader", cache=True))
    call = fleet.taken("ask")
    followers = [fleet.submit(model_plan(f"follower-{n}", cache=True)) for n in range(2)]
    verdict = fleet.deliver(call)
    assert isinstance(verdict, Ended)
    assert verdict.outcome is Outcome.FAILED
    fleet.engine.scheduler.promote()
    assert [fleet.finish(run).outputs for run in followers] == [{"said": "36."}] * 2
    assert fleet.finish(leader).status == "failed"
    assert len(server.requests) == 2


def test_a_conversation_is_shared_turn_by_turn_but_its_tools_are_not(
    fleet: ModelFleet, server: ModelServer, tmp_path: Path
) -> None:
    ledger = str(tmp_path / "ledger")
    server.script(calls(("c1", RECORD, {"path": ledger})), text("Once."), text("Twice."))
    for said in ("Once.", "Twice."):
        run = fleet.submit(model_plan(said.strip("."), cache=True, tools=["python:tests.functions:record"]))
        assert fleet.finish(run).outputs == {"said": said}
    assert record(ledger, peek=True) == 2
    assert len(server.requests) == 3


def test_a_step_that_goes_on_without_its_answer(fleet: ModelFleet, server: ModelServer) -> None:
    server.script(error(400), text("Never mind."))
    [ask] = model_plan().steps
    ask = ask.model_copy(update={"on_failure": OnFailure.CONTINUE})
    after = ask.model_copy(update={"id": "after", "after": ("ask",)})
    document = fleet.finish(fleet.submit(Plan(id="two", steps=(ask, after))))
    assert [document.steps[step].status for step in ("ask", "after")] == ["failed", "completed"]
    assert len(server.requests) == 2
