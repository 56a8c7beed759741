"""The HTTP side that all SDKs share: one pool of connections a client, and a cap on what a server may send.

Import it lazily: httpx2 comes with the SDKs, and is not there without one.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

import httpx2

BODY_CAP_BYTES = 16 * 1024 * 1024
"""Of an answer, after decompression. The longest text that a model writes is well under 1 MiB."""

ERROR_CAP_BYTES = 64 * 1024
"""Of an error's body as it comes over the wire; SDKs read these whole, whatever their size."""

CONNECT_SECONDS = 5.0
"""A handshake that takes longer is not going to end: a wrong address must fail before the step's time is up."""


class BodyTooLarge(Exception):
    """The server sent more than the cap; the rest was not read."""

    def __init__(self, cap_bytes: int) -> None:
        super().__init__(f"more than {cap_bytes} bytes; the rest was not read")


def pooled_client() -> httpx2.AsyncClient:
    """A client for one event loop, with as many connections as the SDKs open by default.

    How many calls are made at once is the worker's concurrency, so the pool must not be what holds them up.
    """
    return httpx2.AsyncClient(
        limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=30.0),
        follow_redirects=True,
        event_hooks={"response": [_cap_error_body]},
    )


def timeouts(seconds: float) -> httpx2.Timeout:
    """`seconds` for each read and write; connecting takes `CONNECT_SECONDS` or never succeeds."""
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


async def read_capped(chunks: AsyncIterable[bytes]) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: it is longer than `BODY_CAP_BYTES`.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > BODY_CAP_BYTES:
            raise BodyTooLarge(BODY_CAP_BYTES)
    return bytes(body)


class _Capped(httpx2.AsyncByteStream):
    """A stream that ends with `BodyTooLarge` instead of going on for ever.

    Counts bytes as they come, so a compressed body may grow behind it, with gzip to 64 MiB at worst.
    """

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = ERROR_CAP_BYTES
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise BodyTooLarge(ERROR_CAP_BYTES)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _cap_error_body(response: httpx2.Response) -> None:
    """Hook of the client: runs when the headers are there and the body is not read yet."""
    if response.is_error and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Capped(response.stream)
