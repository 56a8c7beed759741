"""A vendor's clients: connections cannot be shared between event loops, nor carried over a fork."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    async def close(self) -> None: ...


Client = TypeVar("Client", bound=Closable)


class Clients(Generic[Client]):
    """One client, with a pool of connections of its own, for each loop of each process."""

    def __init__(self, connect: Callable[[str], Client]) -> None:
        """`connect` makes a client with a key."""
        self._connect = connect
        self._clients: dict[tuple[int, asyncio.AbstractEventLoop], Client] = {}

    def here(self, key: str) -> Client:
        """The running loop's client; the first call makes it."""
        here = os.getpid(), asyncio.get_running_loop()
        client = self._clients.get(here)
        if client is None:
            self._forget_the_gone()
            client = self._clients[here] = self._connect(key)
        return client

    async def close(self) -> None:
        """Close the running loop's connections. The next call opens new ones."""
        client = self._clients.pop((os.getpid(), asyncio.get_running_loop()), None)
        if client is not None:
            await client.close()

    def _forget_the_gone(self) -> None:
        """Drop the clients of closed loops, and those that a fork copied: their sockets belong to the parent."""
        for pid, loop in list(self._clients):
            if pid != os.getpid() or loop.is_closed():
                self._clients.pop((pid, loop), None)
