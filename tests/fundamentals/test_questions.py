"""A question waits for a person.

A step that asks is parked: it is in no queue and in no worker, and its question is with the run. One script records an
answer: the first counts, whoever comes second is told who was first, and the step is ready in the same moment. The
message that follows is a hint: if it is lost, `sweep` finds the step.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.client import Client, Run
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid, NoQuestion
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import OnFailure, Plan, Retry, Step, StepKind
from orchestrator_worker.scheduler import Left
from tests.conftest import RedisServer, assert_keys_have_ttl, wait_until
from tests.fleet import InProcessFleet, python_step, start_worker


def ask(step: str = "ask", tool: str = "user-prompt", timeout: float | None = None, **parameters: Any) -> Step:
    """A step that asks a person."""
    given = {"prompt": "how many?", "input_type": "integer"} | ({"timeout": timeout} if timeout else {}) | parameters
    return Step(id=step, kind=StepKind.TOOL, uses=f"{tool}.execute", parameters=given)


def plan(*before: Step) -> Plan:
    """Questions, and a step that doubles the answer to the first of them."""
    asks = before or (ask(),)
    told = python_step("told", "builtins:str", "{{ ask.value * 2 }}", after=(asks[0].id,))
    told = told.model_copy(update={"reads": (asks[0].id,)})
    return Plan(id="asking", steps=(*asks, told), outputs={"told": "{{ told.result }}"})


def asking(fleet: InProcessFleet, *before: Step) -> Run:
    """A run that waits for its answers."""
    run = fleet.submit(plan(*before))
    fleet.drain()
    return run


def test_a_step_that_asks_is_parked_and_in_no_queue(fleet: InProcessFleet) -> None:
    run = asking(fleet)
    assert fleet.delivered == [("ask", Left())]
    assert fleet.redis.llen(names.TOOL_QUEUE) == 0
    [asked] = run.questions()
    assert (asked.instance, asked.question.prompt, asked.deadline_ms) == ("ask", "how many?", None)
    assert run.document().steps["ask"].status == "parked"
    assert fleet.engine.scheduler.sweep() == []
    assert_keys_have_ttl(fleet.redis)


def test_an_answer_is_typed_and_the_step_goes_on_as_the_same_try(fleet: InProcessFleet) -> None:
    run = asking(fleet)
    run.answer("ask", "21", by="ada")
    document = fleet.finish(run)
    assert (document.outputs, document.steps["ask"].retries) == ({"told": "42"}, 0)
    assert document.steps["ask"].value["by"] == "ada"
    told = [event for event in run.stream() if event.kind in (EventKind.QUESTION_ASKED, EventKind.QUESTION_ANSWERED)]
    assert [(event.instance, event.data.get("by")) for event in told] == [("ask", None), ("ask", "ada")]
    assert run.questions() == []


def test_an_answer_that_does_not_fit_is_refused_and_the_question_stands(fleet: InProcessFleet) -> None:
    run = asking(fleet)
    with pytest.raises(InputsInvalid, match="step 'ask': expected integer, found 'many'"):
        run.answer("ask", "many")
    assert len(run.questions()) == 1
    run.answer("ask", 1)
    assert fleet.finish(run).success


def test_the_second_answer_is_told_who_was_first(fleet: InProcessFleet) -> None:
    run = asking(fleet)
    run.answer("ask", 1, by="ada")
    with pytest.raises(NoQuestion, match=r"answered before, by ada at .*; the first answer counts"):
        run.answer("ask", 2, by="bob")
    fleet.finish(run)
    with pytest.raises(NoQuestion, match="answered before, by ada"):
        run.answer("ask", 2, by="bob")
    assert run.value("ask")["value"] == 1


def test_of_many_answers_at_once_one_counts(fleet: InProcessFleet) -> None:
    run = asking(fleet)

    def answer(number: int) -> bool:
        try:
            run.answer("ask", number, by=f"p{number}")
        except NoQuestion:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(answer, range(16)))
    assert counted.count(True) == 1
    assert fleet.finish(run).steps["ask"].value["value"] == counted.index(True)
    assert fleet.redis.llen(names.TOOL_QUEUE) == 0


def test_the_same_call_again_changes_nothing(fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply of the script was lost on the way, and the connection asks again."""
    run = asking(fleet)
    eval_once = fleet.client._stores.connection.redis.eval
    monkeypatch.setattr(
        fleet.client._stores.connection.redis, "eval", lambda *args: (eval_once(*args), eval_once(*args))[1]
    )
    run.answer("ask", 3)
    assert fleet.finish(run).outputs == {"told": "6"}
    assert sum(event.kind is EventKind.QUESTION_ANSWERED for event in run.stream()) == 1


def test_a_lost_message_is_found_by_sweep(fleet: InProcessFleet) -> None:
    run = asking(fleet)
    run.answer("ask", 4)
    fleet.redis.delete(names.TOOL_QUEUE)
    fleet.set_clock(run, 60_000)
    fleet.engine.scheduler.sweep()
    assert fleet.finish(run).outputs == {"told": "8"}


def test_nothing_can_be_answered_before_it_is_asked(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan())
    with pytest.raises(NoQuestion, match="it asks nothing; nothing in the run does"):
        run.answer("ask", 1)
    fleet.drain()
    with pytest.raises(NoQuestion, match="'told': it asks nothing; ask do"):
        run.answer("told", 1)


def test_who_wakes_a_step_too_early_does_no_harm(fleet: InProcessFleet) -> None:
    """An answer that comes while the step looks is found when it parks again."""
    run = asking(fleet, ask(timeout=60))
    [asked] = run.questions()
    fleet.redis.zadd(names.TIMETABLE, {f"{run.id}|ask": 0})
    fleet.engine.scheduler.sweep()
    fleet.drain()
    [again] = run.questions()
    assert (again.asked_ms, again.deadline_ms) == (asked.asked_ms, asked.deadline_ms)
    fleet.redis.zadd(names.TIMETABLE, {f"{run.id}|ask": 0})
    fleet.engine.scheduler.sweep()
    run.answer("ask", 5)
    assert fleet.finish(run).outputs == {"told": "10"}
    assert sum(event.kind is EventKind.QUESTION_ASKED for event in run.stream()) == 1


def test_an_answer_between_looking_and_parking_is_found(fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    run = asking(fleet, ask(timeout=60))
    fleet.redis.zadd(names.TIMETABLE, {f"{run.id}|ask": 0})
    fleet.engine.scheduler.sweep()
    looked = fleet.engine.store.asked

    def look_and_be_late(*key: str) -> Any:
        found = looked(*key)
        run.answer("ask", 6)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(fleet.engine.store, "asked", look_and_be_late)
        message = fleet.take(names.TOOL_QUEUE)
        assert message is not None
        fleet.deliver(message)
    assert fleet.finish(run).outputs == {"told": "12"}


def test_after_the_deadline_the_default_counts(fleet: InProcessFleet) -> None:
    run = asking(fleet, ask(timeout=60, default=7))
    fleet.set_clock(run, 120_000)
    with pytest.raises(NoQuestion, match="nobody answered by its deadline"):
        run.answer("ask", 1)
    fleet.engine.scheduler.sweep()
    document = fleet.finish(run)
    assert document.outputs == {"told": "14"}
    assert document.steps["ask"].value["used_default"] is True


def test_without_a_default_the_step_fails_and_its_policy_applies(fleet: InProcessFleet) -> None:
    step = ask(timeout=60).model_copy(update={"on_failure": OnFailure.SKIP})
    run = asking(fleet, step)
    fleet.set_clock(run, 120_000)
    fleet.engine.scheduler.sweep()
    steps = fleet.finish(run).steps
    assert (steps["ask"].status, steps["ask"].error_type, steps["told"].status) == ("failed", "StepTimeout", "skipped")
    assert "nobody answered its question within 60 s" in (steps["ask"].error or "")


def test_a_plan_that_tries_again_asks_again(fleet: InProcessFleet) -> None:
    run = asking(fleet, ask(timeout=60).model_copy(update={"retry": Retry(attempts=2, initial_seconds=1.0)}))
    fleet.set_clock(run, 120_000)
    fleet.engine.scheduler.sweep()
    fleet.drain()
    fleet.set_clock(run, 130_000)
    fleet.engine.scheduler.sweep()
    fleet.drain()
    [asked] = run.questions()
    assert asked.number == 2
    run.answer("ask", 8)
    document = fleet.finish(run)
    assert (document.outputs, document.steps["ask"].retries) == ({"told": "16"}, 1)


def test_cancel_ends_a_step_that_waits(fleet: InProcessFleet) -> None:
    run = asking(fleet)
    run.cancel()
    with pytest.raises(NoQuestion, match="its run takes no more steps"):
        run.answer("ask", 1)
    fleet.engine.scheduler.sweep()
    document = fleet.finish(run)
    assert (document.status, document.steps["ask"].status) == ("cancelled", "cancelled")


def test_what_the_run_was_told_is_not_asked(fleet: InProcessFleet) -> None:
    run = fleet.client.submit(plan(), answers={"ask": "9"})
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.engine.scheduler.start(run.id)
    document = fleet.finish(run)
    assert (document.outputs, document.steps["ask"].value["by"]) == ({"told": "18"}, "submission")


def test_what_the_run_was_told_must_fit(fleet: InProcessFleet) -> None:
    with pytest.raises(InputsInvalid, match="answer to 'aks': the plan has no such step"):
        fleet.client.submit(plan(), answers={"aks": 1})
    run = fleet.client.submit(plan(), answers={"ask": "many"})
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.engine.scheduler.start(run.id)
    assert "given with the submission does not fit: expected integer" in (fleet.finish(run).error or "")


def test_a_run_may_be_told_to_take_defaults(fleet: InProcessFleet) -> None:
    run = fleet.client.submit(plan(ask(default=10), ask("other", timeout=5)), answer_defaults=True)
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.engine.scheduler.start(run.id)
    fleet.drain()
    assert [asked.instance for asked in fleet.client.questions()] == ["other"]
    run.answer("other", 1)
    assert fleet.finish(run).outputs == {"told": "20"}


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, append_only=True).start()
    yield server
    server.kill()


def test_a_question_outlives_its_worker_and_a_restart_of_redis(durable: RedisServer, tmp_path: Path) -> None:
    worker = start_worker(durable.url, tmp_path, "w1", "-c", "2")
    with Client(durable.url) as client:
        run = client.submit(plan())
        wait_until(run.questions, "the question stands")
        worker.kill()
        # `everysec` may lose the last second; a question that somebody thinks about for longer is on disk.
        client._stores.connection.redis.bgrewriteaof()
        wait_until(
            lambda: client._stores.connection.redis.info("persistence")["aof_rewrite_in_progress"] == 0, "it is on disk"
        )
        durable.kill()
        durable.start()
        run.answer("ask", 11)
        worker = start_worker(durable.url, tmp_path, "w2", "-c", "2")
        assert run.result(timeout=60).outputs == {"told": "22"}
        worker.kill()
