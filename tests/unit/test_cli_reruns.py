"""retry and fork on a real Redis, with no worker on it: what they say, ask and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from orchestrator_client.contract import names
from tests.conftest import RedisServer
from tests.unit.test_cli_runs import PLAN, Fleet


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Fleet:
    return Fleet(redis_server.url, tmp_path)


def ended(fleet: Fleet, state: str = "failed") -> str:
    """A run whose first step has succeeded and whose second has not."""
    run = fleet.submit()
    keys = names.RunKeys(run)
    receipts = {"hello": {"outcome": "succeeded", "attempt": 1}, "after": {"outcome": state, "attempt": 1}}
    with redis.Redis.from_url(fleet.url) as client:
        client.hset(keys.receipts, mapping={name: f"1 {json.dumps(told)}" for name, told in receipts.items()})
        client.hset(keys.values, mapping={"hello": '{"stdout":"hello"}'})
        for key in (keys.receipts, keys.values):
            client.expire(key, 600)
    fleet.close(run, state)
    return run


def test_retry_prints_the_new_id_and_what_it_keeps(fleet: Fleet) -> None:
    run = ended(fleet)
    code, out, err = fleet.run("retry", run)
    assert (code, out.count("\n"), out.strip() != run) == (0, 1, True)
    assert err.splitlines() == [f"keeps 1 result of run {run}", "  again: after: it was failed"]
    code, again, err = fleet.run("retry", run)
    assert (again, "was tried again before, as run" in err) == (out, True)
    assert f"keeps 0 results of run {run}" in fleet.run("show", out.strip())[1], "no worker has come to them yet"


def test_a_dry_run_changes_nothing(fleet: Fleet) -> None:
    run = ended(fleet)
    code, out, _ = fleet.run("retry", run, "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["run"], told["forked_from"], told["kept"]) == (0, None, run, ["hello"])
    assert fleet.run("fork", run, "--from", "hello", "--dry-run")[:2] == (0, "")
    assert len(fleet.json("runs")) == 1


def test_what_cannot_be_tried_again_is_refused(fleet: Fleet) -> None:
    code, out, err = fleet.run("retry", fleet.submit())
    assert (code, out, "has not ended: wait for it, or `orchestrator cancel" in err) == (2, "", True)
    code, _, err = fleet.run("retry", ended(fleet, "succeeded"))
    assert (code, "nothing to try again; name a step, or fork it" in err) == (2, True)
    code, _, err = fleet.run("fork", ended(fleet), "--from", "nowhere", "--yes")
    assert (code, "has no step 'nowhere'" in err) == (2, True)


def test_fork_does_not_go_on_unasked(fleet: Fleet) -> None:
    run = ended(fleet)
    code, out, err = fleet.run("fork", run, "--from", "hello")
    assert (code, out, "give --yes" in err) == (2, "", True)
    code, out, err = fleet.run("fork", run, "-i", "who=ann", "--yes")
    assert (code, "again: hello: who has changed" in err) == (0, True)
    with redis.Redis.from_url(fleet.url) as client:
        assert client.hget(names.RunKeys(out.strip()).record, "inputs") == b'{"who": "ann"}'
    assert fleet.json("show", run)["forks"] == [out.strip()]


def test_fork_as_another_file(fleet: Fleet, tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    changed.write_text(PLAN.replace("command: date", "command: ls"))
    code, _, err = fleet.run("fork", ended(fleet, "succeeded"), "--plan", changed, "--yes")
    assert (code, "again: after: its definition has changed" in err) == (0, True)
    assert "hello" not in err


def test_rm_says_what_is_gone_and_what_is_not(fleet: Fleet) -> None:
    run, running = ended(fleet), fleet.submit()
    code, out, err = fleet.run("rm", run, running, "nowhere_1")
    assert (code, out, err.count("\n")) == (2, f"{run}: removed\n", 2)
    assert "has not ended: wait for it, or remove it with --force" in err
    assert fleet.run("show", run)[0] == 2
