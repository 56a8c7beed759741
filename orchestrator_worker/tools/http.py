"""HTTP requests, with a cap on everything that a server can make large: body, redirects and time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
import zlib
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from weakref import WeakKeyDictionary

import httpcore2
import httpx2

from orchestrator_client.contract.catalog.web import HttpParameters, RequestParameters
from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed, ValueTooLarge
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.addresses import Checked
from orchestrator_worker.tools.base import Reach, ToolContext, ToolResult

BODY_BYTES = 16 * 1024 * 1024
"""Of an answer's body, after decompression."""

REDIRECTS = 10
CONNECTIONS = 100
"""Open at a time in one process."""

PASSING = (408, 425, 429)
"""Client errors that another attempt may not meet; those of the server (5xx) are all such."""

KEY_HEADER = "Idempotency-Key"
"""By which services that know it tell a second attempt from a second request."""

SHOWN_CHARACTERS = 300
"""Of the body, in the error for a status of 400 and above."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE = re.compile(r"[\r\n\0]")

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[int, Reach], httpx2.AsyncClient]] = (
    WeakKeyDictionary()
)
"""By loop, by the process that made it, and by what it may reach: connections survive neither the end of a loop nor a
fork, and one that was checked less is not for a tool that is trusted less."""


class _Transport(httpx2.AsyncHTTPTransport):
    """Connects to checked addresses only, and through no proxy: a proxy would resolve the name once more."""

    def __init__(self, reach: Reach) -> None:
        context = httpx2.create_ssl_context()  # slow to make, so one for both
        super().__init__(verify=context)
        # The transport has no other way to say it; `tests/unit/test_addresses.py` fails if it moves.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=CONNECTIONS,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=Checked(reach),
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer read to its end."""

    response: httpx2.Response
    body: bytes
    seconds: float


async def get(context: ToolContext, parameters: HttpParameters) -> ToolResult:
    """GET; the result is that of `request`."""
    return await _exchange("GET", context, parameters)


async def head(context: ToolContext, parameters: HttpParameters) -> ToolResult:
    """HEAD; the result is that of `request`, without a body."""
    return await _exchange("HEAD", context, parameters)


async def post(context: ToolContext, parameters: HttpParameters) -> ToolResult:
    """POST; the result is that of `request`."""
    return await _exchange("POST", context, parameters)


async def put(context: ToolContext, parameters: HttpParameters) -> ToolResult:
    """PUT; the result is that of `request`."""
    return await _exchange("PUT", context, parameters)


async def patch(context: ToolContext, parameters: HttpParameters) -> ToolResult:
    """PATCH; the result is that of `request`."""
    return await _exchange("PATCH", context, parameters)


async def delete(context: ToolContext, parameters: HttpParameters) -> ToolResult:
    """DELETE; the result is that of `request`."""
    return await _exchange("DELETE", context, parameters)


async def request(context: ToolContext, parameters: RequestParameters) -> ToolResult:
    """Any method: `{status_code, headers, text, json, url, elapsed_seconds, content_type}`.

    `json` is the parsed body where the server says that it is JSON, else None; names of headers are in lower case. A
    status of 400 or above is a reported failure.

    Raises:
        ParametersInvalid: the address, method, headers, query or body cannot be sent.
        ToolFailed: the server was not reached, broke off, redirected too often, or took longer than `timeout`.
        ValueTooLarge: the body is larger than `BODY_BYTES`.
    """
    if not _TOKEN.fullmatch(parameters.method) or parameters.method.upper() == "CONNECT":
        raise ParametersInvalid(
            f"http: parameter 'method' was {parameters.method[:60]!r}; name one such as GET or POST"
        )
    return await _exchange(parameters.method.upper(), context, parameters)


async def close_client() -> None:
    """Close the connections of the running loop; the next request opens new ones."""
    for (pid, _), client in _clients.pop(asyncio.get_running_loop(), {}).items():
        if pid == os.getpid():
            await client.aclose()


async def _exchange(method: str, context: ToolContext, parameters: HttpParameters) -> ToolResult:
    """Send one request and read its answer, all within the deadline.

    Errors show the address without its query, where keys are kept.
    """
    client = _client(context.reach)
    prepared = _prepared(client, method, parameters)
    if parameters.idempotency_key:
        prepared.headers.setdefault(KEY_HEADER, context.idempotency_key)
    shown = f"{method} {_public(prepared.url)}"
    try:
        async with asyncio.timeout(parameters.timeout):
            answer = await _answered(client, prepared, parameters.follow_redirects)
    except TimeoutError:
        raise ToolFailed(f"{shown} took longer than its timeout of {parameters.timeout:g} s") from None
    except httpx2.HTTPError as error:
        raise ToolFailed(f"{shown} failed: {error or type(error).__name__} ({type(error).__name__})") from error
    return _result(shown, answer)


def _client(reach: Reach) -> httpx2.AsyncClient:
    """The client of the running loop, made when it is first needed in this process."""
    clients, key = _clients.setdefault(asyncio.get_running_loop(), {}), (os.getpid(), reach)
    if key not in clients:
        clients[key] = httpx2.AsyncClient(
            # The deadline is ours, for the whole exchange: a timeout per read never ends a slow trickle.
            timeout=None,
            transport=_Transport(reach),
            # Runs share the client, and must not share a session: no cookie is ever kept.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
    return clients[key]


def _prepared(client: httpx2.AsyncClient, method: str, parameters: HttpParameters) -> httpx2.Request:
    """The request, with everything in it checked. Header values are sent as UTF-8.

    Raises:
        ParametersInvalid: a part of it cannot be sent, or it has two bodies.
    """
    headers = _headers(parameters)
    content = parameters.body.encode() if parameters.body is not None else None
    if parameters.json_body is not None:
        if content is not None:
            raise ParametersInvalid("http: parameters 'json' and 'body' were both given; a request has one body")
        content = _encoded(parameters.json_body)
        headers.setdefault("content-type", "application/json")
    # Only what the capped decoder below understands may be asked for.
    headers["accept-encoding"] = "gzip"
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return client.build_request(method, _url(parameters), headers=pairs, content=content)


def _url(parameters: HttpParameters) -> httpx2.URL:
    """The address with the query parameters added to those that it has; lists repeat their name.

    Raises:
        ParametersInvalid: it is no http or https address, or a query parameter is nested.
    """
    try:
        url = httpx2.URL(parameters.url)
    except httpx2.InvalidURL as error:
        raise ParametersInvalid(f"http: parameter 'url' was {parameters.url[:100]!r}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65535:
        raise ParametersInvalid(
            f"http: parameter 'url' was {parameters.url[:80]!r}; it is http:// or https://, a host, a port up to 65535"
        )
    for name, value in parameters.query.items():
        values = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list) for item in values):
            raise ParametersInvalid(f"http: query parameter {name!r} is nested; give text, a number or a list of them")
    return url.copy_merge_params(parameters.query)


def _headers(parameters: HttpParameters) -> dict[str, str]:
    """Headers by lower-case name.

    Raises:
        ParametersInvalid: a name is no token, or a value would begin another line.
    """
    for name, value in parameters.headers.items():
        if not _TOKEN.fullmatch(name) or _UNSAFE.search(value):
            raise ParametersInvalid(f"http: header {name[:60]!r} has a line break or another character that it may not")
    return {name.lower(): value.strip() for name, value in parameters.headers.items()}


def _encoded(body: Json) -> bytes:
    """A JSON body, as UTF-8.

    Raises:
        ParametersInvalid: it holds NaN or nests too deep.
    """
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ParametersInvalid(f"http: parameter 'json' cannot be written as JSON: {error}") from error


async def _answered(client: httpx2.AsyncClient, prepared: httpx2.Request, follow: bool) -> _Answer:
    """Send, follow redirects where asked, and read the last answer. Credentials do not follow to another host.

    Raises:
        ToolFailed: there are more than `REDIRECTS`.
    """
    started = time.monotonic()
    for _ in range(REDIRECTS + 1):
        # Followed here, because the client's own way reads the body of every redirect without a cap.
        response = await client.send(prepared, stream=True, follow_redirects=False)
        try:
            if not follow or response.next_request is None:
                return _Answer(response, await _body(response), time.monotonic() - started)
            prepared = response.next_request
        finally:
            await response.aclose()
    raise ToolFailed(f"more than {REDIRECTS} redirects, the last one to {_public(prepared.url)}")


async def _body(response: httpx2.Response) -> bytes:
    """The body, unpacked, read no further than the cap; the connection of one that is longer is dropped.

    Raises:
        ValueTooLarge: it is longer.
        ToolFailed: it is broken, cut, or in an encoding that was not asked for.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    compressed = encoding in ("gzip", "x-gzip")
    if not compressed and encoding not in ("", "identity"):
        raise ToolFailed(f"{_public(response.url)} answered in encoding {encoding!r}, which was not asked for")
    inflated = _Inflated()
    body = inflated.body
    async for chunk in response.aiter_raw():
        if compressed:
            inflated.add(chunk)
        else:
            body += chunk
        if len(body) > BODY_BYTES:
            raise ValueTooLarge(
                f"the body of {_public(response.url)} is larger than {BODY_BYTES} bytes; ask for less of it"
            )
    if compressed and not inflated.complete:
        raise ToolFailed(f"the compressed body of {_public(response.url)} breaks off before its end")
    return bytes(body)


class _Inflated:
    """A compressed body as it unfolds, never further than one byte past the cap: a bomb is not unpacked."""

    _GZIP = zlib.MAX_WBITS | 16

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = True
        """Whether nothing is missing at the end."""
        self._stream = zlib.decompressobj(self._GZIP)

    def add(self, chunk: bytes) -> None:
        """Unpack the next piece.

        Raises:
            ToolFailed: it is not what its header says.
        """
        while chunk and len(self.body) <= BODY_BYTES:
            try:
                self.body += self._stream.decompress(chunk, BODY_BYTES + 1 - len(self.body))
            except zlib.error as error:
                raise ToolFailed(f"the compressed body is broken: {error}") from None
            self.complete = self._stream.eof
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            if self._stream.eof:
                self._stream = zlib.decompressobj(self._GZIP)


def _result(shown: str, answer: _Answer) -> ToolResult:
    """The tool's result. The `Set-Cookie` and other repeated headers are joined by commas."""
    response = answer.response
    content_type = response.headers.get("content-type", "")
    text = _text(response, answer.body)
    parsed, warnings = _parsed(content_type, text)
    output: dict[str, Json] = {
        "status_code": response.status_code,
        "headers": dict(response.headers),
        "text": text,
        "json": parsed,
        "url": str(response.url.copy_with(userinfo=b"")),
        "elapsed_seconds": round(answer.seconds, 3),
        "content_type": content_type,
    }
    failed = response.status_code >= 400
    error = f"HTTP {response.status_code} {response.reason_phrase} from {shown}: {text[:SHOWN_CHARACTERS]}"
    retryable = response.status_code >= 500 or response.status_code in PASSING
    return ToolResult(output, not failed, error if failed else None, warnings, retryable)


def _text(response: httpx2.Response, body: bytes) -> str:
    """The body as text by the charset that the server names, else UTF-8; what does not decode is replaced."""
    try:
        return body.decode(response.charset_encoding or "utf-8", errors="replace")
    except LookupError:
        return body.decode(errors="replace")


def _parsed(content_type: str, text: str) -> tuple[Json, tuple[str, ...]]:
    """The body as JSON and no warning, or None and why it is not what the server says."""
    kind = content_type.partition(";")[0].strip().lower()
    if not text or not (kind == "application/json" or kind.endswith("+json")):
        return None, ()
    try:
        return json.loads(text, parse_constant=_not_json), ()
    except (ValueError, RecursionError) as error:
        return None, (f"the server calls its body {kind}, but it does not parse: {error}",)


def _not_json(constant: str) -> Json:
    """Refuse NaN and infinities, which Python reads though no JSON has them."""
    raise ValueError(f"{constant} is not JSON")


def _public(url: httpx2.URL) -> str:
    """The address without credentials and query, where keys are kept."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}"
