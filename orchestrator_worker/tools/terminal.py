"""Commands. Each runs in a session of its own, so that its children can be ended with it, and with a short environment.

The session is ended when the command ends, too: a command leaves no process behind. One that makes itself a session of
its own (a daemon) escapes this; only a container's limits hold it. A guard ends the session when the worker was killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress

from orchestrator_client.contract.catalog import TerminalParameters
from orchestrator_client.contract.errors import ParametersInvalid, StepTimeout, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.paths import locate

OUTPUT_BYTES = 1024 * 1024
"""Kept of stdout, and of stderr: the first half and the last half of it."""

GRACE_SECONDS = 1.0
"""From SIGTERM to SIGKILL."""

DRAIN_SECONDS = 0.25
"""For output still in the pipe when the command has ended; a child that holds the pipe open is not waited for."""

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""What a command sees of the worker's environment, which holds keys."""

_GUARD = 'read -r group || exit; read -r _; kill -9 "-$group"'
"""For the shell: learn a group, wait until the other end of the pipe is gone, end the group."""

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


class _Guard:
    """A process that ends the command if this worker is killed with -9 and cannot: the pipe between them ends then.

    Costs a fifth of a millisecond (measured). A worker that is killed between the command's start and `watch` leaves
    it running.
    """

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_passed_on(),
            # Whoever kills the worker's whole session must not kill this with it.
            start_new_session=True,
        )
        os.close(reading)

    def watch(self, group: int) -> None:
        """Answer for this process group from now on."""
        os.write(self._writing, f"{group}\n".encode())

    def dismiss(self) -> None:
        """End the guard. Its death by SIGKILL is prompt, so waiting for it holds nobody up."""
        self._process.kill()
        self._process.wait()
        os.close(self._writing)


async def execute(context: ToolContext, parameters: TerminalParameters) -> ToolResult:
    """Run a command: `{command, return_code, stdout, stderr, working_dir, execution_time}`, the last in seconds.

    Past its own `timeout` the command is killed and reported as failed with return code -1; past the step's, which may
    be shorter, the step has timed out.

    Raises:
        ParametersInvalid: the command is empty, or the folder is outside the run's or does not exist.
        ToolFailed: there is no such command.
        StepTimeout: the step's time was up before the command's own.
    """
    started = time.monotonic()
    guard, stdout, stderr = _Guard(), _Capture(), _Capture()
    try:
        process = await _start(context, parameters, stdout, stderr)
        try:
            guard.watch(process.pid)
            timed_out = await _exceeds(process, context, parameters)
            await _drain(stdout, stderr)
        finally:
            await _end(process)
    finally:
        guard.dismiss()
        stdout.close()
        stderr.close()
    return _result(parameters, None if timed_out else process.returncode, stdout, stderr, time.monotonic() - started)


async def _start(context: ToolContext, parameters: TerminalParameters, stdout: _Capture, stderr: _Capture) -> Process:
    """Start the command in a session of its own, with nothing on stdin and our pipes for its output.

    Raises:
        ParametersInvalid: the command or its folder cannot be used.
        ToolFailed: the system cannot execute it.
    """
    command = ["/bin/sh", "-c", parameters.command] if isinstance(parameters.command, str) else parameters.command
    try:
        folder = _folder(context, parameters.working_dir)
        _check(command, parameters)
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=stdout.writing if parameters.capture_output else DEVNULL,
            stderr=stderr.writing if parameters.capture_output else DEVNULL,
            cwd=folder,
            env={**_passed_on(), **parameters.env},
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(f"cannot run {command[0]!r}: {error.strerror}; is it installed on the worker?") from error
    finally:
        # The command has its own copies; ours would keep the pipe from ever ending.
        os.close(stdout.writing)
        os.close(stderr.writing)


def _passed_on() -> dict[str, str]:
    """What of the worker's environment a command sees."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _folder(context: ToolContext, working_dir: str) -> str:
    """The folder to start in, confined as the paths of files are. The command itself is not: it may read elsewhere."""
    folder = locate(working_dir, context).path
    if not folder.is_dir():
        raise ParametersInvalid(f"working_dir {working_dir!r} is not a folder; create it in a step before this one")
    return str(folder)


def _check(command: list[str], parameters: TerminalParameters) -> None:
    """Refuse what the system could not be told: an empty command, NULs, names of variables with `=`."""
    if not parameters.command or (isinstance(parameters.command, str) and not parameters.command.strip()):
        raise ParametersInvalid("terminal.execute: parameter 'command' is empty; give a line or a list")
    words = [*command, *parameters.env.values()]
    if any("\0" in word for word in words) or any(not name or set(name) & {"=", "\0"} for name in parameters.env):
        raise ParametersInvalid("terminal.execute: 'command' and 'env' take no NUL, and names in 'env' take no '='")


async def _exceeds(process: Process, context: ToolContext, parameters: TerminalParameters) -> bool:
    """Wait for the command; True when its own time is up."""
    step = context.timeout_seconds
    step_is_shorter = step is not None and step <= parameters.timeout
    try:
        async with asyncio.timeout(step if step_is_shorter else parameters.timeout):
            await process.wait()
    except TimeoutError:
        if step_is_shorter:
            raise StepTimeout(f"the command was still running when the step's {step:g} s were up; killed") from None
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


def _result(
    parameters: TerminalParameters, return_code: int | None, stdout: _Capture, stderr: _Capture, seconds: float
) -> ToolResult:
    """The tool's result; a return code of None means that the command's own time was up."""
    output: dict[str, Json] = {
        "command": parameters.command,
        "return_code": -1 if return_code is None else return_code,
        "stdout": stdout.text(),
        "stderr": stderr.text(),
        "working_dir": parameters.working_dir,
        "execution_time": round(seconds, 3),
    }
    if return_code is None:
        return ToolResult(output, success=False, error=f"Command timed out after {parameters.timeout:g} s")
    return ToolResult(output, return_code == 0, _failure(return_code, output["stderr"]))


def _failure(return_code: int, stderr: str) -> str | None:
    """Why the command failed, in one line: its status or signal, and the last thing that it said on stderr."""
    if return_code == 0:
        return None
    last = next((line.strip()[:300] for line in reversed(stderr.splitlines()) if line.strip()), "no message on stderr")
    if return_code < 0:
        return f"killed by signal {signal.Signals(-return_code).name}: {last}"
    return f"exited with status {return_code}: {last}"
