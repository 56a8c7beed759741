"""A step may run another pipeline: as a run of its own.

The child has its own chord, its own record and its own end. The step that started it is parked, and the script that
closes the child makes it ready: there is no moment in which one has happened and the other has not. The child's id is
made of the step's, so whoever starts it twice starts it once. Who is to end, ends with all below it.
"""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.catalog import LOST_ATTEMPTS
from orchestrator_client.contract.plan import Input, InputType, OnFailure, Plan, Retry
from orchestrator_client.contract.run import RunState
from tests.conftest import assert_keys_have_ttl
from tests.fleet import InProcessFleet, python_step
from tests.fundamentals.families import child_step, close_ended, deliver, drive, family, start, take

LEAF = Plan(
    id="leaf",
    inputs={"who": Input(type=InputType.STRING, default="nobody")},
    steps=(python_step("hello", "builtins:str", "hello {{ who }}"),),
    outputs={"said": "{{ hello.result }}", "more": 1},
)
BROKEN = Plan(id="broken", steps=(python_step("breaks", "builtins:int", "no number"),))
SAID = python_step("said", "builtins:str", "{{ sub.outputs.said }}", after=("sub",), reads=("sub",))


def parked_parent(fleet: InProcessFleet, plan: Plan, **options: Any) -> Any:
    """A run whose first step has started a child and waits; the child's messages are still in the queues."""
    run = start(fleet, plan, **options)
    message = take(fleet)
    assert message is not None
    deliver(fleet, message)
    return run


def test_the_step_leaves_what_its_pipeline_gave(fleet: InProcessFleet) -> None:
    step = child_step("sub", "leaf", inputs={"who": "ada"}, output_mapping={"said": "said"})
    run = start(
        fleet,
        family(step, SAID, leaf=LEAF, outputs={"said": "{{ said.result }}"}),
        tags=("t",),
        tenant="acme",
        allow_tools=["*"],
    )
    drive(fleet)
    document, [child] = run.document(), run.children()
    assert (document.status, document.outputs) == ("completed", {"said": "hello ada"})
    result = document.steps["sub"].value["result"]
    assert (result["outputs"], result["steps_executed"], result["recursion_depth"]) == ({"said": "hello ada"}, 1, 1)
    assert (result["run"], child.parent, child.parent_instance) == (child.run, run.id, "sub")
    assert (child.tags, child.tenant, child.root, child.depth) == (("t",), "acme", run.id, 1)
    assert child.allow_tools == ("*",)
    assert document.steps["sub"].retries == 0
    assert fleet.client.run(child.run).document().steps["hello"].success
    assert_keys_have_ttl(fleet.redis)


def test_while_its_pipeline_runs_the_step_is_nowhere(fleet: InProcessFleet) -> None:
    run = parked_parent(fleet, family(child_step("sub", "leaf"), leaf=LEAF))
    assert run.document().steps["sub"].status == "parked"
    assert fleet.redis.zscore(names.TIMETABLE, f"{run.id}|sub") is None
    [child] = run.children()
    assert child.state is RunState.SUBMITTED
    drive(fleet)
    assert run.document().success


def test_inputs_around_count_where_the_step_says_nothing(fleet: InProcessFleet) -> None:
    steps = child_step("sub", "leaf"), child_step("alone", "leaf", inherit_context=False)
    run = start(fleet, family(*steps, leaf=LEAF), inputs={"who": "eve"})
    drive(fleet)
    assert [run.value(step)["result"]["outputs"]["said"] for step in ("sub", "alone")] == ["hello eve", "hello nobody"]


def test_a_child_that_ends_before_its_parent_has_parked_is_not_missed(fleet: InProcessFleet) -> None:
    """The worker that started it is slow to park: the child has ended by then."""
    run = start(fleet, family(child_step("sub", "leaf"), leaf=LEAF))
    park = fleet.engine.store.park

    def late(*args: Any, **kwargs: Any) -> Any:
        fleet.engine.store.park = park  # type: ignore[method-assign]
        drive(fleet)
        assert [child.state for child in run.children()] == [RunState.SUCCEEDED]
        return park(*args, **kwargs)

    fleet.engine.store.park = late  # type: ignore[method-assign]
    drive(fleet)
    assert run.document().success


def test_an_attempt_that_takes_over_meets_the_same_child(
    fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies between the child's record and its own parking; the child ends while nobody waits."""
    run = start(fleet, family(child_step("sub", "leaf"), leaf=LEAF))
    message = take(fleet)
    assert message is not None

    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(fleet.engine.store, "park", die)
        with pytest.raises(Died):
            fleet.deliver(message)
    drive(fleet)
    assert [child.state for child in run.children()] == [RunState.SUCCEEDED]
    for _ in range(2):
        fleet.set_clock(run, 60_000 + 30_000 * _)
        fleet.engine.scheduler.sweep()
    drive(fleet)
    document = run.document()
    assert (document.success, document.steps["sub"].retries, len(run.children())) == (True, 1, 1)
    assert document.steps["sub"].retries < LOST_ATTEMPTS


def test_a_lost_call_is_found_by_sweep(fleet: InProcessFleet) -> None:
    """The child is closed, and the message to its parent is lost."""
    run = parked_parent(fleet, family(child_step("sub", "leaf"), leaf=LEAF))
    for _ in range(2):
        message = take(fleet)
        assert message is not None
        deliver(fleet, message)
    assert close_ended(fleet)
    assert run.document().steps["sub"].status == "ready"
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.set_clock(run, 60_000)
    fleet.engine.scheduler.sweep()
    drive(fleet)
    assert run.document().success


def test_a_lost_start_is_found_by_sweep(fleet: InProcessFleet) -> None:
    run = parked_parent(fleet, family(child_step("sub", "leaf"), leaf=LEAF))
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.set_clock(run, 60_000)
    fleet.engine.scheduler.sweep()
    drive(fleet)
    assert run.document().success


def test_who_is_woken_too_early_waits_on(fleet: InProcessFleet) -> None:
    run = parked_parent(fleet, family(child_step("sub", "leaf", timeout=600), leaf=LEAF))
    fleet.redis.zadd(names.TIMETABLE, {f"{run.id}|sub": 0})
    fleet.engine.scheduler.sweep()
    drive(fleet)
    assert (run.document().success, len(run.children())) == (True, 1)


def test_cancel_goes_all_the_way_down_at_once(fleet: InProcessFleet) -> None:
    middle = Plan(id="middle", steps=(child_step("deeper", "leaf"),))
    run = parked_parent(fleet, family(child_step("sub", "middle"), middle=middle, leaf=LEAF))
    for _ in range(2):
        message = take(fleet)
        assert message is not None
        deliver(fleet, message)
    [child] = run.children()
    [grandchild] = fleet.client.run(child.run).children()
    run.cancel()
    assert fleet.client.run(grandchild.run).status().wish == "cancel"
    fleet.engine.scheduler.sweep()
    drive(fleet)
    states = [fleet.client.run(each).status().state for each in (run.id, child.run, grandchild.run)]
    assert states == [RunState.CANCELLED] * 3
    assert fleet.engine.scheduler.sweep() == []


def test_a_halted_run_takes_its_children_with_it(fleet: InProcessFleet) -> None:
    other = child_step("other", "leaf", wait_for_completion=False)
    breaks = python_step("breaks", "builtins:int", "no number", after=("other",))
    run = parked_parent(fleet, family(other, breaks, leaf=LEAF))
    message = fleet.take(names.TOOL_QUEUE)
    assert message is not None
    deliver(fleet, message)
    fleet.engine.scheduler.sweep()
    drive(fleet)
    assert (run.document().status, [child.state for child in run.children()]) == ("failed", [RunState.CANCELLED])


def test_no_child_starts_in_a_run_that_is_to_end(fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled between the claim and the start."""
    run = start(fleet, family(child_step("sub", "leaf"), leaf=LEAF))
    start_child = fleet.engine.store.start_child

    def cancelled(submission: Any) -> Any:
        run.cancel()
        return start_child(submission)

    monkeypatch.setattr(fleet.engine.store, "start_child", cancelled)
    drive(fleet)
    assert (run.document().status, run.children()) == ("cancelled", [])


def test_a_child_that_somebody_cancels_fails_its_step(fleet: InProcessFleet) -> None:
    run = parked_parent(fleet, family(child_step("sub", "leaf"), leaf=LEAF))
    [child] = run.children()
    fleet.client.run(child.run).cancel()
    drive(fleet)
    assert "it was cancelled" in (run.document().steps["sub"].error or "")


def test_a_child_that_takes_too_long_is_cancelled(fleet: InProcessFleet) -> None:
    run = parked_parent(fleet, family(child_step("sub", "leaf", timeout=60), leaf=LEAF))
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.set_clock(run, 120_000)
    fleet.engine.scheduler.sweep()
    drive(fleet)
    [child], step = run.children(), run.document().steps["sub"]
    assert (step.error_type, step.timed_out, child.state) == ("StepTimeout", True, RunState.CANCELLED)


@pytest.mark.parametrize(
    ("handling", "status", "success"), [("fail", "failed", False), ("continue", "completed", True)]
)
def test_what_a_failure_means(fleet: InProcessFleet, handling: str, status: str, success: bool) -> None:
    run = start(fleet, family(child_step("sub", "broken", error_handling=handling), broken=BROKEN))
    drive(fleet)
    document = run.document()
    assert (document.steps["sub"].status, document.success) == (status, success)
    value = document.steps["sub"].value
    assert (value["success"], "step 'breaks' failed" in value["error"]) == (False, True)


def test_a_failed_pipeline_is_run_again_as_another_run(fleet: InProcessFleet) -> None:
    step = child_step("sub", "broken", error_handling="retry", retry_count=2, retry_delay=1)
    run = start(fleet, family(step, broken=BROKEN))
    for number in range(1, 4):
        drive(fleet)
        assert len(run.children()) == number
        fleet.set_clock(run, 60_000 * number)
        fleet.engine.scheduler.sweep()
    drive(fleet)
    step_document = run.document().steps["sub"]
    assert (step_document.status, step_document.retries, len(run.children())) == ("failed", 0, 3)


def test_a_plan_that_tries_the_step_again_has_it_start_another_run(fleet: InProcessFleet) -> None:
    step = child_step("sub", "broken", retry=Retry(attempts=2, initial_seconds=1.0), on_failure=OnFailure.CONTINUE)
    run = start(fleet, family(step, broken=BROKEN))
    drive(fleet)
    fleet.set_clock(run, 60_000)
    fleet.engine.scheduler.sweep()
    drive(fleet)
    assert (run.document().steps["sub"].retries, len(run.children())) == (1, 2)


def test_pipelines_nest_so_deep_and_no_deeper(fleet: InProcessFleet) -> None:
    levels = {f"l{level}": Plan(id=f"l{level}", steps=(child_step("sub", f"l{level + 1}"),)) for level in range(2, 9)}
    run = start(fleet, family(child_step("sub", "l2"), **levels, l9=LEAF))
    drive(fleet)
    assert run.document().success
    deeper = {**levels, "l9": Plan(id="l9", steps=(child_step("sub", "l10"),)), "l10": LEAF}
    refused = start(fleet, family(child_step("sub", "l2"), **deeper))
    drive(fleet)
    assert "pipeline 'leaf' would be below 9 others; 8 levels are allowed" in (refused.document().error or "")
