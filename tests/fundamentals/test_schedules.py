"""Each time of a schedule is fired once, however many workers watch.

When a schedule is due is one field in Redis, and one script decides by Redis's clock whether it still is, records the
run and says when it is due next. So a worker that dies before it has fired nothing, one that dies behind it has fired,
and two that come at once are first and second. The run's id is made of the schedule and the time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Input, Plan
from orchestrator_client.contract.run import RunState
from orchestrator_client.contract.schedule import TTL_SECONDS, next_after
from orchestrator_worker.calendar import Calendar
from tests.conftest import assert_keys_have_ttl
from tests.fleet import InProcessFleet, plan_of_shape, python_step
from tests.fundamentals.families import drive

MONDAY = datetime(2026, 11, 30, 6, 59, tzinfo=ZoneInfo("Europe/Zurich"))
PLAN = Plan(
    id="report",
    inputs={"topic": Input(required=True)},
    steps=(python_step("says", "builtins:str", "{{ topic }}"),),
    outputs={"said": "{{ says.result }}"},
)
HOUR = 3_600_000


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def at(fleet: InProcessFleet, now_ms: int) -> None:
    fleet.redis.set(names.CLOCK, now_ms)


def calendar(fleet: InProcessFleet) -> Calendar:
    return Calendar(fleet.engine.store, fleet.engine.canvas)


def hourly(fleet: InProcessFleet, **given: Any) -> Any:
    """A schedule that is due at each full hour, at half past six."""
    at(fleet, ms(MONDAY) - 29 * 60_000)
    return fleet.client.schedules.add(plan_of_shape({"a": []}, plan_id="each"), "0 * * * *", **given)


def test_it_runs_when_it_is_due_and_not_before(fleet: InProcessFleet) -> None:
    at(fleet, ms(MONDAY))
    made = fleet.client.schedules.add(PLAN, "0 7 * * 1-5", {"topic": "rivers"}, tz="Europe/Zurich", tags=["daily"])
    assert made.next_ms == ms(MONDAY) + 60_000
    assert calendar(fleet).fire() == []
    at(fleet, made.next_ms)
    [run] = calendar(fleet).fire()
    assert calendar(fleet).fire() == []
    drive(fleet)
    document, record = fleet.client.run(run).document(), fleet.client.run(run).status()
    assert (document.outputs, record.tags) == ({"said": "rivers"}, ("daily", "schedule:report"))
    shown = fleet.client.schedules.get("report")
    assert (shown.fired, shown.last_run, shown.last_ms) == (1, run, made.next_ms)
    assert shown.next_ms == made.next_ms + 24 * HOUR
    assert_keys_have_ttl(fleet.redis)
    assert fleet.redis.ttl(names.schedule("report")) > TTL_SECONDS - 60


def test_many_that_watch_fire_it_once(fleet: InProcessFleet) -> None:
    made = hourly(fleet)
    at(fleet, made.next_ms)
    calendars = [calendar(fleet) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        fired = [run for runs in pool.map(lambda one: one.fire(), calendars) for run in runs]
    assert len(fired) == len(fleet.client.runs()) == 1


def test_one_that_was_late_changes_nothing(fleet: InProcessFleet) -> None:
    """It had read what was due, and then stood still while another one fired it."""
    made = hourly(fleet)
    at(fleet, made.next_ms)
    late, store = calendar(fleet), fleet.engine.store
    now, due = store.due_schedules()
    [first] = calendar(fleet).fire()
    fleet.redis.delete(names.RunKeys(first).record)
    assert [late._fire(one, now) for one in due] == [[]]
    assert fleet.client.schedules.get("each").fired == 1


def test_of_missed_times_one_is_made_good(fleet: InProcessFleet) -> None:
    made = hourly(fleet)
    at(fleet, made.next_ms + 5 * HOUR + 60_000)
    assert len(calendar(fleet).fire()) == 1
    assert calendar(fleet).fire() == []
    assert fleet.client.schedules.get("each").next_ms == made.next_ms + 6 * HOUR


@pytest.mark.parametrize(("overlap", "runs", "skipped"), [("skip", 1, 2), ("queue", 1, 0), ("allow", 3, 0)])
def test_what_is_due_while_its_last_run_goes_on(fleet: InProcessFleet, overlap: str, runs: int, skipped: int) -> None:
    made = hourly(fleet, overlap=overlap)
    for hour in range(3):
        at(fleet, made.next_ms + hour * HOUR)
        calendar(fleet).fire()
    assert (len(fleet.client.runs()), fleet.client.schedules.get("each").skipped) == (runs, skipped)
    drive(fleet)
    at(fleet, made.next_ms + 2 * HOUR + 60_000)
    assert len(calendar(fleet).fire()) == (1 if overlap == "queue" else 0)
    at(fleet, made.next_ms + 3 * HOUR)
    drive(fleet)
    assert len(calendar(fleet).fire()) == 1


def test_a_paused_one_is_not_fired_and_goes_on_from_its_next_time(fleet: InProcessFleet) -> None:
    made, schedules = hourly(fleet), fleet.client.schedules
    at(fleet, made.next_ms)
    _, due = fleet.engine.store.due_schedules()
    assert [schedules.pause("each"), schedules.pause("each")] == [True, False]
    assert [calendar(fleet)._fire(one, made.next_ms) for one in due] == [[]]
    at(fleet, made.next_ms + 3 * HOUR)
    assert calendar(fleet).fire() == []
    [listed] = schedules.list()
    assert (listed.next_ms, bool(listed.paused_by)) == (None, True)
    assert [schedules.resume("each"), schedules.resume("each")] == [True, False]
    assert schedules.get("each").next_ms == made.next_ms + 4 * HOUR


def test_a_name_stands_for_one_schedule(fleet: InProcessFleet) -> None:
    made, schedules = hourly(fleet), fleet.client.schedules
    with pytest.raises(InputsInvalid, match="there is a schedule 'each' already"):
        schedules.add(plan_of_shape({"b": []}, plan_id="each"), "0 * * * *")
    schedules.add(plan_of_shape({"b": []}, plan_id="each"), "30 * * * *", replace=True)
    assert schedules.get("each").next_ms == made.next_ms + HOUR // 2
    schedules.remove("each")
    assert schedules.list() == []
    with pytest.raises(InputsInvalid, match="there is no schedule 'each'"):
        schedules.pause("each")
    at(fleet, made.next_ms)
    assert calendar(fleet).fire() == []


def test_run_now_runs_it_beside_its_times(fleet: InProcessFleet) -> None:
    made = hourly(fleet)
    run = fleet.client.schedules.run_now("each")
    drive(fleet)
    assert run.status().state is RunState.SUCCEEDED
    assert fleet.client.schedules.get("each").next_ms == made.next_ms


def test_inputs_that_do_not_fit_are_refused_when_it_is_made(fleet: InProcessFleet) -> None:
    with pytest.raises(InputsInvalid, match="'topic'"):
        fleet.client.schedules.add(PLAN, "0 7 * * *")
    assert fleet.client.schedules.list() == []


# --- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        ("30 2 * * *", "2026-03-28T12:00", "2026-03-29T03:00+02:00"),  # 02:30 is jumped over
        ("30 2 * * *", "2026-10-24T12:00", "2026-10-25T02:30+02:00"),  # 02:30 comes twice, and counts once
        ("30 2 * * *", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"),
        ("0 7 * * 1-5", "2026-11-27T08:00", "2026-11-30T07:00+01:00"),  # over a week-end
        ("0 0 29 2 *", "2026-11-27T08:00", "2028-02-29T00:00+01:00"),
    ],
)
def test_by_the_clocks_of_its_zone(cron: str, after: str, due: str) -> None:
    zone = ZoneInfo("Europe/Zurich")
    began = datetime.fromisoformat(after)
    began = began if began.tzinfo else began.replace(tzinfo=zone)
    assert next_after(cron, "Europe/Zurich", ms(began)) == ms(datetime.fromisoformat(due))


@pytest.mark.parametrize(
    ("cron", "tz", "words"),
    [
        ("0 25 * * *", "UTC", "cron '0 25 * * *': field 2, hour, '25' cannot be"),
        ("0 7 * * 1-9", "UTC", "field 5, day-of-week, '1-9' cannot be"),
        ("0 0 31 2 *", "UTC", "field 3, day-of-month, '31' cannot be"),
        ("daily", "UTC", "1 fields; write five: minute, hour"),
        ("* * * * * *", "UTC", "6 fields; write five"),
        ("0 7 * * *", "Mars/Olympus", "time zone 'Mars/Olympus' is not known"),
        ("0 7 * * *", "../../etc/passwd", "is not known"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(cron: str, tz: str, words: str) -> None:
    with pytest.raises(InputsInvalid) as refused:
        next_after(cron, tz, 0)
    assert words in str(refused.value)
