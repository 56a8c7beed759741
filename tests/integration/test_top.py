"""`top`: on a terminal until a key ends it, elsewhere once."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator_client.client import Client, Run
from orchestrator_client.contract.plan import Plan
from tests.command_line import COMMAND
from tests.fleet import InProcessFleet, python_step


@pytest.fixture
def watched(fleet: InProcessFleet) -> tuple[Client, Run]:
    """A fleet with a run that is open."""
    return fleet.client, fleet.submit(Plan(id="watched", steps=(python_step("one"), python_step("two"))))


class Terminal:
    """The command on a terminal of 30 lines."""

    def __init__(self, url: str, folder: Path) -> None:
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self.before = termios.tcgetattr(theirs)
        environment = {**os.environ, "ORCHESTRATOR_REDIS_URL": url, "TERM": "xterm"}
        command = [COMMAND, "top", "--interval", "0.3"]
        self.process = subprocess.Popen(
            command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, start_new_session=True
        )
        self._theirs, self.seen = theirs, ""

    def wait_for(self, words: str) -> None:
        self._read_until(lambda: words in self.seen, f"{words!r}")

    def end(self) -> int | None:
        """Wait for its end, and read on meanwhile: who writes to a terminal that nobody reads is held up."""
        self._read_until(lambda: self.process.poll() is not None, "its end")
        return self.process.returncode

    def _read_until(self, condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} does not come after {self.seen!r}"
            if select.select([self._mine], [], [], 0.2)[0]:
                self.seen += os.read(self._mine, 65536).decode(errors="replace")

    def press(self, key: bytes) -> None:
        os.write(self._mine, key)

    def modes(self) -> object:
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._mine)
        os.close(self._theirs)


def test_a_terminal_shows_the_fleet_again_and_again_until_q(watched: tuple[Client, Run], tmp_path: Path) -> None:
    client, run = watched
    terminal = Terminal(client.url, tmp_path)
    try:
        terminal.wait_for(run.id)  # The lowest line: what stands above it has been read with it.
        assert "1 running" in terminal.seen
        assert "0 workers" in terminal.seen
        assert "model.other" not in terminal.seen
        terminal.seen = ""
        client.submit(Plan(id="second", steps=(python_step("one"),)))
        terminal.wait_for("1 submitted")
        terminal.press(b"x")
        terminal.press(b"q")
        assert terminal.end() == 0
        assert terminal.modes() == terminal.before
    finally:
        terminal.close()


def test_elsewhere_it_is_shown_once(watched: tuple[Client, Run], tmp_path: Path) -> None:
    client, run = watched
    command = [COMMAND, "top", "--redis", client.url]
    shown = subprocess.check_output(command, text=True, cwd=tmp_path, env={**os.environ, "COLUMNS": "160"})
    assert shown.startswith("0 workers, 0 of 0 slots busy\nruns       1 running\ninstances  2 ready\n")
    assert run.id in shown
    assert "\x1b" not in shown
    seen = json.loads(subprocess.check_output([*command, "--json"], text=True, cwd=tmp_path))
    assert (seen["queues"]["tool"], seen["counts"]["ready|tool"]) == (2, 2)
    assert [record["run"] for record in seen["runs"]] == [run.id]
