"""A run's events, folded: what each step is, since when, why, and what the whole has cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.cli.show.lines import line_of
from orchestrator_client.cli.show.progress import Progress
from orchestrator_client.contract.event import Event, EventKind
from orchestrator_client.contract.plan import OnFailure, Plan, Step, StepKind
from orchestrator_client.contract.run import InstanceState, Outcome, RunState


def step(name: str, *after: str, **fields: Any) -> Step:
    return Step(id=name, kind=StepKind.TOOL, uses="filesystem.read", after=after, **fields)


def event(kind: EventKind, at_ms: int, instance: str = "", attempt: int = 0, **data: Any) -> Event:
    return Event(id=f"{at_ms}-0", kind=kind, run="r", at_ms=at_ms, instance=instance, attempt=attempt, data=data)


def folded(plan: Plan, *events: Event) -> Progress:
    progress = Progress(plan)
    for each in events:
        progress.apply(each)
    return progress


DIAMOND = Plan(id="diamond", steps=(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")))
STARTED = event(EventKind.RUN_STARTED, 1_000)


def states(progress: Progress) -> dict[str, object]:
    return {each.id: each.state for each in progress.steps}


def test_a_submitted_run_has_nothing_ready() -> None:
    progress = folded(DIAMOND, event(EventKind.RUN_SUBMITTED, 900))
    assert progress.state is RunState.SUBMITTED
    assert set(states(progress).values()) == {None}


def test_a_start_makes_the_entry_steps_ready() -> None:
    assert states(folded(DIAMOND, STARTED)) == {"a": InstanceState.READY, "b": None, "c": None, "d": None}


def test_a_join_is_ready_when_its_last_predecessor_has_ended() -> None:
    ended = [event(EventKind.STEP_SUCCEEDED, 1_500 + n, name, 1) for n, name in enumerate("abc")]
    assert states(folded(DIAMOND, STARTED, *ended[:2]))["d"] is None
    assert states(folded(DIAMOND, STARTED, *ended))["d"] is InstanceState.READY


@pytest.mark.parametrize(
    ("data", "note"),
    [
        ({"fraction": 0.4, "message": "page 2 of 5"}, "40% page 2 of 5"),
        ({"fraction": 1}, "100%"),
        ({"message": "page 2"}, "page 2"),
    ],
)
def test_a_tool_says_how_far_it_is(data: dict[str, Any], note: str) -> None:
    said = event(EventKind.STEP_PROGRESS, 1_600, "a", 1, **data)
    running = folded(DIAMOND, STARTED, event(EventKind.STEP_STARTED, 1_500, "a", 1), said).steps[0]
    assert (running.state, running.note, running.since_ms) == (InstanceState.RUNNING, note, 1_500)
    assert line_of(said).endswith(f"step_progress a {note}")
    ended = folded(DIAMOND, STARTED, event(EventKind.STEP_SUCCEEDED, 1_550, "a", 1), said).steps[0]
    assert (ended.state, ended.note) == (Outcome.SUCCEEDED, "")


@pytest.mark.parametrize("reason", ["limit", "budget", "cache"])
def test_a_call_that_waits_says_for_what(reason: str) -> None:
    words = {"reason": reason, "scope": "openai/default/gpt-5", "words": "slow down"}
    progress = folded(DIAMOND, STARTED, event(EventKind.STEP_PARKED, 1_500, "a", 1, **words))
    waiting = progress.steps[0]
    assert (waiting.state, waiting.note) == (InstanceState.WAITING, f"{reason}: openai/default/gpt-5: slow down")
    assert waiting.seconds(9_000) is None
    again = event(EventKind.STEP_STARTED, 2_000, "a", 1)
    assert states(folded(DIAMOND, STARTED, again))["a"] is InstanceState.RUNNING


@pytest.mark.parametrize(("on_failure", "behind"), [(OnFailure.FAIL, None), (OnFailure.CONTINUE, InstanceState.READY)])
def test_nothing_is_ready_behind_a_failure_that_ends_the_run(on_failure: OnFailure, behind: object) -> None:
    plan = Plan(id="p", steps=(step("a", on_failure=on_failure), step("b", "a")))
    failed = event(EventKind.STEP_FAILED, 1_200, "a", 1, error={"type": "ToolFailed", "message": "no"})
    progress = folded(plan, STARTED, failed)
    assert states(progress) == {"a": Outcome.FAILED, "b": behind}
    assert progress.steps[0].note == "ToolFailed: no"


def test_nothing_becomes_ready_once_the_end_was_asked_for() -> None:
    progress = folded(
        DIAMOND, STARTED, event(EventKind.CANCEL_REQUESTED, 1_100), event(EventKind.STEP_SUCCEEDED, 1_200, "a", 1)
    )
    assert progress.cancelling
    assert states(progress)["b"] is None


def test_a_running_step_counts_on_and_an_ended_one_stands() -> None:
    running = folded(DIAMOND, STARTED, event(EventKind.STEP_STARTED, 1_100, "a", 1))
    assert running.steps[0].seconds(3_100) == 2.0
    running.apply(event(EventKind.STEP_SUCCEEDED, 4_000, "a", 1, started_ms=1_500))
    assert running.steps[0].seconds(99_000) == 2.5


def test_a_parked_step_says_why_and_for_how_long() -> None:
    parked = event(
        EventKind.STEP_PARKED,
        2_000,
        "a",
        1,
        reason="attempt 1 failed",
        delay_ms=3_000,
        error={"type": "ModelFailed", "message": "HTTP 503"},
    )
    waiting = folded(DIAMOND, STARTED, event(EventKind.STEP_STARTED, 1_100, "a", 1), parked).steps[0]
    assert (waiting.state, waiting.note) == (InstanceState.PARKED, "attempt 1 failed: ModelFailed: HTTP 503")
    assert (waiting.wait_seconds(4_000), waiting.wait_seconds(9_000)) == (1.0, 0.0)
    assert waiting.seconds(4_000) is None


def test_another_attempt_forgets_why_the_one_before_waited() -> None:
    progress = folded(
        DIAMOND,
        event(EventKind.STEP_PARKED, 2_000, "a", 1, reason="attempt 1 failed", delay_ms=1),
        event(EventKind.STEP_STARTED, 2_100, "a", 2),
    )
    assert (progress.steps[0].attempt, progress.steps[0].note) == (2, "")


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [(EventKind.STEP_SKIPPED, Outcome.SKIPPED), (EventKind.STEP_CANCELLED, Outcome.CANCELLED)],
)
def test_a_reason_is_kept(kind: EventKind, outcome: Outcome) -> None:
    ended = folded(DIAMOND, event(kind, 2_000, "a", 1, reason="its condition is false")).steps[0]
    assert (ended.state, ended.note) == (outcome, "its condition is false")


def test_usage_adds_up() -> None:
    usage = {"input_tokens": 10, "cost_usd": "0.25"}
    progress = folded(
        DIAMOND,
        event(EventKind.STEP_SUCCEEDED, 2_000, "a", 1, usage=usage),
        event(EventKind.STEP_SUCCEEDED, 2_000, "b", 1, usage=usage),
        event(EventKind.STEP_SUCCEEDED, 2_000, "c", 1),
    )
    assert (progress.usage.requests, progress.usage.cost_usd) == (2, Decimal("0.50"))


def test_a_closed_run_stands_still() -> None:
    closed = event(EventKind.RUN_CLOSED, 5_000, state="failed", error={"type": "ToolFailed", "message": "no"})
    progress = folded(DIAMOND, STARTED, closed)
    assert (progress.state, progress.error) == (RunState.FAILED, "ToolFailed: no")
    assert progress.seconds(progress.now_ms(99_000)) == 4.0


def test_the_time_never_stands_before_the_newest_event() -> None:
    progress = folded(DIAMOND, STARTED)
    assert (progress.now_ms(10), progress.now_ms(7_000)) == (1_000, 7_000)


def test_an_instance_that_the_plan_does_not_name_is_listed_behind() -> None:
    progress = folded(DIAMOND, event(EventKind.STEP_SUCCEEDED, 2_000, "b[2].x", 1))
    assert [each.id for each in progress.steps] == ["a", "b", "c", "d", "b[2].x"]
    assert progress.ended == 1


def test_the_list_of_steps_is_a_copy() -> None:
    progress = folded(DIAMOND, STARTED)
    before = progress.steps
    progress.apply(event(EventKind.STEP_STARTED, 1_100, "a", 1))
    assert before[0].state is InstanceState.READY
