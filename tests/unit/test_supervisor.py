"""The supervisor replaces a worker that dies, freezes or goes deaf, passes on what is asked of it, and costs little."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator_worker.process import proof, supervisor
from orchestrator_worker.process.supervisor import told
from tests.conftest import wait_until
from tests.processes import has_ended

START = """
import os, signal, sys, time
from pathlib import Path
from orchestrator_worker.process.proof import FILE_VARIABLE, Proof
def prove():
    Proof(Path(os.environ[FILE_VARIABLE]))
def note(what):
    with Path("lives").open("a") as file:
        file.write(f"{what}\\n")
note(f"born {os.getpid()}")
lives = Path("lives").read_text().count("born")
"""

QUICK = """
import os, signal, sys
from subprocess import Popen
from orchestrator_worker.process import supervisor
supervisor.LOOK_SECONDS, supervisor.PAUSES_SECONDS = 0.1, (0.1, 0.2)
"""
"""All but its patience with a worker, which is short only where a test waits for its end: a worker that the machine
keeps waiting is not deaf."""

RUN = """
supervisor.logging.basicConfig(level=20, format=supervisor.LOG_FORMAT, stream=sys.stderr)
sys.exit(supervisor.Supervisor([sys.executable, "-c", sys.argv[1]]).run())
"""


class Supervised:
    """A supervisor in a process of its own, over a program that stands for a worker."""

    def __init__(self, folder: Path, program: str, settings: str) -> None:
        self.folder, self.log = folder, folder / "log"
        root = str(Path(__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": root, "TMPDIR": str(folder)}
        command = [sys.executable, "-c", QUICK + settings + RUN, START + textwrap.dedent(program)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, cwd=folder, stderr=log)

    @property
    def lives(self) -> list[str]:
        path = self.folder / "lives"
        return path.read_text().splitlines() if path.exists() else []

    def born(self, count: int) -> list[int]:
        def pids() -> list[int]:
            found = [int(line.split()[1]) for line in self.lives if line.startswith("born")]
            return found if len(found) >= count else []

        return wait_until(pids, f"{count} lives", seconds=60)

    def end(self) -> None:
        """Kill all of it, the supervisor stopped first: it would start another worker in the place of a killed one."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(program: str, settings: str = "") -> Supervised:
        started.append(Supervised(tmp_path, program, settings))
        return started[-1]

    yield start
    for one in started:
        one.end()


CONSUME = """
while True:
    prove(); time.sleep(0.1)
"""


def test_a_killed_worker_is_replaced_and_its_death_has_a_name(supervised: Any) -> None:
    over = supervised(CONSUME)
    os.kill(over.born(1)[0], signal.SIGKILL)
    over.born(2)
    assert "was killed by SIGKILL" in over.log.read_text()


def test_a_deaf_worker_is_asked_to_end_and_replaced(supervised: Any) -> None:
    over = supervised(
        """
        if lives == 1:
            signal.signal(signal.SIGTERM, lambda *_: (note("asked"), os._exit(0)))
            prove(); time.sleep(600)
        """
        + CONSUME.replace("\n", "\n        "),
        "supervisor.FRESH_SECONDS = 1.5",
    )
    over.born(2)
    assert "asked" in over.lives
    assert "has asked for no message" in over.log.read_text()


def test_a_frozen_worker_is_killed_and_replaced(supervised: Any) -> None:
    over = supervised(
        """
        if lives == 1:
            prove(); os.kill(os.getpid(), signal.SIGSTOP)
        """
        + CONSUME.replace("\n", "\n        "),
        "supervisor.FRESH_SECONDS, supervisor.END_SECONDS = 1.5, 1.0",
    )
    first, *_ = over.born(2)
    assert not psutil.pid_exists(first)


def test_a_worker_that_never_gets_ready_is_replaced(supervised: Any) -> None:
    over = supervised("time.sleep(600)", "supervisor.START_SECONDS = 3.0")
    over.born(2)
    assert "was not ready" in over.log.read_text()


@pytest.mark.parametrize("code", [2, 3])
def test_what_will_not_change_is_passed_on(supervised: Any, code: int) -> None:
    over = supervised(f"sys.exit({code})")
    assert over.process.wait(60) == code
    assert len(over.lives) == 1


def test_a_store_that_is_away_at_a_later_start_is_tried_again(supervised: Any) -> None:
    over = supervised(
        """
        if lives == 1:
            prove(); time.sleep(0.5); os.kill(os.getpid(), signal.SIGKILL)
        if lives == 2:
            sys.exit(3)
        """
        + CONSUME.replace("\n", "\n        ")
    )
    over.born(3)
    assert over.process.poll() is None


def test_a_worker_that_was_ready_and_dead_before_it_was_looked_at_was_ready(supervised: Any) -> None:
    over = supervised(
        """
        if lives == 1:
            prove(); os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(3)
        """,
        """
def look_late(*words, **options):
    worker = Popen(*words, **options)
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    return worker
supervisor.subprocess.Popen = look_late
""",
    )
    over.born(3)
    assert over.process.poll() is None


def test_a_storm_is_slowed_down_and_named(supervised: Any) -> None:
    over = supervised("sys.exit(7)")
    over.born(6)
    assert "has ended with exit code 7; 4 in a row have died young" in over.log.read_text()
    assert supervisor.PAUSES_SECONDS[-1] == 30.0
    assert over.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_handed_on_and_the_workers_own_code_comes_back(supervised: Any, number: signal.Signals) -> None:
    over = supervised(f"signal.signal({int(number)}, lambda *_: (note('stopped'), os._exit(0)))" + CONSUME)
    over.born(1)
    wait_until(lambda: list((over.folder).rglob("*.proof")), "it has proved that it consumes", seconds=60)
    over.process.send_signal(number)
    assert over.process.wait(60) == 0
    assert over.lives[-1] == "stopped"
    assert len(over.born(1)) == 1
    assert not list(over.folder.rglob("*.proof"))


def test_a_stop_that_comes_while_a_worker_is_started_reaches_it(supervised: Any) -> None:
    over = supervised(
        CONSUME,
        """
def be_stopped(*words, **options):
    worker = Popen(*words, **options)
    os.kill(os.getpid(), signal.SIGTERM)
    return worker
supervisor.subprocess.Popen = be_stopped
""",
    )
    assert over.process.wait(60) == 128 + signal.SIGTERM


def test_what_a_dead_worker_leaves_running_is_ended(supervised: Any) -> None:
    over = supervised(
        """
        import subprocess
        tool = subprocess.Popen(["sleep", "600"], start_new_session=True)
        note(f"tool {tool.pid}")
        """
        + CONSUME.replace("\n", "\n        ")
    )
    (first,) = over.born(1)

    def tools() -> list[int]:
        return [int(line.split()[1]) for line in over.lives if line.startswith("tool")]

    tool = wait_until(tools, "its tool", seconds=60)[0]
    os.kill(first, signal.SIGKILL)
    over.born(2)
    assert has_ended(tool)


def test_it_is_light(supervised: Any) -> None:
    over = supervised(CONSUME)
    over.born(1)
    itself = psutil.Process(over.process.pid)
    assert itself.memory_info().rss < 25 * 1024 * 1024
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, orchestrator_worker.process.supervisor; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"celery", "kombu", "redis", "pydantic", "orchestrator_client"} & set(loaded)


def test_the_check_for_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(proof, "_folder", lambda: tmp_path)
    monkeypatch.delenv(proof.FILE_VARIABLE, raising=False)
    assert proof.main() == 1
    assert "no worker has left a proof" in capsys.readouterr().out
    own = proof.Proof(tmp_path / f"{os.getpid()}.proof")
    (tmp_path / "999999999.proof").write_text("1.0")
    assert proof.main() == 0
    assert not (tmp_path / "999999999.proof").exists(), "what a killed worker left counts for nothing"
    assert own.age_seconds < 60
    monkeypatch.setattr(proof, "FRESH_SECONDS", -1.0)
    assert proof.main() == 1
    monkeypatch.setenv(proof.FILE_VARIABLE, str(tmp_path / "none"))
    assert proof.main() == 1


def test_a_proof_is_as_old_as_its_last_renewal(tmp_path: Path) -> None:
    kept = proof.Proof(tmp_path / "proof")
    written = proof.age_seconds(tmp_path / "proof")
    assert written is not None
    assert written <= time.monotonic()
    assert proof.age_seconds(tmp_path / "none") is None
    kept.renew()


@pytest.mark.parametrize(("code", "words"), [(7, "has ended with exit code 7"), (-9, "was killed by SIGKILL")])
def test_deaths_are_told(code: int, words: str) -> None:
    assert told(code) == words
