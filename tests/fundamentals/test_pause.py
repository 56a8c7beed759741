"""A paused run starts nothing, and loses nothing.

Somebody's wish is one field of the run's record, and every script that starts something reads it: so whatever messages
are under way, doubled or late, nothing begins between a pause and its resume. What would have started is set aside,
with nothing held of any limit. What runs goes on to its end. The run's clocks stand: nobody loses the time to answer,
and no sub-pipeline is late, because of a pause.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.actor import actor
from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import Plan, Retry
from orchestrator_client.contract.run import RunState, Wish
from orchestrator_client.store import Connection, RunStore
from orchestrator_worker.records import Asked, Refusal
from orchestrator_worker.scheduler import Left
from tests.conftest import assert_keys_have_ttl
from tests.fleet import InProcessFleet, plan_of_shape, python_step
from tests.fundamentals.families import child_step, deliver, drive, family, start, take
from tests.fundamentals.gates import QUEUE, Gates, asking, candidate
from tests.fundamentals.test_questions import ask, plan
from tests.integration.loops import each, finish, text

ME = actor()
DIAMOND = plan_of_shape({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})
LEAF = Plan(id="leaf", steps=(python_step("hello"), python_step("more", after=("hello",))))


def statuses(run: Run) -> dict[str, str]:
    return {name: step.status for name, step in run.document().steps.items()}


def sweep_on(fleet: InProcessFleet, run: Run, forward_ms: int) -> None:
    fleet.set_clock(run, forward_ms)
    fleet.engine.scheduler.sweep()


def and_then(first: Callable[..., Any], then: Callable[[], object]) -> Callable[..., Any]:
    """What the first returns; the other is called behind it."""

    def both(*given: Any, **more: Any) -> Any:
        reply = first(*given, **more)
        then()
        return reply

    return both


def test_a_message_that_is_under_way_starts_nothing(fleet: InProcessFleet) -> None:
    run = fleet.submit(DIAMOND)
    message = fleet.take(names.TOOL_QUEUE)
    assert message is not None
    met = run.pause()
    assert (met.state, met.wish) == (RunState.RUNNING, Wish.RUN)
    assert [fleet.deliver(message), fleet.deliver(message)] == [Left(), Left()]
    assert statuses(run) == {"a": "parked", "b": "pending", "c": "pending", "d": "pending"}
    assert_keys_have_ttl(fleet.redis)
    run.resume()
    fleet.engine.scheduler.sweep()
    document = fleet.finish(run)
    assert (document.success, document.steps["a"].retries) == (True, 0)


def test_what_runs_goes_on_and_what_it_makes_ready_is_set_aside(
    fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fleet.submit(DIAMOND)
    message = fleet.take(names.TOOL_QUEUE)
    assert message is not None
    with monkeypatch.context() as patch:
        patch.setattr(fleet.engine.store, "claim", and_then(fleet.engine.store.claim, run.pause))
        fleet.deliver(message)
    fleet.drain()
    assert statuses(run) == {"a": "completed", "b": "parked", "c": "parked", "d": "pending"}
    for hours in range(1, 30):
        sweep_on(fleet, run, hours * 3_600_000)
        assert fleet.take() is None, "a paused run sends nothing"
    run.resume()
    fleet.engine.scheduler.sweep()
    assert fleet.finish(run).success


def test_pause_and_resume_are_idempotent_and_say_what_they_met(fleet: InProcessFleet) -> None:
    run = fleet.submit(DIAMOND)
    since = run.status().submitted_ms + 5_000
    fleet.set_clock(run, 5_000)
    assert not run.resume().paused
    run.pause()
    fleet.set_clock(run, 9_000)
    again = run.pause()
    assert (again.paused, again.paused_ms, again.paused_by) == (True, since, ME)
    record = run.status()
    assert (record.paused, record.paused_ms, record.paused_by) == (True, since, ME)
    [first, *_] = run.why()
    assert (first.state, f"by {ME}" in first.because, first.help) == ("paused", True, f"orchestrator resume {run.id}")
    assert run.resume().paused
    assert not run.resume().paused
    assert (run.status().paused, run.status().pauses_ms) == (False, 4_000)
    assert fleet.finish(run).success
    assert run.pause().state is run.resume().state is RunState.SUCCEEDED
    wished = [event.kind for event in run.stream() if event.kind.endswith("_requested")]
    assert wished == [EventKind.PAUSE_REQUESTED, EventKind.RESUME_REQUESTED]


def test_a_run_that_is_paused_before_it_starts_does_not_start(fleet: InProcessFleet) -> None:
    run = fleet.client.submit(DIAMOND)
    run.pause()
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.engine.scheduler.start(run.id)
    sweep_on(fleet, run, 60_000)
    assert (run.status().state, fleet.take()) == (RunState.SUBMITTED, None)
    assert run.why()[0].state == "paused"
    run.resume()
    fleet.engine.scheduler.sweep()
    drive(fleet)
    assert run.document().success


def test_a_paused_run_is_cancelled_at_once(fleet: InProcessFleet) -> None:
    run = fleet.submit(DIAMOND)
    run.pause()
    fleet.drain()
    run.cancel()
    assert run.resume().wish is Wish.CANCEL
    fleet.engine.scheduler.sweep()
    drive(fleet)
    assert (run.status().state, statuses(run)["a"]) == (RunState.CANCELLED, "cancelled")


def test_a_paused_run_that_fails_has_ended(fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its running step halts it: nothing is left to resume."""
    run = fleet.submit(Plan(id="breaks", steps=(python_step("bad", "builtins:int", "x"), python_step("good"))))
    message = fleet.take(names.TOOL_QUEUE)
    assert message is not None
    with monkeypatch.context() as patch:
        patch.setattr(fleet.engine.store, "claim", and_then(fleet.engine.store.claim, run.pause))
        fleet.deliver(message)
    fleet.engine.scheduler.sweep()
    drive(fleet)
    assert run.status().state is RunState.FAILED


def test_a_resume_whose_messages_are_all_lost_is_made_good(fleet: InProcessFleet) -> None:
    run = fleet.submit(DIAMOND)
    run.pause()
    fleet.drain()
    run.resume()
    fleet.engine.scheduler.sweep()
    while fleet.take() is not None:
        continue
    for minutes in range(1, 20):
        sweep_on(fleet, run, minutes * 60_000)
        drive(fleet)
    assert run.document().success


def test_a_worker_that_dies_in_a_paused_run_costs_an_attempt_and_starts_nothing(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape({"a": []}))
    message = fleet.take(names.TOOL_QUEUE)
    assert message is not None
    fleet.engine.store.claim(*message.args, token="dead", worker="dead", reads=())
    run.pause()
    for minutes in range(1, 4):
        sweep_on(fleet, run, minutes * 60_000)
    fleet.drain()
    assert statuses(run) == {"a": "parked"}
    run.resume()
    fleet.engine.scheduler.sweep()
    document = fleet.finish(run)
    assert (document.success, document.steps["a"].retries) == (True, 1)


# --- clocks ----------------------------------------------------------------------------------------------------------


def test_the_deadline_of_a_question_stands_still(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan(ask(timeout=60)))
    fleet.set_clock(run, 0)
    fleet.drain()
    fleet.set_clock(run, 30_000)
    run.pause()
    for minutes in (2, 3, 10):
        sweep_on(fleet, run, minutes * 60_000)
    [asked] = run.questions()
    assert "waits for an answer" in run.why("ask")[0].because
    run.resume()
    fleet.engine.scheduler.sweep()
    assert fleet.take(names.TOOL_QUEUE) is None, "half of its time is left"
    [moved] = run.questions()
    assert asked.deadline_ms is not None
    assert moved.deadline_ms == asked.deadline_ms + 570_000
    sweep_on(fleet, run, 600_000 + 31_000)
    assert "nobody answered its question within" in str(fleet.finish(run).steps["ask"].error)


def test_a_question_may_be_answered_while_its_run_is_paused(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan(ask(timeout=60)))
    fleet.drain()
    run.pause()
    fleet.set_clock(run, 3_600_000)
    run.answer("ask", 21)
    fleet.drain()
    assert statuses(run)["ask"] == "parked"
    run.resume()
    fleet.engine.scheduler.sweep()
    assert fleet.finish(run).outputs == {"told": "42"}


def test_a_backoff_goes_on_and_its_attempt_waits_for_the_resume(fleet: InProcessFleet, tmp_path: Path) -> None:
    flaky = python_step(
        "flaky", "tests.functions:fail_until", str(tmp_path / "calls"), 1, retry=Retry(attempts=2, initial_seconds=9.0)
    )
    run = fleet.submit(Plan(id="flaky", steps=(flaky,)))
    fleet.drain()
    run.pause()
    sweep_on(fleet, run, 60_000)
    assert "paused since" in run.why("flaky")[0].because
    run.resume()
    fleet.engine.scheduler.sweep()
    assert fleet.finish(run).success


# --- families, loops, and what steps ask for -------------------------------------------------------------------------


def test_the_family_pauses_and_goes_on_as_one(fleet: InProcessFleet) -> None:
    middle = Plan(id="middle", steps=(child_step("below", "leaf"),))
    run = start(fleet, family(child_step("sub", "middle", timeout=60), leaf=LEAF, middle=middle))
    while len(fleet.client.runs()) < 3:
        message = take(fleet)
        assert message is not None
        deliver(fleet, message)
    run.pause()
    assert [record.paused_by for record in fleet.client.runs()] == [ME] * 3
    drive(fleet)
    for minutes in (1, 2, 60):
        sweep_on(fleet, run, minutes * 60_000)
        drive(fleet)
    assert not any(record.state.ended for record in fleet.client.runs())
    run.resume()
    for seconds in (0, 1, 2):
        sweep_on(fleet, run, 3_600_000 + seconds * 1_000)
        drive(fleet)
    assert run.document().success, "the pause has used up nothing of its timeout"
    assert_keys_have_ttl(fleet.redis)


def test_a_sub_pipeline_is_late_once_its_own_time_has_passed(fleet: InProcessFleet) -> None:
    run = start(fleet, family(child_step("sub", "leaf", timeout=60), leaf=LEAF))
    message = take(fleet)
    assert message is not None
    deliver(fleet, message)
    fleet.redis.delete(names.CONTROL_QUEUE)
    run.pause()
    fleet.set_clock(run, 600_000)
    run.resume()
    fleet.client.run(run.children()[0].run).pause()
    fleet.engine.scheduler.sweep()
    drive(fleet)
    sweep_on(fleet, run, 600_000 + 61_000)
    drive(fleet)
    assert run.document().steps["sub"].error_type == "StepTimeout"


def test_a_run_that_starts_below_a_paused_one_is_paused(fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(fleet, family(child_step("sub", "leaf"), leaf=LEAF))
    start_child = fleet.engine.store.start_child
    monkeypatch.setattr(fleet.engine.store, "start_child", lambda given: [run.pause(), start_child(given)][1])
    drive(fleet)
    [child] = run.children()
    assert (child.state, child.paused, child.paused_by) == (RunState.SUBMITTED, True, ME)
    run.resume()
    for _ in range(3):
        fleet.engine.scheduler.sweep()
        drive(fleet)
    assert run.document().success


@pytest.mark.parametrize("after", range(6))
def test_a_map_is_paused_while_it_unfolds(fleet: InProcessFleet, after: int) -> None:
    body = (text("one", "{{ item }}"), text("two", "{{ one.result }}", ("one",), ("one",)))
    run = fleet.submit(Plan(id="mapped", steps=(each("every", [1, 2, 3], *body, max_parallel=2),)))
    for _ in range(after):
        message = fleet.take()
        assert message is not None
        fleet.deliver(message)
    run.pause()
    fleet.drain()
    sweep_on(fleet, run, 3_600_000)
    while (message := fleet.take()) is not None:
        assert fleet.deliver(message) == Left()
    run.resume()
    fleet.engine.scheduler.sweep()
    document = finish(fleet, run)
    assert document.success
    assert [document.steps[f"every[{item}].two"].value["result"] for item in range(3)] == ["1", "2", "3"]


def test_what_a_running_step_asks_for_goes_on(fleet: InProcessFleet) -> None:
    """A tool that asks a model in the middle of its call holds a worker until the answer is there."""
    run = fleet.submit(plan_of_shape({"a": []}))
    message = fleet.take(names.TOOL_QUEUE)
    assert message is not None
    store, growth = fleet.engine.store, fleet.engine.canvas.growth_key(run.id)
    store.claim(*message.args, token="t", worker="w", reads=())
    run.pause()
    memo = {"by": "a", "turn": -1, "of": 0, "uses": "generate", "arguments": {}, "kind": "model"}
    store.ask(run.id, "a", 1, Asked("a#0.1001", QUEUE, memo), growth)
    assert not isinstance(store.claim(run.id, "a#0.1001", 1, "t", "w", []), Refusal)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_paused_call_holds_nothing_and_keeps_nobody_out(gates: Gates) -> None:
    call = asking(candidate(limits={"in_flight": 1}))
    assert gates.ask_all("first", 3, call) == ["c000"]
    pause(gates, "first")
    assert gates.start("first", "c000") is Refusal.PARKED
    assert gates.held() == {}
    assert gates.ask_all("second", 1, call) == []
    assert [one.run for one in gates.promote()] == ["second"]
    gates.store.sweep()
    assert {gates.instance_state("first", f"c00{number}") for number in range(3)} == {"parked"}
    assert gates.in_line() == 0


def test_a_call_that_becomes_ready_in_a_paused_run_does_not_ask_its_gate(gates: Gates) -> None:
    gates.open("r", ["c000"])
    pause(gates, "r")
    assert gates.ask("r", "c000") == "wait"
    assert (gates.held(), gates.instance_state("r", "c000")) == ({}, "parked")


def pause(gates: Gates, run: str) -> None:
    RunStore(Connection(f"unix://{gates.redis.connection_pool.connection_kwargs['path']}", ME)).pause(run)
