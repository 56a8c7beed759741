"""How far a run is: it rises with every step, by what earlier runs took, and is whole at the very end only."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import LoopKind, Plan
from tests.fleet import InProcessFleet, python_step
from tests.integration.loops import each, finish, loop, text

FIVE = [1, 2, 3, 4, 5]


def shares(run: Run) -> list[float]:
    """What its events told, one after the other."""
    return [float(event.data["progress"]) for event in run.stream() if "progress" in event.data]


def test_without_history_every_step_weighs_the_same(fleet: InProcessFleet) -> None:
    plan = Plan(id="four", steps=tuple(python_step(f"s{n}", after=(f"s{n - 1}",) if n else ()) for n in range(4)))
    run = fleet.submit(plan)
    assert (run.progress().share, run.progress().seconds_left) == (0.0, None)
    fleet.finish(run)
    assert shares(run) == [0.0, 0.25, 0.5, 0.75, 0.99]
    assert (run.status().progress, run.progress().percent, run.status().ends_ms) == (1.0, 100, None)


def clocked(fleet: InProcessFleet, times: dict[str, int]) -> Run:
    """A run of a chain whose steps take these times, by the store's clock."""
    ids = list(times)
    plan = Plan(id="chain", steps=tuple(python_step(s, after=(ids[n - 1],) if n else ()) for n, s in enumerate(ids)))
    now = 1_800_000_000_000
    fleet.redis.set(names.CLOCK, now)
    run = fleet.submit(plan)
    claim = fleet.engine.store.claim

    def slow(run_id: str, instance: str, *rest: Any, **more: Any) -> Any:
        nonlocal now
        claimed = claim(run_id, instance, *rest, **more)
        now += times[instance]
        fleet.redis.set(names.CLOCK, now)
        return claimed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet.engine.store, "claim", slow)
        fleet.finish(run)
    return run


def test_earlier_runs_weigh_the_steps_and_tell_the_end(fleet: InProcessFleet) -> None:
    clocked(fleet, {"quick": 1_000, "slow": 9_000})
    run = clocked(fleet, {"quick": 1_000, "slow": 9_000})
    assert shares(run) == [0.0, 0.1, 0.99]
    started, quick, slow = (event for event in run.stream() if "progress" in event.data)
    assert started.data["ends_ms"] == started.at_ms + 10_000
    assert quick.data["ends_ms"] == started.at_ms + 10_000
    assert slow.kind is EventKind.STEP_SUCCEEDED


def test_a_run_that_is_slower_than_those_before_ends_later(fleet: InProcessFleet) -> None:
    clocked(fleet, {"one": 5_000, "two": 5_000})
    run = clocked(fleet, {"one": 10_000, "two": 10_000})
    started, one, _ = (event for event in run.stream() if "progress" in event.data)
    assert one.data["progress"] == 0.5
    assert started.at_ms + 15_000 < one.data["ends_ms"] < started.at_ms + 20_000


def test_a_map_that_expands_makes_later_parts_smaller_and_takes_nothing_back(fleet: InProcessFleet) -> None:
    plan = Plan(id="map", steps=(text("first", "x"), each("many", FIVE, text("one", "{{ item }}"), after=("first",))))
    first = fleet.submit(plan)
    finish(fleet, first)
    told = shares(first)
    assert told == sorted(told)
    assert told[1] == 0.5  # nobody knows yet that there are five
    assert told[2:] == pytest.approx([0.6, 0.7, 0.8, 0.9, 0.99, 0.99], abs=0.001)
    assert first.status().progress == 1.0


def test_the_items_of_earlier_runs_are_expected_again(fleet: InProcessFleet) -> None:
    plan = Plan(id="map", steps=(text("first", "x"), each("many", FIVE, text("one", "{{ item }}"), after=("first",))))
    finish(fleet, fleet.submit(plan))
    past = fleet.engine.store.pace("map")
    assert (past["many.one#"], past["many#"], past["first#"]) == (5, 1, 1)
    fleet.redis.hset(names.pace("map"), mapping={"first": 1000, "many.one": 1000})
    run = fleet.submit(plan)
    finish(fleet, run)
    assert shares(run)[:3] == pytest.approx([0, 1 / 6, 2 / 6], abs=0.001)


def test_a_loop_that_needs_more_passes_than_were_expected(fleet: InProcessFleet) -> None:
    step = loop("again", LoopKind.WHILE, "{{ iteration < 4 }}", text("one", "x"), max_iterations=4)
    run = fleet.submit(Plan(id="passes", steps=(step, text("last", "y", after=("again",)))))
    finish(fleet, run)
    told = shares(run)
    assert told == sorted(told)
    assert (told[-1], run.status().progress) == (0.99, 1.0)


def test_a_run_that_fails_stays_where_it_was(fleet: InProcessFleet) -> None:
    plan = Plan(id="fails", steps=(python_step("bad", "builtins:int", "x"), python_step("never", after=("bad",))))
    run = fleet.submit(plan)
    fleet.finish(run)
    assert (run.status().state, run.status().progress) == ("failed", 0.5)
    assert fleet.engine.store.pace("fails") == {}


def test_steps_that_few_runs_need_weigh_little_and_are_forgotten(fleet: InProcessFleet) -> None:
    plan = Plan(id="rare", steps=(python_step("always"), python_step("rare")))
    fleet.finish(fleet.submit(plan))
    fleet.redis.hset(names.pace("rare"), mapping={"gone#": 0.04, "gone": 5})
    skips = plan.model_copy(update={"steps": (plan.steps[0], plan.steps[1].model_copy(update={"condition": False}))})
    fleet.finish(fleet.submit(skips))
    past = fleet.engine.store.pace("rare")
    assert past["rare#"] == pytest.approx(0.7)
    assert "gone" not in past
    assert "gone#" not in past


def test_a_run_that_an_older_worker_has_started_goes_on_without(fleet: InProcessFleet) -> None:
    run = fleet.submit(Plan(id="old", steps=(python_step("one"), python_step("two"))))
    keys = names.RunKeys(run.id)
    fleet.redis.hdel(keys.record, "progress", "left_ms", "work_ms")
    fleet.redis.delete(keys.work)
    assert fleet.finish(run).success
    assert run.document().progress is None
