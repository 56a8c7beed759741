"""A program under its warden: how it is started, what holds it, and how it ended.

A fence against accidents and common attacks, not a prison: the program runs as the worker's user, and may read what
that user may. `docs/security.md` says what holds where.
"""

from __future__ import annotations

import asyncio
import logging
import marshal
import math
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator_client.contract.errors import StepTimeout, ToolFailed
from orchestrator_worker.cage.capture import Capture
from orchestrator_worker.cage.limits import Cage

logger = logging.getLogger(__name__)

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""What a program sees of the worker's environment, which holds keys."""

DRAIN_SECONDS = 0.25
"""For output still in the pipe when the program has ended."""

WARDEN_SECONDS = 30.0
"""For the warden to end all when it is asked: its grace, and what a loaded machine keeps it waiting. Then it is killed;
within namespaces the kernel ends all that it held, and without them what has left its parent goes on."""

REPORT_BYTES = 4096
ADDRESS_FACTOR = 16
"""Address space of each process, in times of the memory that all may hold: runtimes and numeric libraries reserve much
that they never touch."""

_WARDEN = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import warden; warden.hold(*sys.argv[1:])"
"""As a module, which Python compiles once and not for each command."""
_NO_NETWORK = ("resolve", "resolution", "name or service", "network is unreachable", "nodename", "connect")
"""Words in what a program says when it wanted the network."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run, and how."""

    words: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    timeout_seconds: float
    """Its own; the step's may be shorter."""
    input: int = DEVNULL
    """A descriptor that it reads as stdin."""
    capture: bool = True
    """Whether stdout and stderr are kept."""
    passed: tuple[int, ...] = ()
    """Descriptors that it inherits."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    return_code: int | None
    """None: its own time was up, or it passed a limit."""
    stdout: str
    stderr: str
    seconds: float
    stopped: str = ""
    """The limit that it passed, in words."""
    cage: Cage | None = None
    network: bool = True

    @property
    def failure(self) -> str | None:
        """Why it failed, in one line: its status, signal or limit, and the last thing that it said on stderr."""
        if self.stopped:
            return f"stopped: {self.stopped}; the fleet's limits are in [tools.limits] of orchestrator.toml"
        if not self.return_code:
            return None
        lines = (line.strip()[:300] for line in reversed(self.stderr.splitlines()))
        last = next(filter(None, lines), "no message on stderr")
        if not self.network and any(word in last.lower() for word in _NO_NETWORK):
            last += " (restricted calls have no network; allow it with network in [tools] of orchestrator.toml)"
        if self.return_code < 0:
            return f"killed by signal {_signal_name(-self.return_code)}{self._limit_of_signal()}: {last}"
        return f"exited with status {self.return_code}: {last}"

    def _limit_of_signal(self) -> str:
        """The limit that the kernel enforces with this signal."""
        if self.cage is None or self.return_code is None:
            return ""
        limits = self.cage.limits
        by_signal: dict[int, str] = {
            signal.SIGXCPU: f" (more than {limits.cpu_seconds:g} s of processor time)",
            signal.SIGXFSZ: f" (a file of more than {limits.file_bytes} bytes)",
        }
        return by_signal.get(-self.return_code, "")


def passed_on(names: Sequence[str] = PASSED_ON) -> dict[str, str]:
    """What of the worker's environment a program sees."""
    return {name: os.environ[name] for name in names if name in os.environ}


async def run(program: Program, cage: Cage | None, step_seconds: float | None = None) -> Ended:
    """Run a program under a warden; nothing of it is left when this returns, raises or is cancelled.

    Raises:
        ToolFailed: the system cannot execute it.
        StepTimeout: the step's time was up before the program's own.
    """
    started = time.monotonic()
    at_most = cage.limits.output_bytes if cage else None
    stdout, stderr = Capture(at_most), Capture(at_most)
    reading, report = os.pipe()
    lifeline, letting_go = os.pipe()
    try:
        try:
            process = await _start(program, cage, stdout, stderr, report, lifeline)
        finally:
            # The warden has its own copies; ours would keep the pipes from ever ending.
            for descriptor in (report, lifeline, stdout.writing, stderr.writing):
                os.close(descriptor)
        try:
            stopped, timed_out = await _waited(process, program, step_seconds, (stdout, stderr), cage)
        finally:
            os.close(letting_go)
            letting_go = -1
            await _end(process)
        await _drain(stdout, stderr)
        told = _told(reading)
    finally:
        if letting_go >= 0:
            os.close(letting_go)
        os.close(reading)
        stdout.close()
        stderr.close()
    if "refused" in told:
        raise ToolFailed(f"cannot run {program.words[0]!r}: {told['refused']}; is it installed on the worker?")
    stopped = stopped or told.get("stopped", "")
    return_code = None if timed_out or stopped else _status(told)
    network = told.get("network") != "0"
    if cage is not None and network and not cage.network:
        _warn_once()
    seconds = time.monotonic() - started
    return Ended(return_code, stdout.text(), stderr.text(), seconds, stopped, cage, network)


async def _start(
    program: Program, cage: Cage | None, stdout: Capture, stderr: Capture, report: int, lifeline: int
) -> Process:
    """Start the warden, which starts the program, with our pipes for its output."""
    spec = _spec(cage) | {"report": report, "lifeline": lifeline}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _WARDEN, marshal.dumps(spec).hex(), *program.words),
        stdin=program.input,
        stdout=stdout.writing if program.capture else DEVNULL,
        stderr=stderr.writing if program.capture else DEVNULL,
        cwd=program.folder,
        env=program.environment,
        pass_fds=(report, lifeline, *program.passed),
        start_new_session=True,
    )


def _spec(cage: Cage | None) -> dict[str, Any]:
    """What the warden is told. Without a cage it only sees to it that nothing is left."""
    if cage is None:
        return {"isolate": False, "namespaces": False, "limits": {"RLIMIT_CORE": 0}}
    limits = cage.limits
    return {
        "isolate": True,
        "namespaces": cage.namespaces,
        "network": cage.network,
        "memory_bytes": limits.memory_bytes,
        "processes": limits.processes,
        "limits": {
            "RLIMIT_CPU": math.ceil(limits.cpu_seconds),
            "RLIMIT_AS": limits.memory_bytes * ADDRESS_FACTOR,
            "RLIMIT_FSIZE": limits.file_bytes,
            "RLIMIT_NOFILE": limits.open_files,
            "RLIMIT_NPROC": limits.processes,
            "RLIMIT_CORE": 0,
        },
    }


async def _waited(
    process: Process, program: Program, step_seconds: float | None, captures: Sequence[Capture], cage: Cage | None
) -> tuple[str, bool]:
    """Wait for the program; the limit that it passed, and whether its own time was up.

    Raises:
        StepTimeout: the step's time was up first.
    """
    own = min(program.timeout_seconds, cage.limits.wall_seconds) if cage else program.timeout_seconds
    step_is_shorter = step_seconds is not None and step_seconds <= own
    waiting = [asyncio.ensure_future(process.wait()), *(asyncio.ensure_future(c.flooded.wait()) for c in captures)]
    try:
        done, _ = await asyncio.wait(
            waiting, timeout=step_seconds if step_is_shorter else own, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for future in waiting[1:]:
            future.cancel()
    if cage is not None and any(capture.flooded.is_set() for capture in captures):
        return f"it wrote more than {cage.limits.output_bytes} bytes of output", False
    if done:
        return "", False
    if step_is_shorter:
        raise StepTimeout(f"the command was still running when the step's {step_seconds:g} s were up; killed")
    if cage is not None and cage.limits.wall_seconds < program.timeout_seconds:
        return f"it ran longer than {cage.limits.wall_seconds:g} s", False
    return "", True


async def _end(process: Process) -> None:
    """Wait until the warden, whose lifeline has ended, has ended everything; also if this is cancelled meanwhile."""
    try:
        async with asyncio.timeout(WARDEN_SECONDS):
            await process.wait()
    except TimeoutError:
        pass  # it hangs in the kernel; without it, all that it held dies
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _drain(*captures: Capture) -> None:
    """Wait a moment for the ends of the pipes, which come when the last writer has gone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            for capture in captures:
                await capture.ended.wait()


def _told(reading: int) -> dict[str, str]:
    """What warden and program reported. The program can reach the pipe, so nothing of it is believed to be complete."""
    os.set_blocking(reading, False)
    with suppress(BlockingIOError):
        lines = os.read(reading, REPORT_BYTES).decode(errors="replace").splitlines()
        return {name: value for name, _, value in (line.partition(" ") for line in lines)}
    return {}


def _status(told: Mapping[str, str]) -> int:
    """What the program returned, or the signal that ended it; SIGKILL where nobody could say."""
    try:
        return int(told["code"])
    except (KeyError, ValueError):
        return -signal.SIGKILL


def _signal_name(number: int) -> str:
    """`SIGKILL`; a number where it has no name."""
    return signal.Signals(number).name if number in set(signal.Signals) else str(number)


_warned: set[int] = set()


def _warn_once() -> None:
    """Say in the worker's log, once, that this kernel does not do what is asked."""
    if os.getpid() not in _warned:
        _warned.add(os.getpid())
        logger.warning("this kernel gives no namespaces to the worker: restricted calls have its network")
