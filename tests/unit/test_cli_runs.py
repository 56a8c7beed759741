"""submit, show, result, cancel, runs and watch on a real Redis, with no worker on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from orchestrator_client.cli import main
from orchestrator_client.contract import names
from tests.conftest import RedisServer, wait_until

PLAN = """\
id: greet
inputs:
  who: {type: string, default: world}
steps:
  - {id: hello, tool: terminal, action: execute, parameters: {command: "echo {{ who }}"}}
  - {id: after, tool: terminal, action: execute, parameters: {command: date}, dependencies: [hello]}
"""

ENTRY = [sys.executable, "-c", "from orchestrator_client.cli import main; main(prog_name='orchestrator')"]


class Fleet:
    """The command line, pointed at a Redis."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.plan = url, folder / "greet.yaml"
        self.plan.write_text(PLAN)

    def run(self, *arguments: object) -> tuple[int, str, str]:
        environment = {"ORCHESTRATOR_REDIS_URL": self.url}
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)
        return result.exit_code, result.stdout, result.stderr

    def submit(self, *arguments: object) -> str:
        code, out, err = self.run("submit", self.plan, *arguments)
        assert code == 0, err
        return out.strip()

    def json(self, *arguments: object) -> Any:
        code, out, err = self.run(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)

    def close(self, run_id: str, state: str) -> None:
        """End a run in the place of a worker."""
        keys = names.RunKeys(run_id)
        with redis.Redis.from_url(self.url) as client:
            client.hset(keys.record, mapping={"state": state, "started_ms": 1_000, "ended_ms": 3_500})
            client.hset(keys.record, "outputs", json.dumps({"said": "hi \x1b[31m"}))
            closed = {"kind": "run_closed", "at": 3_500, "data": json.dumps({"state": state})}
            client.xadd(keys.events, closed)  # type: ignore[arg-type]


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Fleet:
    return Fleet(redis_server.url, tmp_path)


NOBODY = "0 workers serve 'tool'; start one: orchestrator worker --queues tool\n"
"""What is said of these fleets, which have no worker."""


def test_submit_prints_the_id_alone(fleet: Fleet) -> None:
    code, out, err = fleet.run("submit", fleet.plan, "-i", "who=1.10", "--tag", "t")
    assert (code, err) == (0, NOBODY)
    assert out.count("\n") == 1
    with redis.Redis.from_url(fleet.url) as client:
        assert json.loads(client.hget(names.RunKeys(out.strip()).record, "inputs") or "") == {"who": "1.10"}
        assert client.llen(names.CONTROL_QUEUE) == 1


def test_the_redis_option_goes_before_the_environment(fleet: Fleet) -> None:
    code, _, err = fleet.run("submit", fleet.plan, "--redis", "unix:///nowhere/redis.sock")
    assert code == 3
    assert "/nowhere/redis.sock" in err
    assert err.count("\n") == 1


def test_a_password_is_not_shown(fleet: Fleet) -> None:
    code, out, err = fleet.run("runs", "--redis", "redis://:hunter2@127.0.0.1:1/0")
    assert code == 3
    assert "hunter2" not in out + err


def test_what_is_no_url_is_a_usage_error(fleet: Fleet) -> None:
    code, _, err = fleet.run("runs", "--redis", "127.0.0.1:6379")
    assert code == 2
    assert "redis://host:6379/0" in err


def test_an_idempotency_key_gives_the_same_run(fleet: Fleet) -> None:
    first = fleet.submit("--idempotency-key", "k")
    assert fleet.submit("--idempotency-key", "k") == first
    code, _, err = fleet.run("submit", fleet.plan, "--idempotency-key", "k", "-i", "who=else")
    assert code == 2
    assert "already stands for" in err


def test_show_a_run_that_waits(fleet: Fleet) -> None:
    run_id = fleet.submit()
    code, out, _ = fleet.run("show", run_id)
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()[1:3]] == [
        ["·", "hello", "pending"],
        ["·", "after", "pending"],
    ]
    assert out.splitlines()[-1] == "○ submitted"


def test_show_for_programs_has_values_only_when_asked(fleet: Fleet) -> None:
    run_id = fleet.submit()
    with redis.Redis.from_url(fleet.url) as client:
        keys = names.RunKeys(run_id)
        client.hset(keys.values, "hello", '"hi"')
        client.hset(keys.receipts, "hello", '2000 {"outcome": "succeeded", "attempt": 1}')
        client.expire(keys.values, 60)
        client.expire(keys.receipts, 60)
    assert "value" not in fleet.json("show", run_id)["steps"]["hello"]
    assert fleet.json("show", run_id, "--values")["steps"]["hello"]["value"] == "hi"


@pytest.mark.parametrize("command", ["show", "result", "watch"])
def test_a_run_that_is_not_there(fleet: Fleet, command: str) -> None:
    code, _, err = fleet.run(command, "nope\x1b")
    assert code == 2
    assert err.startswith("error: no run ")
    assert "\x1b" not in err


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
def test_result_and_watch_end_as_the_run_ended(fleet: Fleet, state: str, code: int) -> None:
    run_id = fleet.submit()
    fleet.close(run_id, state)
    for command in ("result", "watch"):
        ended, out, _ = fleet.run(command, run_id)
        assert ended == code
        assert f"{state} in 2.50 s" in out
        assert r"said: hi \x1b[31m" in out


def test_result_for_programs(fleet: Fleet) -> None:
    run_id = fleet.submit()
    fleet.close(run_id, "succeeded")
    document = fleet.json("result", run_id)
    assert (document["execution_id"], document["success"]) == (run_id, True)
    assert document["outputs"] == {"said": "hi \x1b[31m"}


def test_result_waits_no_longer_than_asked(fleet: Fleet) -> None:
    code, _, err = fleet.run("result", fleet.submit(), "--timeout", "0.05")
    assert code == 124
    assert "it goes on" in err


def test_watch_shows_one_line_an_event(fleet: Fleet) -> None:
    run_id = fleet.submit()
    fleet.close(run_id, "succeeded")
    _, out, _ = fleet.run("watch", run_id)
    assert [line.split()[1] for line in out.splitlines()[:2]] == ["run_submitted", "run_closed"]


def test_watch_continues_behind_an_event(fleet: Fleet) -> None:
    run_id = fleet.submit()
    fleet.close(run_id, "succeeded")
    _, out, _ = fleet.run("watch", run_id, "-o", "json")
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["kind"] for event in events] == ["run_submitted", "run_closed"]
    _, out, _ = fleet.run("watch", run_id, "-o", "json", "--after", events[0]["id"])
    assert [json.loads(line) for line in out.splitlines()] == events[1:]


def test_watch_refuses_what_is_no_event(fleet: Fleet) -> None:
    code, _, err = fleet.run("watch", fleet.submit(), "--after", "yesterday")
    assert code == 2
    assert "is no event's id" in err


def interruptible() -> None:
    """For a new process: tests that are started in the background would leave it deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupted_watch_says_how_to_come_back(fleet: Fleet, tmp_path: Path) -> None:
    run_id = fleet.submit()
    seen = tmp_path / "seen"
    with seen.open("w") as stdout:
        watching = subprocess.Popen(
            [*ENTRY, "watch", run_id, "--redis", fleet.url],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=interruptible,
        )
    wait_until(lambda: "run_submitted" in seen.read_text(), "the first event is shown", seconds=60)
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert f"orchestrator watch {run_id} --after " in err
    assert "Traceback" not in err


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_on_a_fleet_goes_on(fleet: Fleet, tmp_path: Path, kind: signal.Signals) -> None:
    seen = tmp_path / "seen"
    with seen.open("w") as stdout:
        command = [*ENTRY, "run", str(fleet.plan), "--redis", fleet.url]
        running = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible)
    wait_until(lambda: "run_submitted" in seen.read_text(), "the first event is shown", seconds=60)
    running.send_signal(kind)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "goes on" in err
    assert [run["wish"] for run in fleet.json("runs")] == ["run"]


def test_cancel_says_what_it_met(fleet: Fleet) -> None:
    waiting, ended = fleet.submit(), fleet.submit("-i", "who=other")
    fleet.close(ended, "succeeded")
    code, out, err = fleet.run("cancel", waiting, "nope", ended)
    assert code == 2
    assert out.splitlines() == [f"{waiting}: cancelling", f"{ended}: was succeeded already"]
    assert err.count("\n") == 1
    assert {run["run"]: run["wish"] for run in fleet.json("runs")} == {waiting: "cancel", ended: "run"}


def test_runs_are_listed_newest_first_and_sifted(fleet: Fleet) -> None:
    first, second = fleet.submit("--tag", "a"), fleet.submit("--tag", "b", "-i", "who=other")
    fleet.close(second, "failed")
    assert {run["run"] for run in fleet.json("runs")} == {first, second}
    assert [run["run"] for run in fleet.json("runs", "--tag", "a")] == [first]
    assert [run["run"] for run in fleet.json("runs", "--state", "failed")] == [second]
    assert fleet.json("runs", "--pipeline", "other") == []
    assert len(fleet.json("runs", "--limit", "1")) == 1
    _, out, _ = fleet.run("runs")
    assert {line.split()[0] for line in out.splitlines()} == {"RUN", first, second}


def test_no_runs_is_no_error(fleet: Fleet) -> None:
    assert fleet.run("runs") == (0, "", "no runs\n")
    assert fleet.run("runs", "--state", "failed") == (0, "", "no such runs\n")


def test_a_state_that_is_none_is_refused_with_those_there_are(fleet: Fleet) -> None:
    code, _, err = fleet.run("runs", "--state", "done")
    assert code == 2
    assert "submitted, running, succeeded, failed, cancelled" in err


def test_a_result_file_that_cannot_be_written_is_refused_at_once(fleet: Fleet, tmp_path: Path) -> None:
    for target in (tmp_path / "none" / "out.json", tmp_path):
        code, _, _ = fleet.run("run", fleet.plan, "-o", target)
        assert code == 2
    assert fleet.json("runs") == []


def test_nothing_is_said_to_whoever_reads_the_id(fleet: Fleet) -> None:
    command = [*ENTRY, "submit", str(fleet.plan), "-o", "json"]
    environment = {**os.environ, "ORCHESTRATOR_REDIS_URL": fleet.url}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["run"].startswith("greet_")
    assert ended.stderr == NOBODY
