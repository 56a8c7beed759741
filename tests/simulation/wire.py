"""A connection to a private Redis that costs little: commands are packed, sent and parsed, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hiredis
import redis

from tests.conftest import RedisServer


class Wire:
    """One socket. Not for threads."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._reader = hiredis.Reader(replyError=redis.ResponseError)
        self._read = bytearray(1 << 16)
        self._told: list[bytes] = []
        self._loaded: dict[str, bytes] = {}

    def tell(self, *command: Any) -> None:
        """A command whose reply nobody waits for: it goes ahead of the next one that is asked, in the same trip."""
        self._told.append(hiredis.pack_command(command))

    def ask(self, *command: Any) -> Any:
        """The reply to one command.

        Raises:
            redis.ResponseError: Redis refused it.
        """
        self._send(hiredis.pack_command(command))
        return self._reply()

    def ask_all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The replies to several, in one round trip."""
        self._send(b"".join(map(hiredis.pack_command, commands)))
        return [self._reply() for _ in commands]

    def run(self, text: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """The reply of a script, which is loaded once."""
        if (sha := self._loaded.get(text)) is None:
            sha = self._loaded[text] = self.ask("SCRIPT", "LOAD", text)
        return self.ask("EVALSHA", sha, len(keys), *keys, *args)

    def _send(self, packed: bytes) -> None:
        told = self._told
        if not told:
            self._socket.sendall(packed)
            return
        self._told = []
        self._socket.sendall(b"".join((*told, packed)))
        for _ in told:
            self._reply()

    def _reply(self) -> Any:
        while (reply := self._reader.gets()) is False:
            size = self._socket.recv_into(self._read)
            assert size, "Redis hung up"
            self._reader.feed(self._read, 0, size)
        if isinstance(reply, redis.ResponseError):
            raise reply
        return reply

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def private_redis() -> Iterator[Wire]:
    """A Redis server of one's own, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="simulation") as folder:
        server = RedisServer(Path(folder)).start()
        wire = Wire(f"{folder}/redis.sock")
        try:
            yield wire
        finally:
            wire.close()
            server.kill()
