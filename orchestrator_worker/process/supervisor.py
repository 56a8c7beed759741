"""The supervisor: it runs one worker, and another one in its place when that dies, freezes or goes deaf.

`orchestrator worker` is one. It is judged by nothing that the worker says of itself, but by the age of its proof
(`proof.py`). Only the standard library is imported: it costs some 10 MB and wakes every few seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from orchestrator_worker.process.proof import FILE_VARIABLE, FRESH_SECONDS, age_seconds, file_of
from orchestrator_worker.process.tether import SUPERVISOR_VARIABLE, adopt_orphans, children

logger = logging.getLogger("orchestrator_worker.supervisor")

LOG_FORMAT = "%(asctime)s %(levelname)s supervisor: %(message)s"

LOOK_SECONDS = 2.0
"""Between two looks at the proof."""

START_SECONDS = 120.0
"""For a worker to get ready: it imports the SDKs of its providers, and the machine may be slow."""

END_SECONDS = 30.0
"""For a deaf worker to end by itself when it is asked to: its `shutdown_seconds`, and more. Then it is killed."""

PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Before a worker is replaced that died young, by how many did so before it. It never gives up."""

YOUNG_SECONDS = 60.0
"""A worker that lived longer than this has not died of how it was started."""

STORM = 4
"""Deaths in a row of young workers that are called a storm."""

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Handed on to the worker, which knows what to do of each; after it the supervisor ends too."""

PASSED_ON = (2, 3)
"""Exit codes of a worker that was never ready: its configuration or its store is unfit, and stays so."""


class Supervisor:
    """Runs `command` until it is asked to stop."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._proof: Path = file_of(os.getpid())
        self._worker: subprocess.Popen[bytes] | None = None
        self._is_stopping = False
        self._stops: list[int] = []
        """Signals to stop that the worker has yet to be handed."""
        self._young_deaths = 0
        self._was_ready = False
        self._wakes, self._waking = os.pipe()

    def run(self) -> int:
        """The exit code of the last worker; 128 and the number of a signal that has killed it."""
        self._listen()
        adopt_orphans()
        try:
            while True:
                code = self._one_life()
                if self._is_stopping or (code in PASSED_ON and not self._was_ready):
                    return code if code >= 0 else 128 - code
                if not self._mourn(code):
                    return 0
        finally:
            self._proof.unlink(missing_ok=True)

    def _one_life(self) -> int:
        """Start a worker and return its exit code, or less than 0: the signal that has killed it."""
        self._proof.unlink(missing_ok=True)
        born = time.monotonic()
        environment = {**os.environ, FILE_VARIABLE: str(self._proof), SUPERVISOR_VARIABLE: str(os.getpid())}
        # A session of its own: a Ctrl-C at the terminal reaches the worker through us, once.
        self._worker = worker = subprocess.Popen(self._command, env=environment, start_new_session=True)
        while (code := worker.poll()) is None:
            self._wait(LOOK_SECONDS)
            if reason := self._complaint(time.monotonic() - born):
                self._end(worker, reason)
        self._was_ready |= age_seconds(self._proof) is not None  # the proof outlives its worker
        end_orphans()
        self._young_deaths = self._young_deaths + 1 if time.monotonic() - born < YOUNG_SECONDS else 0
        return code

    def _complaint(self, lived_seconds: float) -> str:
        """Why this worker must go; nothing if it need not."""
        age = age_seconds(self._proof)
        if self._is_stopping:
            return ""
        if age is None:
            return f"it was not ready after {START_SECONDS:g} s" if lived_seconds > START_SECONDS else ""
        return f"it has asked for no message for {age:.0f} s: it is deaf or frozen" if age > FRESH_SECONDS else ""

    def _end(self, worker: subprocess.Popen[bytes], reason: str) -> None:
        """Ask it to end, and make it."""
        logger.error("worker %d is replaced: %s", worker.pid, reason)
        worker.terminate()
        deadline = time.monotonic() + END_SECONDS
        while worker.poll() is None and time.monotonic() < deadline:
            self._wait(LOOK_SECONDS)
        if worker.poll() is None:
            kill_group(worker.pid)
            worker.wait()

    def _mourn(self, code: int) -> bool:
        """Say what happened, and wait a while before the next life; False if there is to be none."""
        pause = PAUSES_SECONDS[min(max(self._young_deaths - 1, 0), len(PAUSES_SECONDS) - 1)]
        said = logger.error if self._young_deaths >= STORM else logger.warning
        storm = f"; {self._young_deaths} in a row have died young" if self._young_deaths >= STORM else ""
        said("the worker %s%s; its last lines say more. Another one starts in %g s", told(code), storm, pause)
        until = time.monotonic() + pause
        while not self._is_stopping and (left := until - time.monotonic()) > 0:
            self._wait(left)
        return not self._is_stopping

    # --- signals -------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        os.set_blocking(self._waking, False)
        os.set_blocking(self._wakes, False)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # its handler does nothing, but its arrival ends the wait
        for number in STOPS:
            signal.signal(number, self._stop)

    def _stop(self, number: int, _: FrameType | None) -> None:
        """Only note it: it may arrive while a worker is being started, which could not be told yet."""
        self._is_stopping = True
        self._stops.append(number)

    def _wait(self, seconds: float) -> None:
        """Until a signal arrives, or so long; what asks for a stop is handed on to the worker."""
        select.select([self._wakes], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakes, 1024)
        while self._stops and self._worker is not None:
            self._worker.send_signal(self._stops.pop(0))


def told(code: int) -> str:
    """What an exit code means."""
    if code >= 0:
        return f"has ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"


def kill_group(pid: int) -> None:
    """kill -9 of a process and its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(os.getpgid(pid), signal.SIGKILL)


def end_orphans() -> None:
    """Kill what a dead worker has left running; all of it is a child of ours now."""
    while left := children():
        for pid in left:
            kill_group(pid)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Supervise a worker with these options."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stderr)
    return Supervisor([sys.executable, "-m", "orchestrator_worker", *(sys.argv[1:] if argv is None else argv)]).run()


if __name__ == "__main__":
    sys.exit(main())
