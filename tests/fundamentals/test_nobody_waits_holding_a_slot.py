"""Nobody waits holding a slot.

A worker has so many slots, and a step that only waits must not keep one from a step that could run. So a step that has
to wait leaves the worker: it is parked in the store, its message is done with, and no process holds anything for it.
When its time has come, `sweep` sends a fresh message. The worker of these tests has one slot: if anything waited in it,
nothing else would run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import Plan, Retry
from tests.fleet import python_step
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("one-slot")

HOUR = Retry(attempts=2, initial_seconds=7200, max_seconds=7200)
"""A second attempt, an hour or two later: half of the wait is random."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingFleet]:
    with StandingFleet(tmp_path_factory.mktemp("one-slot")) as standing:
        # It sends no message again that is only slow to begin: a copy would be in a queue after its step has parked.
        standing.start_worker("w1", "-c", "1", beat_seconds=0.2, hint_seconds=60)
        yield standing


def waiting(fleet: StandingFleet, retry: Retry = HOUR) -> Run:
    """A run whose one step fails at first, and now waits for its second attempt."""
    count = str(fleet.folder / f"count{len(fleet.client.runs())}")
    step = python_step("waits", "tests.functions:fail_until", count, 1, retry=retry)
    run = fleet.client.submit(Plan(id="waiting", steps=(step,)))
    assert any(event.kind is EventKind.STEP_PARKED for event in run.stream(timeout=60)), "the step has parked"
    return run


def test_while_steps_wait_for_their_retry_others_run(fleet: StandingFleet) -> None:
    runs = [waiting(fleet) for _ in range(5)]
    others = Plan(id="others", steps=tuple(python_step(f"s{number}") for number in range(10)))
    assert fleet.client.submit(others).result(timeout=60).success
    assert [run.document().steps["waits"].status for run in runs] == ["parked"] * 5
    for run in runs:
        run.cancel()
        assert run.result(timeout=60).status == "cancelled"


def test_what_waits_is_in_no_queue_and_in_no_worker(fleet: StandingFleet) -> None:
    run = waiting(fleet)
    assert fleet.redis.llen(names.TOOL_QUEUE) == 0
    assert fleet.redis.zscore(names.TIMETABLE, f"{run.id}|waits") is not None
    run.cancel()
    assert run.result(timeout=60).status == "cancelled"


def test_it_comes_back_when_its_time_has_come(fleet: StandingFleet, tmp_path: Path) -> None:
    run = waiting(fleet, Retry(attempts=2, initial_seconds=1.0))
    other = fleet.client.submit(Plan(id="meanwhile", steps=(python_step("quick"),)))
    assert other.result(timeout=60).success
    document = run.result(timeout=60)
    assert (document.success, document.steps["waits"].retries) == (True, 1)
    parked = next(event for event in run.stream() if event.kind is EventKind.STEP_PARKED)
    again = next(event for event in run.stream() if event.kind is EventKind.STEP_STARTED and event.attempt == 2)
    assert again.at_ms - parked.at_ms >= parked.data["delay_ms"] >= 500
