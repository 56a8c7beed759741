"""Messages are hints: doubled, lost, late or stale, a run ends once, with one receipt an instance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import WorkerLost
from orchestrator_client.contract.plan import OnFailure, Plan, Retry
from orchestrator_client.contract.run import Outcome
from orchestrator_worker.context.places import place_of
from orchestrator_worker.lifecycle import Standing
from orchestrator_worker.records import Repair
from orchestrator_worker.scheduler import Attempt, Ended, Left
from orchestrator_worker.steps.base import Output
from tests.fleet import InProcessFleet, plan_of_shape, python_step

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
N_SHAPE = {"a": [], "b": [], "c": ["a"], "d": ["a", "b"]}
FAN_1000 = {"first": [], **{f"x{i}": ["first"] for i in range(1000)}, "last": [f"x{i}" for i in range(1000)]}
CHAIN_1000 = {f"s{i}": [f"s{i - 1}"] if i else [] for i in range(1000)}


@pytest.mark.parametrize(
    "needs", [DIAMOND, N_SHAPE, FAN_1000, CHAIN_1000], ids=["diamond", "N", "fan1000", "chain1000"]
)
def test_any_dag_ends_with_one_receipt_a_step(fleet: InProcessFleet, needs: dict[str, list[str]]) -> None:
    run = fleet.submit(plan_of_shape(needs))
    document = fleet.finish(run)
    assert document.success
    assert sorted(document.execution_order) == sorted(needs)
    order = {step: place for place, step in enumerate(step for step, _ in fleet.delivered)}
    assert all(order[before] < order[step] for step, befores in needs.items() for before in befores)


def test_every_message_delivered_twice_changes_nothing(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape(DIAMOND))
    while (message := fleet.take("tool")) is not None:
        first, second = fleet.deliver(message), fleet.deliver(message)
        assert isinstance(first, Ended)
        assert second == Ended(Outcome.SUCCEEDED)
    assert fleet.finish(run).success
    assert len(fleet.delivered) == 8


def test_a_copy_of_a_running_steps_message_is_refused_and_not_counted(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape({"a": []}))
    message = fleet.take("tool")
    claim = fleet.engine.store.claim(run.id, "a", 1, "token", "elsewhere", [])
    assert claim.values == {}
    assert isinstance(fleet.deliver(message), Left)


def test_a_lost_message_is_sent_again(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape(DIAMOND))
    fleet.set_clock(run, forward_ms=0)
    assert fleet.take("tool") is not None  # and lost
    assert fleet.take("tool") is None
    assert fleet.engine.scheduler.sweep() == []
    fleet.set_clock(run, forward_ms=60_000)
    assert [due.repair for due in fleet.engine.scheduler.sweep()] == [Repair.REPUBLISH]
    assert fleet.finish(run).success


def test_a_late_message_in_a_long_queue_is_not_doubled(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape(DIAMOND))
    fleet.set_clock(run, forward_ms=60_000)
    fleet.engine.scheduler.sweep()
    assert fleet.redis.llen("tool") == 1


def test_a_death_between_settle_and_publish_loses_only_hints(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape(DIAMOND))
    fleet.deliver(fleet.take("tool"))
    fleet.redis.delete("tool")  # as if the process had died before it published b and c
    fleet.set_clock(run, forward_ms=60_000)
    found = fleet.engine.scheduler.sweep()
    assert {due.instance for due in found} == {"b", "c"}
    assert fleet.finish(run).success


def test_a_lost_worker_costs_an_attempt_and_its_zombie_is_refused(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape(DIAMOND))
    scheduler, store = fleet.engine.scheduler, fleet.engine.store
    opened, graph = scheduler._runs.open(run.id)
    fleet.take("tool")
    claim = store.claim(run.id, "a", 1, "token", "zombie", [])
    fleet.set_clock(run, forward_ms=60_000)
    assert scheduler.sweep() == [], "a lease that has just run out may still be renewed"
    fleet.set_clock(run, forward_ms=70_000)
    assert [due.repair for due in scheduler.sweep()] == [Repair.LOST]
    message = fleet.take("tool")
    assert message.args == [run.id, "a", 2], "another attempt is sent at once"
    fleet.deliver(message)
    document = fleet.finish(run)
    assert document.success
    assert document.steps["a"].retries == 1

    zombie = Attempt.at(opened, graph, place_of(graph, "a"), Standing(1, started_ms=claim.started_ms), None)
    assert isinstance(scheduler.conclude(zombie, Output("too late")), Left)
    assert run.value("a") != "too late"


def test_a_late_worker_may_still_renew_its_lease_and_settle(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape({"a": []}))
    scheduler, store = fleet.engine.scheduler, fleet.engine.store
    claim = store.claim(*fleet.take("tool").args, "token", "slow", [])
    fleet.set_clock(run, forward_ms=60_000)
    scheduler.sweep()
    assert run.document().steps["a"].status == "late"
    assert store.renew([(run.id, "a", 1)]) == ["held"]
    assert run.document().steps["a"].status == "running"
    fleet.set_clock(run, forward_ms=66_000)
    assert scheduler.sweep() == []
    opened, graph = scheduler._runs.open(run.id)
    assert isinstance(
        scheduler.conclude(
            Attempt.at(opened, graph, place_of(graph, "a"), Standing(1, started_ms=claim.started_ms), None), Output(1)
        ),
        Ended,
    )


def test_a_step_that_kills_its_workers_is_given_up_after_its_attempts(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape({"poison": [], "after": ["poison"]}))
    for round_ in range(1, 12):
        if (message := fleet.take("tool")) is not None:
            fleet.engine.store.claim(*message.args, f"t{round_}", "w", [])
        fleet.set_clock(run, forward_ms=round_ * 60_000)
        fleet.engine.scheduler.sweep()
    document = fleet.finish(run)
    assert document.status == "failed"
    assert document.steps["poison"].error_type == "WorkerLost"
    assert document.steps["poison"].retries == 2
    assert document.steps["after"].status == "cancelled"


def test_a_step_whose_process_died_is_the_next_to_be_taken(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape({"a": [], "b": [], "c": []}))
    lost = fleet.take("tool").args
    fleet.engine.store.claim(*lost, "token", "w", [])
    fleet.engine.scheduler.give_up(*lost, WorkerLost("the process of the step died"))
    assert [fleet.take("tool").args[1:] for _ in range(3)] == [["a", 2], ["b", 1], ["c", 1]]
    assert run.status().state == "running"


def test_a_step_that_a_stopping_worker_hands_back_is_the_next_to_be_taken(fleet: InProcessFleet) -> None:
    fleet.submit(plan_of_shape({"a": [], "b": []}))
    handed = fleet.take("tool").args
    fleet.engine.store.claim(*handed, "token", "w", [])
    fleet.engine.scheduler.hand_back(*handed)
    assert fleet.take("tool").args[1:] == ["a", 2]


def test_a_failed_attempt_is_parked_and_comes_back_after_its_backoff(fleet: InProcessFleet, tmp_path: Path) -> None:
    count = str(tmp_path / "count")
    step = python_step("a", "tests.functions:fail_until", count, 2, retry=Retry(attempts=3, initial_seconds=30))
    run = fleet.submit(Plan(id="retry", steps=(step,)))
    fleet.set_clock(run, forward_ms=0)
    assert fleet.drain() == [("a", Left())]
    assert fleet.engine.scheduler.sweep() == []
    for minutes in (2, 4):
        fleet.set_clock(run, forward_ms=minutes * 60_000)
        assert [due.repair for due in fleet.engine.scheduler.sweep()] == [Repair.PUBLISH]
        fleet.drain()
    document = fleet.finish(run)
    assert document.success
    assert document.steps["a"].retries == 2


def test_a_run_that_its_chord_did_not_close_is_closed_by_sweep(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape({"a": []}))
    fleet.drain()  # in this process no Celery counts parts, so no chord closes
    fleet.set_clock(run, forward_ms=60_000)
    assert [due.repair for due in fleet.engine.scheduler.sweep()] == [Repair.CLOSE]
    assert fleet.take(names.CONTROL_QUEUE).task == names.CLOSE_TASK


def test_a_cancelled_run_ends_though_nobody_serves_a_queue_of_its_steps(fleet: InProcessFleet) -> None:
    plan = Plan(id="unserved", steps=(python_step("a"), python_step("b", after=("a",))))
    run = fleet.submit(plan)
    message = fleet.take(names.TOOL_QUEUE)  # and nobody ever will
    run.cancel()
    fleet.set_clock(run, forward_ms=60_000)
    due = fleet.engine.scheduler.sweep()
    assert (Repair.CONCLUDE, "a") in {(each.repair, each.instance) for each in due}
    concluding = fleet.take(names.CONTROL_QUEUE)
    assert (concluding.task, concluding.args) == (names.STEP_TASK, message.args)
    fleet.deliver(concluding)
    document = fleet.finish(run)
    assert document.status == "cancelled"
    assert {step.status for step in document.steps.values()} == {"cancelled"}


def test_a_submitted_run_that_nobody_heard_of_is_announced_again(fleet: InProcessFleet) -> None:
    run = fleet.client.submit(plan_of_shape({"a": []}))
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.set_clock(run, forward_ms=60_000)
    assert [due.repair for due in fleet.engine.scheduler.sweep()] == [Repair.START]
    assert fleet.take(names.CONTROL_QUEUE).args == [run.id]


def test_starting_twice_starts_once(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape(DIAMOND))
    fleet.engine.scheduler.start(run.id)
    assert fleet.redis.llen("tool") == 1


def test_cancel_starts_nothing_more_and_closes_the_run(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape({"a": [], "b": [], "c": ["a"]}))
    fleet.deliver(fleet.take("tool"))
    run.cancel()
    document = fleet.finish(run)
    assert document.status == "cancelled"
    assert {step.id: step.status for step in document.steps.values()} == {
        "a": "completed",
        "b": "cancelled",
        "c": "cancelled",
    }


def test_cancel_before_the_start_ends_a_run_at_once(fleet: InProcessFleet) -> None:
    run = fleet.client.submit(plan_of_shape({"a": []}))
    run.cancel()
    fleet.engine.scheduler.start(run.id)
    assert run.result(timeout=60).status == "cancelled"
    assert fleet.redis.llen("tool") == 0


def test_cancel_wakes_what_is_parked(fleet: InProcessFleet) -> None:
    step = python_step(
        "a", "tests.functions:fail", "no", retry=Retry(attempts=2, initial_seconds=3600, max_seconds=7200)
    )
    run = fleet.submit(Plan(id="parked", steps=(step,)))
    fleet.drain()
    run.cancel()
    fleet.engine.scheduler.sweep()
    assert fleet.finish(run).steps["a"].status == "cancelled"


@pytest.mark.parametrize(
    ("policy", "after", "beside", "state"),
    [
        (OnFailure.FAIL, "cancelled", "completed", "failed"),
        (OnFailure.CONTINUE, "completed", "completed", "failed"),
        (OnFailure.SKIP, "skipped", "completed", "failed"),
    ],
)
def test_failure_policies(fleet: InProcessFleet, policy: OnFailure, after: str, beside: str, state: str) -> None:
    steps = (
        python_step("beside"),
        python_step("bad", "tests.functions:fail", "no", on_failure=policy),
        python_step("after", after=("bad",)),
        python_step("far", after=("after",)),
    )
    document = fleet.finish(fleet.submit(Plan(id="policy", steps=steps)))
    found = {step.id: step.status for step in document.steps.values()}
    assert found == {"beside": beside, "bad": "failed", "after": after, "far": after}
    assert document.status == state
    assert not document.success
    assert "bad" in (document.error or "") or policy is not OnFailure.FAIL
    assert "ValueError: no" in (document.steps["bad"].error or "")


def test_a_store_reply_that_was_lost_is_asked_for_again(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape({"a": [], "b": ["a"]}))
    store = fleet.engine.store
    first = store.claim(run.id, "a", 1, "token", "w", [])
    second = store.claim(run.id, "a", 1, "token", "w", [])
    assert second.started_ms >= first.started_ms
    opened, graph = fleet.engine.scheduler._runs.open(run.id)
    attempt = Attempt.at(opened, graph, place_of(graph, "a"), Standing(1, started_ms=first.started_ms), None)
    assert isinstance(fleet.engine.scheduler.conclude(attempt, Output(1)), Ended)
    assert isinstance(fleet.engine.scheduler.conclude(attempt, Output(1)), Ended)
    assert run.status().open == 1


def test_the_chord_grows_by_exactly_what_became_ready(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape(N_SHAPE))
    canvas = fleet.engine.canvas

    def expected() -> int:
        return int(fleet.redis.get(canvas.size_key(run.id)) or 0) + int(fleet.redis.get(canvas.growth_key(run.id)) or 0)

    assert expected() == 2
    fleet.drain()
    assert expected() == 4


def test_the_same_idempotency_key_gives_the_same_run(fleet: InProcessFleet) -> None:
    from orchestrator_client.contract.errors import RunConflict

    plan = plan_of_shape({"a": []})
    first = fleet.client.submit(plan, idempotency_key="monday")
    again = fleet.client.submit(plan, idempotency_key="monday")
    assert first.id == again.id
    assert fleet.redis.llen(names.CONTROL_QUEUE) == 1
    with pytest.raises(RunConflict, match="monday"):
        fleet.client.submit(plan_of_shape({"b": []}), idempotency_key="monday")


def test_a_large_value_is_stored_apart_and_read_where_it_is_needed(fleet: InProcessFleet) -> None:
    steps = (
        python_step("big", "tests.functions:big", 1),
        python_step("size", "builtins:len", "{{ big.result }}", after=("big",), reads=("big",)),
    )
    run = fleet.submit(Plan(id="large", steps=steps))
    document = fleet.finish(run)
    assert document.steps["size"].value["result"] == 1024 * 1024
    assert len(document.steps["big"].value["result"]) == 1024 * 1024
    assert fleet.redis.strlen(names.RunKeys(run.id).value("big")) < 10_000


def test_a_result_over_the_cap_is_a_file(redis_server: Any, tmp_path: Path) -> None:
    fleet = InProcessFleet.on(redis_server.url, tmp_path, value_bytes=1_000_000)
    numbers = python_step("numbers", "tests.functions:numbers", 1_000_000)
    reference = fleet.finish(fleet.submit(Plan(id="cap", steps=(numbers,)))).steps["numbers"].value["result"]
    assert reference["media_type"] == "application/json"
    assert len(json.loads((tmp_path / reference["path"]).read_text())) == 1_000_000
    fleet.close()


def test_a_value_too_deep_for_json_fails_its_step(fleet: InProcessFleet) -> None:
    run = fleet.submit(Plan(id="deep", steps=(python_step("deep", "tests.functions:nested", 100_000),)))
    document = fleet.finish(run)
    assert document.steps["deep"].status == "failed"
    assert document.status == "failed"
