"""The command verify, on the histories of runs that ended without a worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from orchestrator_client.contract import names
from tests.conftest import RedisServer
from tests.unit.test_cli_runs import Fleet


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[Fleet]:
    return Fleet(redis_server.url, tmp_path)


def cancelled(fleet: Fleet) -> str:
    """A run that was cancelled before it began, as a worker records it."""
    run_id = fleet.submit()
    fleet.run("cancel", run_id)
    keys = names.RunKeys(run_id)
    with redis.Redis.from_url(fleet.url) as client:
        client.hset(keys.record, mapping={"state": "cancelled", "ended_ms": 5_000})
        client.xadd(keys.events, {"kind": "run_closed", "at": 5_000, "data": '{"state": "cancelled"}'})
    return run_id


def test_a_sound_history(fleet: Fleet) -> None:
    run_id = cancelled(fleet)
    code, out, _ = fleet.run("verify", run_id)
    assert code == 0
    *rules, verdict = out.splitlines()
    assert verdict == f"run {run_id}, cancelled: its history is sound"
    assert rules
    assert all(line.startswith("✓ ") for line in rules)


def test_what_is_broken_is_said_and_is_the_exit_code(fleet: Fleet) -> None:
    run_id = cancelled(fleet)
    keys = names.RunKeys(run_id)
    with redis.Redis.from_url(fleet.url) as client:
        client.xadd(keys.events, {"kind": "step_succeeded", "at": 6_000, "instance": "hello\x1b[31m", "attempt": 1})
    code, out, _ = fleet.run("verify", run_id)
    assert code == 1
    assert "✗ receipts: " in out
    assert "hello\\x1b[31m has an event of its outcome alone" in out
    assert out.splitlines()[-1].endswith("its history is not sound: 2 promises broken")
    code, out, _ = fleet.run("verify", run_id, "--json")
    found = json.loads(out)
    assert (code, found["sound"]) == (1, False)
    assert {finding["rule"] for finding in found["findings"] if finding["broken"]} == {"receipts", "fence"}


def test_a_run_that_goes_on_is_not_judged(fleet: Fleet) -> None:
    run_id = fleet.submit()
    code, _, err = fleet.run("verify", run_id)
    assert code == 2
    assert err == f"error: run {run_id} is submitted; what it did can be judged once it has ended\n"
