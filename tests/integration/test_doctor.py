"""`doctor`, and what else tells of a fleet's workers, on fleets that are well and that are not."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.contract.worker import LIFE_MS
from tests.command_line import COMMAND
from tests.conftest import RedisServer, wait_until
from tests.fleet import python_step
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("doctor")

SECRET = "sk-canary"
CONFIGURED = """
[mcp.gone]
command = "no-such-program-here"

[mcp.closed]
url = "http://127.0.0.1:1/mcp"
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingFleet]:
    """One worker of tools, and one of models without a key."""
    with StandingFleet(tmp_path_factory.mktemp("doctor"), append_only=True) as standing:
        standing.start_worker("tools", "-c", "2")
        options = ("-m", "orchestrator_worker", "--queues", "model.anthropic", "-c", "3")
        standing.start_program("models", *options, ANTHROPIC_API_KEY="", ANTHROPIC_BASE_URL="http://127.0.0.1:1")
        wait_until(lambda: len(standing.client.workers()) == 2, "both workers report", 90)
        yield standing


def examined(fleet: StandingFleet, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ORCHESTRATOR_REDIS_URL": fleet.url, "OPENAI_API_KEY": SECRET}
    return subprocess.run(
        [COMMAND, "doctor", *options], env=environment, capture_output=True, text=True, cwd=folder, check=False
    )


def findings(fleet: StandingFleet, folder: Path) -> tuple[int, list[dict[str, Any]]]:
    told = examined(fleet, folder, "--json")
    return told.returncode, json.loads(told.stdout)


def test_a_worker_says_what_it_is(fleet: StandingFleet) -> None:
    models, tools = sorted(fleet.client.workers(), key=lambda worker: worker.pool, reverse=True)
    assert (tools.pool, tools.slots, set(tools.queues)) == ("prefork", 2, {"tool", "control"})
    assert (models.pool, models.slots) == ("threads", 3)
    assert models.missing_keys
    assert "ANTHROPIC_API_KEY" in models.missing_keys[0]
    assert abs(models.skew_ms) < 10_000
    assert 0 < fleet.redis.pttl(f"orc:worker:{tools.name}") <= LIFE_MS


def test_a_fleet_that_works(fleet: StandingFleet, tmp_path: Path) -> None:
    code, found = findings(fleet, tmp_path)
    assert (code, [each for each in found if each["verdict"] == "fail"]) == (0, [])
    said = {each["check"]: each["says"] for each in found}
    assert said["workers"] == "2 with 5 slots, 0 of them busy"
    assert said["persistence"] == "it keeps an append-only file"
    assert any("ANTHROPIC_API_KEY" in each["says"] and each["verdict"] == "warn" for each in found)


def test_keys_are_named_and_never_shown(fleet: StandingFleet, tmp_path: Path) -> None:
    told = examined(fleet, tmp_path)
    assert "set here: OPENAI_API_KEY" in told.stdout
    assert SECRET not in told.stdout + told.stderr


def test_servers_that_cannot_be_reached(fleet: StandingFleet, tmp_path: Path) -> None:
    (tmp_path / "orchestrator.toml").write_text(CONFIGURED)
    _, found = findings(fleet, tmp_path)
    said = [each["says"] for each in found if each["check"] == "mcp"]
    assert "no program no-such-program-here" in said[0]
    assert "127.0.0.1:1" in said[1]


def test_a_queue_that_nobody_serves_is_told_wherever_one_asks(fleet: StandingFleet, tmp_path: Path) -> None:
    asks = Step(
        id="ask",
        kind=StepKind.MODEL,
        uses="generate",
        provider="google",
        model="google/gemini",
        parameters={"prompt": "x"},
    )
    run = fleet.client.submit(Plan(id="unserved", steps=(asks,)))
    wait_until(lambda: run.document().steps["ask"].status == "ready", "the step is ready")
    code, found = findings(fleet, tmp_path)
    (failed,) = (each for each in found if each["verdict"] == "fail")
    assert code == 1
    assert failed["says"].startswith("0 workers serve 'model.google'")
    assert "0 workers serve 'model.google'" in run.why()[0].because
    assert fleet.client.unserved(run.plan()) == ["model.google"]
    shown = subprocess.run(
        [COMMAND, "show", run.id, "--redis", fleet.url], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "0 workers serve 'model.google'" in shown.stderr


def test_a_key_that_a_worker_lacks_is_told_before_a_run_starts(fleet: StandingFleet, tmp_path: Path) -> None:
    plan = tmp_path / "asks.yaml"
    plan.write_text("steps: [{id: ask, action: generate_text, parameters: {prompt: x, model: anthropic/claude}}]")
    submit = [COMMAND, "submit", str(plan), "--redis", fleet.url]
    said = subprocess.run(submit, capture_output=True, text=True, cwd=tmp_path, check=True).stderr
    assert "this worker has no key for anthropic: set ANTHROPIC_API_KEY" in said.splitlines()[0]
    assert fleet.client.keyless(Plan(id="keyed", steps=(python_step("one"),))) == []


def test_a_plan_whose_queues_are_served(fleet: StandingFleet) -> None:
    assert fleet.client.unserved(Plan(id="served", steps=(python_step("one"),))) == []


def test_without_workers_and_without_redis(redis_server: RedisServer, tmp_path: Path) -> None:
    environment = {**os.environ, "ORCHESTRATOR_REDIS_URL": redis_server.url}
    told = subprocess.run(
        [COMMAND, "doctor"], env=environment, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert told.returncode == 1
    assert "0 workers" in told.stdout
    environment["ORCHESTRATOR_REDIS_URL"] = f"unix://{tmp_path / 'nobody.sock'}"
    away = subprocess.run(
        [COMMAND, "doctor"], env=environment, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert away.returncode == 1
    assert "cannot use Redis" in away.stdout
    assert "Traceback" not in away.stderr
