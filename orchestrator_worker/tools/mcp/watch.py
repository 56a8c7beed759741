"""What a session's messages tell beside their content: how they ended, and whether there were too many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import anyio

MESSAGES = 5_000
"""Messages of one server within `MESSAGES_SECONDS`: more are a flood, which would starve every other call. Progress
that a person can read comes at a hundredth of that."""
MESSAGES_SECONDS = 10.0

RUBBISH_LINES = 200
"""Lines that are no messages, which a server may write to its stdout before it is ended."""

SHOWN_BYTES = 200


class Watch:
    """Follows one session."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        """No message will come any more."""
        self.fault = ""
        """Why it ended, or was ended, as far as we know."""
        self.rubbish = ""
        """The first line that was no message."""
        self.unsent = False
        """The server takes no call of this session: it is not there, or does not know the session."""
        self._since, self._messages, self._rubbish_lines = 0.0, 0, 0

    def count(self) -> bool:
        """Count a message; False if there are too many."""
        now = asyncio.get_running_loop().time()
        if now - self._since > MESSAGES_SECONDS:
            self._since, self._messages = now, 0
        self._messages += 1
        if self._messages > MESSAGES:
            self.fault = f"it sent more than {MESSAGES} messages within {MESSAGES_SECONDS:g} s, and was ended"
        return self._messages <= MESSAGES

    def refuse(self, line: bytes) -> bool:
        """Count a line that is no message; False if there are too many."""
        self.rubbish = self.rubbish or line[:SHOWN_BYTES].decode(errors="replace").strip()
        self._rubbish_lines += 1
        if self._rubbish_lines > RUBBISH_LINES:
            self.fault = f"it wrote more than {RUBBISH_LINES} lines that are no messages to its stdout, and was ended"
        return self._rubbish_lines <= RUBBISH_LINES

    @property
    def words(self) -> str:
        """What is known of the end, with the first line that was no message."""
        rubbish = f"its stdout, which is for messages, has {self.rubbish!r}" if self.rubbish else ""
        return "; ".join(filter(None, (self.fault, rubbish))) or "the connection closed"


class Reading:
    """Messages from a server, as the SDK reads a stream: up to the first that is too much."""

    def __init__(self, receive: Callable[[], Awaitable[Any]], watch: Watch) -> None:
        self._receive, self._watch = receive, watch

    async def receive(self) -> Any:
        """The next message.

        Raises:
            anyio.EndOfStream: there is none.
        """
        try:
            message = await self._receive()
            if not self._watch.count():
                raise anyio.EndOfStream
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._watch.over.set()
            raise anyio.EndOfStream from None
        return message

    async def aclose(self) -> None:
        """Whoever opened the stream closes it."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


class Writing:
    """Messages to a server, as the SDK writes to a stream."""

    def __init__(self, write: Callable[[Any], Awaitable[None]]) -> None:
        self._write = write

    async def send(self, item: Any) -> None:
        """Send one message.

        Raises:
            anyio.BrokenResourceError: nobody reads any more.
        """
        try:
            await self._write(item)
        except OSError:
            raise anyio.BrokenResourceError from None

    async def aclose(self) -> None:
        """Whoever opened the stream closes it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...
