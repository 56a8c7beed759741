"""The command line as a user has it: the installed `orchestrator`, in processes of its own that are found again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests.conftest import RedisServer, wait_until
from tests.fleet import WorkerProcess, start_worker
from tests.forked import ROOT, Forked, Process, can_fork, fork

COMMAND = Path(sys.executable).parent / "orchestrator"

GONE_SECONDS = 30.0
"""How long processes may take to be gone after what they depend on."""

FAST = {"lease_seconds": 3, "beat_seconds": 0.3, "hint_seconds": 1}
"""Settings of workers whose repairs a test waits for."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """All that a person at a terminal saw."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Started:
    """A command that may still run; what it says goes to files."""

    process: Process
    out: Path
    err: Path
    at: float

    def wait_for(self, words: str, seconds: float = 60.0) -> None:
        """Wait until it has said these words."""
        wait_until(lambda: words in self.out.read_text(), f"{words!r} in the output", seconds)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = 60.0) -> Ended:
        """Wait for its end."""
        code = self.process.wait(seconds)
        return Ended(code, self.out.read_text(), self.err.read_text(), time.monotonic() - self.at)


class Shell:
    """A working folder, and a TMPDIR of its own: every process started from here carries that in its environment.

    With `forks`, commands are forked where that makes no difference; without, every one is started from nothing.
    """

    forks = True

    def __init__(self, folder: Path) -> None:
        self._record = folder
        self.folder = folder / "work"
        self.folder.mkdir()
        # Short, because the path of a unix socket has 107 bytes at most and pytest's folders are long.
        self.temporary = Path(tempfile.mkdtemp(prefix="orc-", dir="/tmp"))
        self.environment = {name: value for name, value in os.environ.items() if not _steers(name)}
        self.environment |= {"TMPDIR": str(self.temporary), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self._started: list[Started] = []
        self._workers: list[WorkerProcess] = []
        self._server: RedisServer | None = None

    def write(self, text: str, name: str = "plan.yaml") -> Path:
        """A file in the working folder, its text without the indentation that it has in the test."""
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def run(self, *arguments: object, seconds: float = 90.0, cwd: Path | None = None, **environment: str) -> Ended:
        """Run a command to its end."""
        return self.start(*arguments, cwd=cwd, **environment).end(seconds)

    def start(self, *arguments: object, cwd: Path | None = None, **environment: str) -> Started:
        """Start a command."""
        name = f"{len(self._started)}-{arguments[0]}"
        out, err = self._record / f"{name}.out", self._record / f"{name}.err"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            command, variables = [str(COMMAND), *map(str, arguments)], {**self.environment, **environment}
            process = self._process(command, cwd or self.folder, variables, stdout, stderr)
        self._started.append(Started(process, out, err, time.monotonic()))
        return self._started[-1]

    def _process(
        self, command: list[str], cwd: Path, environment: dict[str, str], stdout: IO[bytes], stderr: IO[bytes]
    ) -> Process:
        if self.forks and can_fork(environment):
            return fork(command, environment, cwd, stdout, stderr)
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=_obey_interrupts,
        )

    def redis(self) -> str:
        """Start a Redis; returns its URL."""
        self._server = RedisServer(self.temporary).start()
        return self._server.url

    def worker(
        self, name: str = "w1", *options: str, environment: Mapping[str, str] | None = None, **settings: Any
    ) -> WorkerProcess:
        """Start a worker on that Redis; its working folder is this one, and its log lies beside it."""
        assert self._server is not None
        fields = {**FAST, "workdir": self.folder, **settings}
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in {**self.environment, **(environment or {})}.items():
                patch.setenv(variable, value)
            self._workers.append(start_worker(self._server.url, self._record, name, *options, **fields))
        return self._workers[-1]

    def processes(self) -> list[psutil.Process]:
        """What runs of all that was started from here, however far down; zombies do not run."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def names(self) -> set[str]:
        """What these processes are called."""
        found = set()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                found.add(process.name())
        return found

    def assert_nothing_left(self, seconds: float = GONE_SECONDS) -> None:
        """No process and no folder of an embedded fleet is left."""
        with suppress(AssertionError):  # which would not say what is left
            wait_until(lambda: not self.processes(), "all processes are gone", seconds)
        assert list(map(_shown, self.processes())) == []
        assert list(self.temporary.glob("orchestrator-*")) == []

    def close(self) -> None:
        """Kill whatever is left, and remove the temporary files."""
        wait_until(self._kill, "everything is killed")
        for process in self._children():
            process.wait()
        if self._server is not None:
            self._server.kill()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def _kill(self) -> bool:
        """Kill what there is; True once there is nothing, for what dies may just have started something."""
        left = self.processes()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return not left

    def _owns(self, process: psutil.Process) -> bool:
        """Whether a process was started from here.

        redis-server shows it in its arguments, what was forked by its session, and all others by TMPDIR.
        """
        mark = str(self.temporary)
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            session = os.getsid(process.pid)
            within = process.environ().get("TMPDIR", "").startswith(mark) or any(
                isinstance(child, Forked) and child.pid == session for child in self._children()
            )
            return within or any(mark in word for word in process.cmdline())
        except (psutil.Error, ProcessLookupError):
            return False

    def _children(self) -> list[Process]:
        return [one.process for one in (*self._started, *self._workers)]


def peak_memory_bytes(worker: WorkerProcess) -> int:
    """The most that any process of a worker ever held resident."""
    parent = psutil.Process(worker.process.pid)
    return max(_high_water_bytes(process.pid) for process in (parent, *parent.children(recursive=True)))


def _high_water_bytes(pid: int) -> int:
    """Nothing for one that has ended: a step's program may do so while its worker is looked at."""
    with suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
    return 0


def _steers(variable: str) -> bool:
    """Whether a variable of whoever runs the tests would change what the command does."""
    return variable.startswith(("ORCHESTRATOR_", "OPENAI_", "NO_COLOR", "FORCE_COLOR", "CLICOLOR"))


def _obey_interrupts() -> None:
    """A test run in the background of a script ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _shown(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())}"
    except psutil.Error:
        return f"{process.pid} (gone)"
