"""A TCP proxy between a program and its server that behaves as bad networks do, by command of the test.

    with FaultProxy(server.folder / "redis.sock") as proxy:
        client = Client(proxy.redis_url)
        proxy.black_hole()
        ...
        proxy.heal()

What it can do: hold everything back without a word (`black_hole`), and afterwards either deliver late or have
forgotten the connections (`heal`); be slow (`latency_seconds`, `bytes_per_second`); close one direction
(`half_close`); flip bytes (`corrupt`); answer with RST (`reset`, `refuse`). Faults are set from any thread. It is one
thread and one event loop, which costs a round trip about 0.1 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

CHUNK_BYTES = 64 * 1024
HELD_CHUNKS = 16
"""Chunks of one direction that may be under way; then its sender is read no more, as with a full pipe."""

ANSWER_SECONDS = 60.0
"""For the proxy's own thread."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes `close` send RST."""


class Way(StrEnum):
    """Direction of what a connection carries."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


class _Link:
    """One connection: the client's socket, the server's, and what is under way between them."""

    def __init__(self, client: socket.socket, server: socket.socket, proxy: FaultProxy) -> None:
        self._proxy, self.server = proxy, server
        client.setblocking(False)
        server.setblocking(False)
        self._sockets = {Way.TO_SERVER: (client, server), Way.TO_CLIENT: (server, client)}
        self.forgotten = False
        """Nothing of it is carried ever again, and neither end is told."""

    async def carry(self) -> None:
        """Carry both directions until both have ended, one breaks, or this is cancelled."""
        tasks = [asyncio.create_task(self._carry(way)) for way in Way]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            await _cancel(tasks)

    async def _carry(self, way: Way) -> None:
        """Read, hold for as long as the network is slow, and write, in order; then pass the end on."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_CHUNKS)
        reading = asyncio.create_task(self._read(way, under_way))
        target = self._sockets[way][1]
        loop = asyncio.get_running_loop()
        try:
            while True:
                read_at, chunk = await under_way.get()
                await self._hold(read_at, chunk)
                if not chunk:
                    target.shutdown(socket.SHUT_WR)
                    return
                await loop.sock_sendall(target, self._proxy._spoilt(way, chunk))
        finally:
            await _cancel([reading])

    async def _read(self, way: Way, under_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop, chunk = asyncio.get_running_loop(), b"-"
        while chunk:
            try:
                chunk = await loop.sock_recv(self._sockets[way][0], CHUNK_BYTES)
            except OSError:
                chunk = b""
            self._proxy.unheard += int(bool(chunk) and self.forgotten and way is Way.TO_SERVER)
            await under_way.put((time.monotonic(), chunk))

    async def _hold(self, read_at: float, chunk: bytes) -> None:
        """Let latency, the rate and a black hole have their time."""
        if (rate := self._proxy.bytes_per_second) is not None:
            await asyncio.sleep(len(chunk) / rate)
        await asyncio.sleep(max(0.0, read_at + self._proxy.latency_seconds - time.monotonic()))
        await self._proxy._open.wait()
        if self.forgotten:
            await asyncio.Event().wait()

    def half_close(self, way: Way) -> None:
        """Tell the receiving end that nothing more comes, and carry nothing more that way."""
        with contextlib.suppress(OSError):
            self._sockets[way][1].shutdown(socket.SHUT_WR)

    def prepare_reset(self) -> None:
        """Let its close send RST to both ends."""
        for end, _ in self._sockets.values():
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def close(self) -> None:
        for end, _ in self._sockets.values():
            end.close()


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _listener(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=1024, reuse_port=True)


class FaultProxy:
    """Listens on loopback and carries each connection to `upstream`: a unix socket, or a host and a port."""

    def __init__(self, upstream: Path | tuple[str, int], seed: int = 0) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self.latency_seconds = 0.0
        """Each way."""
        self.bytes_per_second: float | None = None
        """Of each connection, each way; None: as fast as it goes."""
        self.carried_bytes = dict.fromkeys(Way, 0)
        self.unheard = 0
        """Chunks that were sent on forgotten connections: whoever sent one waits for nothing."""
        self._to_spoil = dict.fromkeys(Way, 0)
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._open = asyncio.Event()
        self._listener = _listener()
        self._accepting: asyncio.Task[None] | None = None
        self.port: int = self._listener.getsockname()[1]
        self._kept = socket.socket()
        """Bound and never listening: while nobody listens, no other process is given the port."""
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._kept.bind(("127.0.0.1", self.port))

    @property
    def redis_url(self) -> str:
        """For a Redis behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def connections(self) -> int:
        """How many there are now, forgotten ones included."""
        return self._do(lambda: len(self._links))

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(ANSWER_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_SECONDS)
        self._loop.close()
        self._kept.close()

    # --- faults --------------------------------------------------------------------------------------------------

    def black_hole(self) -> None:
        """Carry nothing, and tell nobody. A new connection is made, as far as its client can see, and stays silent."""
        self._do(self._open.clear)

    def heal(self, forget: bool = False) -> None:
        """End a black hole, the latency and the rate, and accept again.

        What was held back arrives late, as after a partition that retransmission survives; with `forget`, connections
        of before stay silent for ever, as after a router has lost its table.
        """
        self._do(lambda: self._heal(forget))

    def reset(self) -> None:
        """Break all connections with RST; new ones are made as before."""
        asyncio.run_coroutine_threadsafe(self._reset(), self._loop).result(ANSWER_SECONDS)

    def refuse(self) -> None:
        """Break all connections, and refuse new ones until `heal`, as where no server listens."""
        asyncio.run_coroutine_threadsafe(self._refuse(), self._loop).result(ANSWER_SECONDS)

    def half_close(self, way: Way) -> None:
        """On all present connections, close this direction and leave the other open."""
        self._do(lambda: [link.half_close(way) for link in list(self._links)])

    def corrupt(self, way: Way, chunks: int = 1) -> None:
        """Flip one byte in each of the next `chunks` that are carried this way."""
        self._do(lambda: self._to_spoil.update({way: chunks}))

    # --- inside, on the loop's thread ----------------------------------------------------------------------------

    def _do(self, action: Callable[[], T]) -> T:
        """What the action returns, done on the loop's thread."""

        async def done() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(ANSWER_SECONDS)

    def _start(self) -> None:
        self._open.set()
        self._accept_on(self._listener)

    def _accept_on(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._accepting = self._loop.create_task(self._accept())

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            family = socket.AF_UNIX if isinstance(self._upstream, Path) else socket.AF_INET
            link = _Link(client, socket.socket(family, socket.SOCK_STREAM), self)
            self._links[link] = task = self._loop.create_task(self._serve(link))
            # Closed only once nothing watches it: its number may be the next connection's.
            task.add_done_callback(functools.partial(self._forget, link))

    def _forget(self, link: _Link, _: asyncio.Task[None]) -> None:
        del self._links[link]
        link.close()

    async def _serve(self, link: _Link) -> None:
        await self._open.wait()
        with contextlib.suppress(OSError):
            upstream = str(self._upstream) if isinstance(self._upstream, Path) else self._upstream
            try:
                await self._loop.sock_connect(link.server, upstream)
            except OSError:
                link.prepare_reset()
                return
            await link.carry()

    def _spoilt(self, way: Way, chunk: bytes) -> bytes:
        """The chunk as it arrives."""
        self.carried_bytes[way] += len(chunk)
        if self._to_spoil[way] == 0:
            return chunk
        self._to_spoil[way] -= 1
        place = self._random.randrange(len(chunk))
        return chunk[:place] + bytes([chunk[place] ^ (1 << self._random.randrange(8))]) + chunk[place + 1 :]

    def _heal(self, forget: bool) -> None:
        for link in self._links if forget else ():
            link.forgotten = True
        self.latency_seconds, self.bytes_per_second = 0.0, None
        self._to_spoil = dict.fromkeys(Way, 0)
        self._open.set()
        if self._accepting is None:
            self._accept_on(_listener(self.port))

    async def _reset(self) -> None:
        for link in self._links:
            link.prepare_reset()
        await _cancel(list(self._links.values()))

    async def _refuse(self) -> None:
        if self._accepting is not None:
            await _cancel([self._accepting])
            self._accepting = None
            self._listener.close()
        await self._reset()

    async def _end(self) -> None:
        await self._refuse()
        await _cancel([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
