"""pause and resume on a real Redis, with no worker on it: what they say, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RedisServer
from tests.unit.test_cli_runs import Fleet


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setenv("ORCHESTRATOR_ACTOR", "ada")
    return Fleet(redis_server.url, tmp_path)


def test_what_is_said_to_each_wish(fleet: Fleet) -> None:
    run = fleet.submit()
    assert fleet.run("resume", run) == (0, f"{run}: was not paused\n", "")
    assert fleet.run("pause", run) == (0, f"{run}: paused\n", "")
    code, out, _ = fleet.run("pause", run)
    assert (code, "was paused already, since " in out, out.endswith(" by ada\n")) == (0, True, True)
    assert "by ada" in fleet.run("why", run)[1]
    code, out, _ = fleet.run("resume", run)
    assert (code, "resumed; it was paused since " in out) == (0, True)


def test_what_has_ended_stays_as_it_is_and_is_not_resumed(fleet: Fleet) -> None:
    run = fleet.submit()
    fleet.run("cancel", run)
    assert fleet.run("pause", run)[:2] == (0, f"{run}: is being cancelled already\n")
    assert fleet.run("resume", run) == (2, "", f"{run}: is being cancelled, and cannot go on\n")
    fleet.close(run, "failed")
    assert fleet.run("pause", run)[:2] == (0, f"{run}: was failed already\n")
    assert fleet.run("resume", run) == (2, "", f"{run}: was failed already, and cannot go on\n")


def test_one_unknown_run_does_not_keep_the_others(fleet: Fleet) -> None:
    run = fleet.submit()
    code, out, err = fleet.run("pause", "nowhere_1", run)
    assert (code, out) == (2, f"{run}: paused\n")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_for_programs(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fleet.submit()
    monkeypatch.setenv("ORCHESTRATOR_ACTOR", "a\x1b[31mda")
    code, out, _ = fleet.run("pause", run, "--json")
    [told] = json.loads(out)
    assert (code, told["run"], told["holds"], told["met"]["wish"]) == (0, run, True, "run")
    assert "\x1b" not in fleet.run("resume", run)[1]


def test_who_lists_or_shows_a_paused_run_sees_it(fleet: Fleet) -> None:
    run = fleet.submit()
    fleet.run("pause", run)
    assert " paused " in fleet.run("runs")[1]
    shown = fleet.run("show", run)[1].splitlines()[-1]
    assert ("paused since" in shown, shown.endswith("by ada")) == (True, True)
    assert fleet.json("show", run)["paused_by"] == "ada"
    assert fleet.json("runs")[0]["wish"] == "pause"
