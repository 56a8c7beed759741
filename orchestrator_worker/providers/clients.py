"""A vendor's clients: connections cannot be shared between event loops, nor carried over a fork."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """All that is asked of a client here; how it makes calls is the business of who made it."""

    async def close(self) -> None: ...


Client = TypeVar("Client", bound=Closable)


class Clients(Generic[Client]):
    """One client, with a pool of connections of its own, for each key, loop and process."""

    def __init__(self, connect: Callable[[str], Client]) -> None:
        """`connect` makes a client with a key."""
        self._connect = connect
        # The loop itself, not its id: that of a loop which is gone may be another's by now.
        self._clients: dict[tuple[int, asyncio.AbstractEventLoop, str], Client] = {}

    def here(self, key: str) -> Client:
        """The running loop's client for this key; the first call makes it."""
        here = os.getpid(), asyncio.get_running_loop(), key
        client = self._clients.get(here)
        if client is None:
            self._forget_the_gone()
            client = self._clients[here] = self._connect(key)
        return client

    async def close(self) -> None:
        """Close the running loop's connections. The next call opens new ones."""
        here = os.getpid(), asyncio.get_running_loop()
        for place in [place for place in self._clients if place[:2] == here]:
            await self._clients.pop(place).close()

    def _forget_the_gone(self) -> None:
        """Drop the clients of closed loops, and those that a fork copied: their sockets belong to the parent."""
        for place in list(self._clients):
            pid, loop, _ = place
            if pid != os.getpid() or loop.is_closed():
                # Another thread may have dropped it in between.
                self._clients.pop(place, None)
