"""Real processes that die with their parent, and orphans that do not outlive their step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from orchestrator_worker.process.tether import has_exited
from tests.conftest import wait_until
from tests.processes import has_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tethers are made of Linux's prctl")

ROOT = Path(__file__).parents[2]
Started = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def python() -> Iterator[Started]:
    """Run code in an interpreter of its own; what is left of it and its children is killed afterwards."""
    running: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PREPARED + textwrap.dedent(code)]
        running.append(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
            )
        )
        return running[-1]

    yield start
    for process in running:
        for child in [*children_of(process.pid), process.pid]:
            if psutil.pid_exists(child):
                os.kill(child, signal.SIGKILL)
        process.communicate()


PREPARED = """
import os, signal, subprocess, sys, time
from orchestrator_worker.process.tether import adopt_orphans, kill_orphans, tether_to

def say(*words):
    print(*words, flush=True)

"""


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)] if psutil.pid_exists(pid) else []


def said(process: subprocess.Popen[str]) -> str:
    """The next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    """Let a process that reads a line go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


FORKS = """
    parent = os.getpid()
    child = os.fork()
    if not child:
        {tether}
        say(os.getpid())
        time.sleep(60)
    time.sleep(60)
"""


def test_a_tethered_child_dies_when_its_parent_is_killed(python: Started) -> None:
    parent = python(FORKS.format(tether="tether_to(parent)"))
    child = int(said(parent))
    parent.kill()
    parent.wait()
    wait_until(lambda: has_ended(child), "the child is gone")


def test_a_child_without_a_tether_does_not(python: Started) -> None:
    parent = python(FORKS.format(tether="pass"))
    child = int(said(parent))
    parent.kill()
    parent.wait()
    assert not has_ended(child)
    os.kill(child, signal.SIGKILL)


def test_a_child_whose_parent_is_gone_already_ends_at_once(python: Started) -> None:
    process = python("tether_to(1 << 22); say('alive')")
    assert process.wait(60) == 1
    assert said(process) == ""


ORPHANS = """
    {first}
    child = os.fork()
    if not child:
        orphan = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session={session})
        say(orphan.pid)
        os._exit(0)
    os.waitpid(child, 0)
    sys.stdin.readline()
    kill_orphans()
    say('done')
    sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("first", "session", "killed"),
    [
        ("adopt_orphans()", True, True),
        ("adopt_orphans()", False, False),
        ("pass", True, False),
    ],
)
def test_adopted_orphans_in_sessions_of_their_own_are_killed(
    python: Started, first: str, session: bool, killed: bool
) -> None:
    parent = python(ORPHANS.format(first=first, session=session))
    orphan = int(said(parent))
    wait_until(lambda: (psutil.Process(orphan).ppid() == parent.pid) == ("adopt" in first), "it has its new parent")
    wait_until(lambda: (os.getsid(orphan) == orphan) is session, "it has its session")
    tell(parent)
    assert said(parent) == "done"
    if killed:
        wait_until(lambda: has_ended(orphan), "the orphan is gone")
    else:
        assert not has_ended(orphan)
        os.kill(orphan, signal.SIGKILL)


def test_a_parents_own_children_are_no_orphans(python: Started) -> None:
    parent = python(
        """
        adopt_orphans()
        child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
        kill_orphans()
        say(child.pid, child.poll())
        sys.stdin.readline()
        """
    )
    assert said(parent).endswith(" None")


def test_an_exit_is_seen_and_its_status_left_to_whoever_waits() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(7)"], stdin=subprocess.PIPE)
    assert not has_exited(child.pid)
    assert child.stdin is not None
    child.stdin.close()
    wait_until(lambda: has_exited(child.pid), "the child has exited")
    assert has_exited(child.pid)
    assert child.wait(20) == 7
    assert has_exited(child.pid)


def test_a_child_that_was_killed_has_exited() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    child.kill()
    wait_until(lambda: has_exited(child.pid), "the child has exited")
    assert child.wait(20) == -signal.SIGKILL


def test_a_step_without_a_child_has_not_exited_and_a_strangers_child_has() -> None:
    assert not has_exited(None)
    assert has_exited(1)
