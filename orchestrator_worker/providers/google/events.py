"""A streamed answer of Google's, taken from below the SDK.

The SDK can read streams, but only into types of its own: it drops fields that it does not know (`finishMessage` is
one), fails at values that it does not expect, respells signatures, says of an error that has no number only that it
is a `TypeError`, and leaves closing the connection to the garbage collector. So the SDK makes the request and judges
its status, and gets an empty body; the real one is read here, and closed here.

Import it lazily: httpx2 comes with the SDKs, and is not there without one.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextvars import ContextVar

import httpx2

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping
from orchestrator_worker.providers.failures import Failures

FIELDS = (b":", b"event:", b"id:", b"retry:")
"""Starts of the lines of an event stream that hold no data."""


class Held:
    """One streamed answer, once its headers are there."""

    def __init__(self) -> None:
        self.response: httpx2.Response | None = None
        """None until the server has answered with success."""

    @property
    def headers(self) -> httpx2.Headers:
        """Of the answer; none before it is there."""
        return self.response.headers if self.response else httpx2.Headers()

    @property
    def is_event_stream(self) -> bool:
        """Whether it is what was asked for: a gateway may send one document all the same."""
        return str(self.headers.get("content-type", "")).startswith("text/event-stream")

    async def chunks(self, failures: Failures) -> AsyncGenerator[dict[str, Json], None]:
        """The chunks as they come; all at once where it is no event stream, but one document or a list of chunks.

        Raises:
            ModelFailed: one is not JSON.
        """
        if self.response is None:
            return
        if not self.is_event_stream:
            whole = answers.parsed(await self.response.aread(), failures)
            for chunk in whole if isinstance(whole, list) else [whole]:
                yield mapping(chunk)
            return
        events = _Events()
        async with contextlib.aclosing(self.response.aiter_bytes()) as pieces:
            async for piece in pieces:
                for event in events.take(piece):
                    yield mapping(answers.parsed(event, failures))
        for event in events.rest():
            yield mapping(answers.parsed(event, failures))


@contextlib.asynccontextmanager
async def holding() -> AsyncIterator[Held]:
    """Keep the answer to the one call that is made in here from the SDK, and close it at the end."""
    held = Held()
    token = _holding.set(held)
    try:
        yield held
    finally:
        _holding.reset(token)
        if held.response is not None:
            await held.response.aclose()


async def hold(response: httpx2.Response) -> None:
    """Hook of the client, behind the one that caps bodies: runs when the headers are there and the body is not read.

    A refusal is left to the SDK, which makes an error of it.
    """
    held = _holding.get()
    if held is None or response.status_code != httpx2.codes.OK:
        return
    held.response = httpx2.Response(
        response.status_code, headers=response.headers, stream=response.stream, request=response.request
    )
    response.stream = httpx2.ByteStream(b"")


_holding: ContextVar[Held | None] = ContextVar("_holding", default=None)
"""What the hook is to fill: a client makes many calls at once, and the hook sees the task in which one runs."""


class _Events:
    """Splits the bytes of an event stream into the data of its events.

    Google sends some errors as bare JSON between the events; lines without a field's name are data too. Lines end
    with LF or CRLF and nowhere else: JSON may hold other separators of lines.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []

    def take(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that these bytes end."""
        first, *others = piece.split(b"\n")
        self._line += first
        for other in others:
            yield from self._end_line()
            self._line += other

    def rest(self) -> Iterator[bytes]:
        """The data of an event that nothing but the end of the stream has ended."""
        yield from self._end_line()
        yield from self._end_event()

    def _end_line(self) -> Iterator[bytes]:
        line = bytes(self._line).removesuffix(b"\r")
        self._line.clear()
        if not line:
            yield from self._end_event()
        elif not line.startswith(FIELDS):
            self._data.append(line.removeprefix(b"data:"))

    def _end_event(self) -> Iterator[bytes]:
        if self._data:
            yield b"\n".join(self._data)
            self._data.clear()
