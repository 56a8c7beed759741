"""What a program writes, kept within bounds."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

OUTPUT_BYTES = 1024 * 1024
"""Kept of stdout, and of stderr: the first half and the last half of it."""

_READ_BYTES = 64 * 1024
_LAST_READS = 16
# A pipe holds 64 KB, and 1 MB at most.


class Capture:
    """Reads one pipe to its end, keeping head and tail: never much more than twice the cap in memory."""

    def __init__(self, at_most_bytes: int | None = None) -> None:
        """After `at_most_bytes`, kept or not, `flooded` is set and no more is read."""
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.ended, self.flooded = asyncio.Event(), asyncio.Event()
        self._at_most, self._total = at_most_bytes, 0
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
        self._total += len(piece)
        if self._at_most is not None and self._total > self._at_most:
            self._loop.remove_reader(self.reading)
            self.flooded.set()
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
        """Stop reading, whoever still writes. What an ended program wrote is in the pipe, so it is never lost."""
        for _ in range(_LAST_READS):
            if not self.ended.is_set():
                self._read()
        self._loop.remove_reader(self.reading)
        os.close(self.reading)
