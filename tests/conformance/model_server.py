"""A model server of our own: scripted answers over real HTTP on 127.0.0.1, in OpenAI's documented wire format.

    with ModelServer() as server:
        server.script(error(429, code="rate_limit_exceeded", headers={"retry-after": "2"}), text("hello"))
        ...                                     # point a provider, or a worker's OPENAI_BASE_URL, at server.url
        assert server.requests[0].body["model"] == "gpt-4o-mini"

Answers are taken from the script in the order in which requests come; once it is empty, the server echoes the last
message. It serves this process and any other on the machine.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    """Parsed JSON; text if it is none."""
    at: float
    """Seconds, monotonic."""
    port: int
    """The client's port: one a connection."""


@dataclass(frozen=True)
class Answer:
    """One answer, and how it goes wrong."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay_seconds: float = 0.0
    """Before the first byte; cut short when the client hangs up or the server closes."""
    cut_at: int | None = None
    """Bytes of the body to send before the connection is closed, although the header announces all of it."""
    drip_seconds: float = 0.0
    """Between one byte of the body and the next."""
    reset: bool = False
    """Close with RST instead of FIN, where `cut_at` closes."""


Script = Callable[[Received], Answer]

HELD_SECONDS = 3600.0
"""A delay that no test waits for."""


class ModelServer:
    """Serves until the `with` block ends. Safe to use from several threads."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.hangups = 0
        """Clients that closed their connection while an answer was due."""
        self._script: deque[Answer | Script] = deque()
        self._otherwise: Script = echo
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._http = _Server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="model-server")

    @property
    def root(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL takes."""
        return f"{self.root}/v1"

    def script(self, *answers: Answer | Script, otherwise: Script | None = None) -> Self:
        """Queue answers, or functions of the request that give one; `otherwise` replaces the echo behind them."""
        with self._changed:
            self._script.extend(answers)
            self._otherwise = otherwise or self._otherwise
        return self

    def wait_until(self, holds: Callable[[ModelServer], bool], description: str, seconds: float = 10.0) -> None:
        """Wait for something to be true of this server, woken by every request and hang-up."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self), seconds), f"never came about: {description}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.hang_up()
        self._http.server_close()

    def take(self, received: Received) -> Answer:
        """Note a request and decide its answer."""
        with self._changed:
            self.requests.append(received)
            self._changed.notify_all()
            step = self._script.popleft() if self._script else self._otherwise
        return step if isinstance(step, Answer) else step(received)

    def wait_out(self, seconds: float, client: socket.socket) -> bool:
        """Wait `seconds`; False as soon as the client has hung up or the server closes."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._closing.is_set():
            readable, _, _ = select.select([client], [], [], min(left, 0.02))
            if readable and not _alive(client):
                self._note_hangup()
                return False
        return not self._closing.is_set()

    def _note_hangup(self) -> None:
        with self._changed:
            self.hangups += 1
            self._changed.notify_all()


def _alive(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except ConnectionError:
        return False


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False

    def __init__(self, owner: ModelServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep alive, so that their threads end."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        try:
            self._serve(self.server.owner.take(self._received()))
        except ConnectionError:
            self.close_connection = True  # the client hung up, as some tests want it to

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Nothing: the requests are in the record."""

    def _received(self) -> Received:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw.decode(errors="replace")
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Received(self.command, self.path, headers, body, time.monotonic(), self.client_address[1])

    def _serve(self, answer: Answer) -> None:
        if answer.delay_seconds and not self.server.owner.wait_out(answer.delay_seconds, self.connection):
            self.close_connection = True
            return
        self.send_response(answer.status)
        headers = {"content-type": answer.content_type, "content-length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.drip_seconds:
            self._drip(answer.body, answer.drip_seconds)
        else:
            self.wfile.write(answer.body[: answer.cut_at])
        self.wfile.flush()
        if answer.cut_at is not None:
            self._break_off(answer.reset)

    def _drip(self, body: bytes, pause_seconds: float) -> None:
        for byte in body:
            self.wfile.write(bytes([byte]))
            if not self.server.owner.wait_out(pause_seconds, self.connection):
                self.close_connection = True
                return

    def _break_off(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            # A linger time of zero makes the kernel send RST when the socket is closed.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def echo(received: Received) -> Answer:
    """The last message back, a word a token, cut at `max_output_tokens`."""
    body = received.body
    said = " ".join(str(item.get("content", "")) for item in body["input"])
    words = str(body["input"][-1]["content"]).split()
    limit = body.get("max_output_tokens") or len(words)
    return text(
        " ".join(words[:limit]),
        model=body["model"],
        finish_reason="length" if limit < len(words) else "stop",
        input_tokens=len(said.split()),
        output_tokens=min(limit, len(words)),
    )


def text(
    content: str,
    *,
    model: str = "gpt-4o-mini-2024-07-18",
    finish_reason: str = "stop",
    input_tokens: int = 10,
    cached_tokens: int = 0,
    output_tokens: int = 5,
    reasoning_tokens: int = 0,
    **answer: Any,
) -> Answer:
    """A response with one message. `finish_reason`: stop, length or content_filter."""
    usage = {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": cached_tokens, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "total_tokens": input_tokens + output_tokens,
    }
    parts = [{"type": "output_text", "text": content, "annotations": [], "logprobs": []}]
    return response(parts, model=model, finish_reason=finish_reason, usage=usage, **answer)


def response(
    parts: list[dict[str, Any]],
    *,
    model: str = "gpt-4o-mini-2024-07-18",
    finish_reason: str = "stop",
    usage: dict[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    **answer: Any,
) -> Answer:
    """A response object; `fields` replaces fields of it."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish_reason)
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": parts}
    document = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_750_000_000,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": model,
        "output": [{"id": "rs_1", "type": "reasoning", "summary": []}, message],
        "usage": usage,
        **(fields or {}),
    }
    return Answer(body=json.dumps(document).encode(), **answer)


def error(
    status: int,
    message: str = "the server says no",
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    **answer: Any,
) -> Answer:
    """An error with OpenAI's body."""
    document = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Answer(status=status, body=json.dumps(document).encode(), **answer)


def html(status: int = 200) -> Answer:
    """What a proxy answers in a model's stead."""
    return Answer(status, b"<html><body>Sign in to the proxy</body></html>", content_type="text/html")
