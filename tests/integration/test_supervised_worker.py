"""A real worker beneath its supervisor: killed, it is replaced, and what it had begun ends elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator_client.contract.plan import Plan
from orchestrator_worker.process.proof import FILE_VARIABLE
from orchestrator_worker.process.pulse import Pulse
from tests.conftest import wait_until
from tests.fleet import WorkerProcess, python_step
from tests.standing_fleet import StandingFleet

SETTINGS = {"ORCHESTRATOR_LEASE_SECONDS": "3", "ORCHESTRATOR_BEAT_SECONDS": "0.3", "ORCHESTRATOR_HINT_SECONDS": "1"}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[StandingFleet]:
    with StandingFleet(tmp_path) as standing:
        yield standing


def worker_of(supervisor: WorkerProcess) -> psutil.Process:
    """The worker that it runs now."""
    return wait_until(lambda: psutil.Process(supervisor.process.pid).children(), "a worker", seconds=60)[0]


def marking(fleet: StandingFleet, name: str, function: str, *arguments: Any) -> Plan:
    return Plan(
        id="marks", steps=(python_step(name, f"tests.functions:{function}", str(fleet.folder), name, *arguments),)
    )


def test_a_killed_worker_is_replaced_and_its_step_ends(fleet: StandingFleet, tmp_path: Path) -> None:
    proof = {FILE_VARIABLE: str(tmp_path / "proof")}
    supervisor = fleet.start_program(
        "supervised", "-m", "orchestrator_worker.process.supervisor", "-c", "1", "--name", "w", **SETTINGS, **proof
    )
    go = tmp_path / "go"
    run = fleet.client.submit(marking(fleet, "long", "mark_until", str(go)))
    wait_until(lambda: "+long" in fleet.ledger(), "the step runs", seconds=60)
    first = worker_of(supervisor)
    below = first.children(recursive=True)
    first.kill()
    wait_until(lambda: not any(process.is_running() for process in (first, *below)), "nothing of it is left")
    go.touch()
    document = run.result(timeout=90)
    assert document.success
    assert document.steps["long"].retries == 1
    assert worker_of(supervisor).pid != first.pid
    check = [sys.executable, "-m", "orchestrator_worker.process.proof"]
    assert subprocess.run(check, env={**os.environ, **proof}, capture_output=True, check=False).returncode == 0
    assert supervisor.stop(60) == 0
    assert not (tmp_path / "proof").exists()
    assert "was killed by SIGKILL" in supervisor.log.read_text()


def test_a_running_step_ends_in_order_when_the_supervisor_is_stopped(fleet: StandingFleet) -> None:
    patient = {"ORCHESTRATOR_SHUTDOWN_SECONDS": "60"}
    supervisor = fleet.start_program(
        "supervised", "-m", "orchestrator_worker.process.supervisor", "-c", "1", **SETTINGS, **patient
    )
    run = fleet.client.submit(marking(fleet, "short", "mark", 1.0))
    wait_until(lambda: "+short" in fleet.ledger(), "the step runs", seconds=60)
    supervisor.process.send_signal(signal.SIGINT)
    assert supervisor.process.wait(60) == 0
    assert fleet.ledger() == ["+short", "-short"]
    assert run.status().open == 0


@pytest.mark.parametrize(("settings", "code"), [({"ORCHESTRATOR_REDIS_URL": "unix:///none.sock"}, 3)])
def test_a_store_that_is_not_there_is_said_and_passed_on(
    fleet: StandingFleet, settings: dict[str, str], code: int
) -> None:
    supervisor = fleet.start_program("supervised", "-m", "orchestrator_worker.process.supervisor", **settings)
    assert supervisor.process.wait(60) == code
    assert "cannot reach Redis" in supervisor.log.read_text()


class OldProof:
    """A proof that was not renewed for long."""

    age_seconds = 1_000.0

    def __init__(self) -> None:
        self.renewals = 0

    def renew(self) -> None:
        self.renewals += 1


@pytest.mark.parametrize("answers", [True, False])
def test_only_a_store_that_is_away_excuses(answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator_worker.process.pulse.LOOK_SECONDS", 0.01)
    proof, asked = OldProof(), list[bool]()

    def store_answers() -> bool:
        asked.append(answers)
        return answers

    pulse = Pulse(proof, store_answers)  # type: ignore[arg-type]
    pulse.start()
    wait_until(lambda: len(asked) > 3, "it has asked")
    pulse.stop()
    assert bool(proof.renewals) is not answers
