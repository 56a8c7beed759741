"""schedule and schedules on a real Redis, with no worker on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RedisServer
from tests.unit.test_cli_runs import Fleet


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Fleet:
    return Fleet(redis_server.url, tmp_path)


def test_a_schedule_from_its_making_to_its_end(fleet: Fleet) -> None:
    code, out, _ = fleet.run("schedule", fleet.plan, "--cron", "0 7 * * 1-5", "--tz", "Europe/Zurich", "-i", "who=ann")
    assert (code, out.startswith("greet: due next at 20"), ":00+0" in out) == (0, True, True)
    assert fleet.run("schedules", "list")[1].startswith("greet  0 7 * * 1-5 Europe/Zurich  greet  next 20")
    [listed] = json.loads(fleet.run("schedules", "list", "--json")[1])
    assert (listed["name"], listed["fired"]) == ("greet", 0)
    assert fleet.run("schedules", "pause", "greet")[1] == "greet: paused\n"
    assert fleet.run("schedules", "pause", "greet")[1] == "greet: was paused already\n"
    assert "next never: paused by" in fleet.run("schedules", "show", "greet")[1]
    assert fleet.run("schedules", "resume", "greet")[1].startswith("greet: resumed, due next at 20")
    run = fleet.run("schedules", "run-now", "greet")[1].strip()
    assert fleet.json("runs")[0]["run"] == run
    assert fleet.json("runs")[0]["tags"] == ["schedule:greet"]
    assert fleet.run("schedules", "rm", "greet")[:2] == (0, "greet: removed\n")
    assert fleet.run("schedules") == (0, "", "no schedules\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cron", "0 25 * * *"), "error: cron '0 25 * * *': field 2, hour, '25' cannot be"),
        (("--cron", "0 7 * * *", "--tz", "Mars"), "error: time zone 'Mars' is not known"),
        (("--cron", "0 7 * * *", "--name", "a b"), "error: schedule 'a b': write letters"),
    ],
)
def test_what_cannot_be_is_one_line(fleet: Fleet, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = fleet.run("schedule", fleet.plan, *arguments)
    assert (code, out, err.count("\n"), err.startswith(words)) == (2, "", 1, True), err
    assert fleet.run("schedules", "show", "greet")[0] == 2
