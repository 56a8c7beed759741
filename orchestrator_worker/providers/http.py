"""The HTTP side that all SDKs share: one pool of connections a client, and a cap on what a server may send.

Import it lazily: httpx2 comes with the SDKs, and is not there without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_worker.providers.failures import Failures

BODY_CAP_BYTES = 16 * 1024 * 1024
"""Of an answer, after decompression. The longest text that a model writes is well under 1 MiB."""

ERROR_CAP_BYTES = 64 * 1024
"""Of an error's body, after decompression."""

CONNECT_SECONDS = 5.0
"""A handshake that takes longer is not going to end: a wrong address must fail before the step's time is up."""


DRAIN_SECONDS = 0.1
"""For what a server sends behind the end of a stream: a connection that is not read to its end serves no other call."""


class BodyTooLarge(Exception):
    """The server sent more than the cap; the rest was not read."""

    def __init__(self, cap_bytes: int) -> None:
        super().__init__(f"more than {cap_bytes} bytes; the rest was not read")


def pooled_client() -> httpx2.AsyncClient:
    """A client for one event loop, with as many connections as the SDKs open by default.

    How many calls are made at once is the worker's concurrency, so the pool must not be what holds them up. Whatever
    the SDK asks for, connecting ends after `CONNECT_SECONDS` and a body at its cap.
    """
    return httpx2.AsyncClient(
        limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=30.0),
        follow_redirects=True,
        event_hooks={"request": [_cap_connecting], "response": [_cap_body]},
    )


def warm() -> None:
    """Import what the library loads only for its first client: the transport, and the machine's certificates."""
    httpx2.AsyncClient()


def failure(
    error: Exception, failures: Failures, seconds: float, wrapper: type[Exception] | None = None
) -> ModelFailed:
    """What an error of the HTTP library, or of the caps here, means for an attempt that had `seconds`.

    SDKs that wrap such errors do it up to the headers only, in a `wrapper`. Anything else is a request that could not
    be made.
    """
    if wrapper and isinstance(error, wrapper) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    match error:
        case BodyTooLarge():
            return failures.bad_response("too large", str(error))
        case httpx2.ConnectTimeout():
            return failures.unreachable(_host(error.request), "connecting took too long")
        case httpx2.TimeoutException():
            return failures.late(seconds)
        case httpx2.RequestError() if not isinstance(error, httpx2.UnsupportedProtocol):
            return failures.unreachable(_host(error.request), str(error) or type(error).__name__)
    return failures.unsent(f"{type(error).__name__}: {error}")


async def drain(rest: AsyncIterator[object]) -> None:
    """Read what is left of a stream whose reply is whole, for `DRAIN_SECONDS` at most."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in rest:
                continue
    except Exception:  # noqa: BLE001
        # Whatever goes wrong behind the end is not the reply's business: it costs the connection, which is closed.
        return


def _host(request: httpx2.Request) -> str:
    """Host and port, without the user and password that a URL may hold."""
    return request.url.netloc.decode()


class _Capped(httpx2.AsyncByteStream):
    """An answer's body, decompressed, that ends with `BodyTooLarge` instead of going on for ever.

    Iterated again, it goes on where it was left: so SDKs read what stands behind the end of a stream.
    """

    def __init__(self, response: httpx2.Response, cap_bytes: int) -> None:
        self._body = httpx2.Response(
            response.status_code, headers=response.headers, stream=response.stream, request=response.request
        )
        self._chunks = self._body.aiter_bytes()
        self._cap_bytes = self._left_bytes = cap_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._left_bytes -= len(chunk)
            if self._left_bytes < 0:
                raise BodyTooLarge(self._cap_bytes)
            yield chunk

    async def aclose(self) -> None:
        await self._chunks.aclose()
        await self._body.aclose()


async def _cap_body(response: httpx2.Response) -> None:
    """Hook of the client: runs when the headers are there and the body is not read yet.

    SDKs read bodies whole, whatever their size, so it is the stream that must end.
    """
    response.stream = _Capped(response, ERROR_CAP_BYTES if response.is_error else BODY_CAP_BYTES)
    response.headers.pop("content-encoding", None)


async def _cap_connecting(request: httpx2.Request) -> None:
    """Hook of the client: an SDK may know one timeout for everything, which is far too long to connect."""
    timeouts = request.extensions["timeout"]
    timeouts["connect"] = min(timeouts["connect"] or CONNECT_SECONDS, CONNECT_SECONDS)
