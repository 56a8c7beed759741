"""Schedules on a real fleet, whose clock the test sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_client.contract import names
from tests.conftest import wait_until
from tests.fleet import plan_of_shape
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("schedules")


def test_two_workers_fire_each_time_once(tmp_path: Path) -> None:
    with StandingFleet(tmp_path) as fleet:
        for name in ("w1", "w2"):
            fleet.start_worker(name, "-c", "1", beat_seconds=0.2)
        schedules = fleet.client.schedules
        due = schedules.add(plan_of_shape({"a": []}, plan_id="each"), "0 * * * *").next_ms
        assert due is not None
        for hour in range(3):
            fleet.redis.set(names.CLOCK, due + hour * 3_600_000)
            wait_until(lambda hour=hour: schedules.get("each").fired == hour + 1, "the hour is fired", 60)  # type: ignore[misc]
            wait_until(lambda: all(run.state.ended for run in fleet.client.runs()), "its run has ended", 60)
        assert [run.state for run in fleet.client.runs()] == ["succeeded"] * 3
        fleet.redis.delete(names.CLOCK)
