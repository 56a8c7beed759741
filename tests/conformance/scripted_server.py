"""A server of scripted answers over real HTTP on 127.0.0.1, for whatever a vendor's wire format is."""

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
from typing import Any, Literal, Self


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
    pieces: tuple[bytes, ...] = ()
    """In the body's stead: sent in chunks, each flushed, so that the length is not known before the end."""
    pause_seconds: float = 0.0
    """Between one piece and the next, and before the end."""
    end: Literal["whole", "cut", "held"] = "whole"
    """Of the pieces: with the last chunk, by closing the connection without it, or not before the client hangs up."""


Script = Callable[[Received], Answer]

HELD_SECONDS = 3600.0
"""A delay that no test waits for."""


class ScriptedServer:
    """Serves until the `with` block ends. Safe to use from several threads."""

    def __init__(self, otherwise: Script) -> None:
        """`otherwise` answers what no script does."""
        self.requests: list[Received] = []
        self.hangups = 0
        """Clients that closed their connection while an answer was due."""
        self._script: deque[Answer | Script] = deque()
        self._otherwise = otherwise
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._http = _Server(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="model-server")

    @property
    def root(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def script(self, *answers: Answer | Script, otherwise: Script | None = None) -> Self:
        """Queue answers, or functions of the request that give one; `otherwise` replaces the echo behind them."""
        with self._changed:
            self._script.extend(answers)
            self._otherwise = otherwise or self._otherwise
        return self

    def wait_until(self, holds: Callable[[ScriptedServer], bool], description: str, seconds: float = 60.0) -> None:
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
                self.note_hangup()
                return False
        return not self._closing.is_set()

    def note_hangup(self) -> None:
        """Count a client that did not wait for its answer."""
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

    def __init__(self, owner: ScriptedServer) -> None:
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

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionResetError:
            self.close_connection = True  # the client had enough, and said so between two requests

    def do_POST(self) -> None:
        try:
            self._serve(self.server.owner.take(self._received()))
        except ConnectionError:  # the client hung up, as some tests want it to
            self.close_connection = True
            self.server.owner.note_hangup()

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
        in_chunks = bool(answer.pieces) or answer.end != "whole"
        framing = {"transfer-encoding": "chunked"} if in_chunks else {"content-length": str(len(answer.body))}
        for name, value in {"content-type": answer.content_type, **framing, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if in_chunks:
            self._chunks(answer)
        elif answer.drip_seconds:
            self._drip(answer.body, answer.drip_seconds)
        else:
            self.wfile.write(answer.body[: answer.cut_at])
        self.wfile.flush()
        if answer.cut_at is not None:
            self._break_off(answer.reset)

    def _chunks(self, answer: Answer) -> None:
        for piece in answer.pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
            if answer.pause_seconds and not self.server.owner.wait_out(answer.pause_seconds, self.connection):
                self.close_connection = True
                return
        if answer.end == "whole":
            self.wfile.write(b"0\r\n\r\n")
            return
        if answer.end == "held":
            self.server.owner.wait_out(HELD_SECONDS, self.connection)
        self.close_connection = True

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


def event_stream(*events: str | bytes, fault: str | None = None, **answer: Any) -> Answer:
    """Server-sent events, each a piece: its data, or bytes that go out as they are. Of the adapters' faults it knows
    `cut` and `stalls`; the others are said in events, or in the lack of them."""
    end = {"cut": "cut", "stalls": "held"}.get(fault or "", "whole")
    pieces = tuple(event if isinstance(event, bytes) else f"data: {event}\n\n".encode() for event in events)
    return Answer(pieces=pieces, end=end, **{"content_type": "text/event-stream", **answer})  # type: ignore[arg-type]


def html(status: int = 200) -> Answer:
    """What a proxy answers in a model's stead."""
    return Answer(status, b"<html><body>Sign in to the proxy</body></html>", content_type="text/html")
