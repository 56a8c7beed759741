"""A server that is a child of this worker: a process group of its own, spoken to in lines."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_worker import meters
from orchestrator_worker.cage.program import passed_on
from orchestrator_worker.process.guard import Guard

LINE_BYTES = 64 * 1024 * 1024
"""Longest message: twice what a step may leave, since binary content is a third longer as base64."""

GRACE_SECONDS = 1.0
"""From the end of its stdin to SIGTERM, and from there to SIGKILL."""

LAST_WORDS_BYTES = 4096
"""Kept of what a server writes to stderr: its end, for the error if it dies."""

_POLL_SECONDS = 0.01
_READ_AHEAD_BYTES = 256 * 1024

_running: set[int] = set()


def children() -> int:
    """How many servers run as children of this process now."""
    return len(_running)


def _found(program: str) -> str:
    """A program of the PATH, else one that was installed beside this worker, whose folder may not be on the PATH."""
    beside = Path(sys.executable).parent / program
    return str(beside) if not shutil.which(program) and beside.is_file() else program


class LineTooLong(Exception):
    """A line passes the cap. What follows it cannot be told apart from it."""


class Child:
    """A server's process, from `async with` to its end. None of its group outlives this, nor the worker.

    Raises on entry:
        ToolFailed: the system cannot execute the command; `retryable` is false.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command, self._environment = [_found(command[0]), *command[1:]], {**passed_on(), **environment}
        self._last_words = b""
        self._process: Process
        self._stdin: asyncio.StreamWriter
        self._stdout: asyncio.StreamReader
        self._guard: Guard
        self._listening: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._guard = Guard()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=self._environment,
                limit=_READ_AHEAD_BYTES,
                start_new_session=True,
            )
        except BaseException as error:
            self._guard.dismiss()
            if isinstance(error, OSError | ValueError):
                said = getattr(error, "strerror", None) or error
                raise ToolFailed(
                    f"cannot run {self._command[0]!r}: {said}; is it installed on the worker?", retryable=False
                ) from error
            raise
        self._guard.watch(self._process.pid)
        # asyncio types them for any process; this one has all three.
        self._stdin, self._stdout = cast("Any", self._process.stdin), cast("Any", self._process.stdout)
        _running.add(self._process.pid)
        meters.mcp_processes(len(_running))
        self._listening = asyncio.create_task(self._listen(cast("Any", self._process.stderr)))
        return self

    async def line(self) -> bytes:
        """The next line of its stdout, with its end; empty when there are no more.

        Raises:
            LineTooLong: it passes `LINE_BYTES`.
        """
        pieces: list[bytes] = []
        size = 0
        while size <= LINE_BYTES:
            try:
                return b"".join((*pieces, await self._stdout.readuntil()))
            except asyncio.LimitOverrunError as more:
                pieces.append(await self._stdout.readexactly(more.consumed))
                size += more.consumed
            except asyncio.IncompleteReadError as end:
                return b"".join((*pieces, end.partial))
        raise LineTooLong

    async def write(self, line: bytes) -> None:
        """Send one line.

        Raises:
            OSError: the server has closed its stdin.
        """
        self._stdin.write(line)
        await self._stdin.drain()

    async def verdict(self) -> str:
        """How it ended, in words, once its stdout has: its status or signal, and the last thing it said on stderr."""
        if not await self._ends_within(GRACE_SECONDS):
            return "it closed its stdout"
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listening), _POLL_SECONDS * 5)
        status = self._process.returncode or 0
        ended = f"it was killed by {signal.Signals(-status).name}" if status < 0 else f"it exited with status {status}"
        return f"{ended}{self.last_words()}"

    def last_words(self) -> str:
        """`: ` and the last line of its stderr, or nothing."""
        lines = [line.strip() for line in self._last_words.decode(errors="replace").splitlines()]
        last = next(filter(None, reversed(lines)), "")
        return f": {last[-300:]}" if last else ""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: its stdin, then SIGTERM, then SIGKILL, which the whole group is sent whatever happens meanwhile."""
        try:
            self._stdin.close()
            if not await self._ends_within(GRACE_SECONDS):
                self._signal(signal.SIGTERM)
                await self._ends_within(GRACE_SECONDS)
        finally:
            self._signal(signal.SIGKILL)
            self._guard.dismiss()
            _running.discard(self._process.pid)
            meters.mcp_processes(len(_running))
            self._listening.cancel()
            # Also when cancelled: after SIGKILL this is short. A grandchild in a session of its own may hold the pipes
            # open, so their ends are not waited for.
            await self._ends_within(GRACE_SECONDS)
            self._process._transport.close()  # type: ignore[attr-defined]  # asyncio offers no other way

    async def _ends_within(self, seconds: float) -> bool:
        """Not `Process.wait`, which also waits for the ends of the pipes."""
        for _ in range(round(seconds / _POLL_SECONDS)):
            if self._process.returncode is not None:
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return self._process.returncode is not None

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        while piece := await stderr.read(LAST_WORDS_BYTES):
            self._last_words = (self._last_words + piece)[-LAST_WORDS_BYTES:]
