"""Commands. Each runs in a session of its own, so that its children can be ended with it, and with a short environment.

The session is ended when the command ends, too: a command leaves no process behind. One that makes itself a session of
its own (a daemon) escapes this; only a container's limits hold it. A guard ends the session when the worker was killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from orchestrator_client.contract.catalog.code import TerminalParameters
from orchestrator_client.contract.errors import ParametersInvalid, StepTimeout, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.process.guard import Guard, passed_on
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.paths import locate

OUTPUT_BYTES = 1024 * 1024
"""Kept of stdout, and of stderr: the first half and the last half of it."""

GRACE_SECONDS = 1.0
"""From SIGTERM to SIGKILL."""

DRAIN_SECONDS = 0.25
"""For output still in the pipe when the command has ended; a child that holds the pipe open is not waited for."""

_POLL_SECONDS = 0.02
_READ_BYTES = 64 * 1024
_LAST_READS = 16
# A pipe holds 64 KB, and 1 MB at most.


class _Capture:
    """Reads one pipe to its end, keeping head and tail: never much more than twice the cap in memory."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.ended = asyncio.Event()
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.reading, self._read)

    def _read(self) -> None:
        """Take what the pipe holds now; at its end, stop listening."""
        with suppress(BlockingIOError):
            if piece := os.read(self.reading, _READ_BYTES):
                self._keep(piece)
            else:
                self._loop.remove_reader(self.reading)
                self.ended.set()

    def _keep(self, piece: bytes) -> None:
        """Fill the head first; all that follows is tail."""
        half = OUTPUT_BYTES // 2
        room = half - len(self._head)
        self._head += piece[:room]
        self._tail += piece[room:]
        # Cut only when twice as long, so that each byte is moved once on average.
        if len(self._tail) > 2 * half:
            self._trim(half)

    def _trim(self, half: int) -> None:
        """Drop the front of the tail, and count it."""
        self._dropped += len(self._tail) - half
        del self._tail[:-half]

    def text(self) -> str:
        """What was read, as UTF-8 with replacements, and a line that says how much is missing from its middle."""
        if len(self._tail) > OUTPUT_BYTES // 2:
            self._trim(OUTPUT_BYTES // 2)
        marker = f"\n[... {self._dropped} bytes left out here ...]\n" if self._dropped else ""
        if not marker:
            return (self._head + self._tail).decode(errors="replace")
        return self._head.decode(errors="replace") + marker + self._tail.decode(errors="replace")

    def close(self) -> None:
        """Stop reading, whoever still writes. What an ended command wrote is in the pipe, so it is never lost."""
        for _ in range(_LAST_READS):
            if not self.ended.is_set():
                self._read()
        self._loop.remove_reader(self.reading)
        os.close(self.reading)


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


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    return_code: int | None
    """None: its own time was up."""
    stdout: str
    stderr: str
    seconds: float

    @property
    def failure(self) -> str | None:
        """Why it failed, in one line: its status or signal, and the last thing that it said on stderr."""
        if not self.return_code:
            return None
        lines = (line.strip()[:300] for line in reversed(self.stderr.splitlines()))
        last = next(filter(None, lines), "no message on stderr")
        if self.return_code < 0:
            return f"killed by signal {signal.Signals(-self.return_code).name}: {last}"
        return f"exited with status {self.return_code}: {last}"


async def execute(context: ToolContext, parameters: TerminalParameters) -> ToolResult:
    """Run a command: `{command, return_code, stdout, stderr, working_dir, execution_time}`, the last in seconds.

    Past its own `timeout` the command is killed and reported as failed with return code -1; past the step's, which may
    be shorter, the step has timed out.

    Raises:
        ParametersInvalid: the command is empty, or the folder is outside the run's or does not exist.
        ToolFailed: there is no such command.
        StepTimeout: the step's time was up before the command's own.
    """
    words = ["/bin/sh", "-c", parameters.command] if isinstance(parameters.command, str) else parameters.command
    folder = _folder(context, parameters.working_dir)
    _check(words, parameters)
    environment = {**passed_on(), **parameters.env}
    program = Program(words, folder, environment, parameters.timeout, capture=parameters.capture_output)
    ended = await run(program, context)
    output: dict[str, Json] = {
        "command": parameters.command,
        "return_code": -1 if ended.return_code is None else ended.return_code,
        "stdout": ended.stdout,
        "stderr": ended.stderr,
        "working_dir": parameters.working_dir,
        "execution_time": round(ended.seconds, 3),
    }
    if ended.return_code is None:
        return ToolResult(output, success=False, error=f"Command timed out after {parameters.timeout:g} s")
    return ToolResult(output, ended.return_code == 0, ended.failure)


async def run(program: Program, context: ToolContext) -> Ended:
    """Run a program in a session of its own, which ends with it, with its time, or with the worker.

    Raises:
        ToolFailed: the system cannot execute it.
        StepTimeout: the step's time was up before the program's own.
    """
    started = time.monotonic()
    guard, stdout, stderr = Guard(), _Capture(), _Capture()
    try:
        process = await _start(program, stdout, stderr)
        try:
            guard.watch(process.pid)
            timed_out = await _exceeds(process, program.timeout_seconds, context.timeout_seconds)
            await _drain(stdout, stderr)
        finally:
            await _end(process)
    finally:
        guard.dismiss()
        stdout.close()
        stderr.close()
    return_code = None if timed_out else process.returncode
    return Ended(return_code, stdout.text(), stderr.text(), time.monotonic() - started)


async def _start(program: Program, stdout: _Capture, stderr: _Capture) -> Process:
    """Start the program in a session of its own, with our pipes for its output.

    Raises:
        ToolFailed: the system cannot execute it.
    """
    try:
        return await asyncio.create_subprocess_exec(
            *program.words,
            stdin=program.input,
            stdout=stdout.writing if program.capture else DEVNULL,
            stderr=stderr.writing if program.capture else DEVNULL,
            cwd=program.folder,
            env=program.environment,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(
            f"cannot run {program.words[0]!r}: {error.strerror}; is it installed on the worker?"
        ) from error
    finally:
        # The program has its own copies; ours would keep the pipe from ever ending.
        os.close(stdout.writing)
        os.close(stderr.writing)


def _folder(context: ToolContext, working_dir: str) -> str:
    """The folder to start in, confined as the paths of files are. The command itself is not: it may read elsewhere."""
    folder = str(locate(working_dir, context).path)
    if not os.path.isdir(folder):
        raise ParametersInvalid(f"working_dir {working_dir!r} is not a folder; create it in a step before this one")
    return folder


def _check(command: list[str], parameters: TerminalParameters) -> None:
    """Refuse what the system could not be told: an empty command, NULs, names of variables with `=`."""
    if not parameters.command or (isinstance(parameters.command, str) and not parameters.command.strip()):
        raise ParametersInvalid("terminal.execute: parameter 'command' is empty; give a line or a list")
    words = [*command, *parameters.env.values()]
    if any("\0" in word for word in words) or any(not name or set(name) & {"=", "\0"} for name in parameters.env):
        raise ParametersInvalid("terminal.execute: 'command' and 'env' take no NUL, and names in 'env' take no '='")


async def _exceeds(process: Process, own_seconds: float, step_seconds: float | None) -> bool:
    """Wait for the program; True when its own time is up."""
    step_is_shorter = step_seconds is not None and step_seconds <= own_seconds
    try:
        async with asyncio.timeout(step_seconds if step_is_shorter else own_seconds):
            await process.wait()
    except TimeoutError:
        if step_is_shorter:
            raise StepTimeout(
                f"the command was still running when the step's {step_seconds:g} s were up; killed"
            ) from None
        return True
    return False


async def _drain(*captures: _Capture) -> None:
    """Wait a moment for the ends of the pipes, which come when the last writer has gone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            for capture in captures:
                await capture.ended.wait()


async def _end(process: Process) -> None:
    """End all that is left of the session: SIGTERM, then SIGKILL, which is sent even if this is cancelled meanwhile."""
    try:
        deadline = time.monotonic() + GRACE_SECONDS
        _signal(process, signal.SIGTERM)
        while _signal(process, 0) and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        _signal(process, signal.SIGKILL)
        # Also when cancelled: after SIGKILL this is short, and the command must be reaped while its loop runs.
        await process.wait()


def _signal(process: Process, number: int) -> bool:
    """Signal the group, whose id is the command's own; False when none of it is left."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
