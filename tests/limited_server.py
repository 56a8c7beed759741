"""A model server that enforces an account's limits, as a process of its own, and keeps a journal of what it was asked.

    with LimitedServer(Terms(regime=Regime.BUCKET, requests_per_minute=600)) as server:
        ...                                        # workers call server.url, with prompts made by `marked`
        assert not server.journal().answered_twice

It speaks OpenAI's Responses API on 127.0.0.1 and keeps as many connections open as clients want. Who the calls of a
worker belong to is told by a mark in their prompt. All times are seconds since 1970, by this machine's clock.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.conformance import openai_wire
from tests.conformance.scripted_server import Answer
from tests.rate_regimes import Meter, Regime, meter

_MARK = re.compile(rb"\[\[([\w.-]+):([\w.-]+)\]\]")


def marked(run: str, call: str, text: str = "Say something.") -> str:
    """A prompt by which the server knows whose call it is. Letters, digits, `.`, `_` and `-` in both names."""
    return f"[[{run}:{call}]] {text}"


@dataclass(frozen=True)
class Terms:
    """What the account is allowed, and how the server answers."""

    regime: Regime = Regime.NONE
    requests_per_minute: int = 600
    tokens_per_minute: int | None = None
    """Counted as the answer will use them; None: not counted."""
    capacity: int | None = None
    """Requests that a full bucket holds; None: a minute's worth."""
    headers: bool = False
    """Whether answers tell the limits."""
    latency_seconds: float = 0.0
    """From a request to its answer, or to the first event of a stream. Refusals come at once."""
    input_tokens: int = 20
    """Usage that every answer states; output is cut at the request's `max_output_tokens`."""
    output_tokens: int = 5
    pause_seconds: float = 0.0
    """Of a stream: between one event and the next."""


@dataclass(slots=True)
class Entry:
    """One request, as it came and as it went."""

    at: float
    run: str
    call: str
    status: int
    port: int
    """The client's: one a connection."""
    spoken: float | None = None
    """When the first piece of text was sent; None where nothing was streamed."""
    ended: float | None = None
    """When the answer was sent, or the client hung up before; None while it is under way."""
    delivered: bool = False
    """Whether the connection was there to take the answer."""


@dataclass
class Journal:
    """What the server was asked since it began, or since `forget`."""

    entries: list[Entry]
    most_in_flight: int

    @cached_property
    def answered(self) -> list[Entry]:
        """Requests that were let through, in the order in which they came."""
        return [entry for entry in self.entries if entry.status == 200]

    @property
    def refused(self) -> list[Entry]:
        """Answered with 429."""
        return [entry for entry in self.entries if entry.status == 429]

    @property
    def answered_twice(self) -> list[tuple[str, str]]:
        """Run and call of those that were let through more than once: somebody pays twice."""
        counts = Counter((entry.run, entry.call) for entry in self.answered)
        return [call for call, count in counts.items() if count > 1]


class Account:
    """The server's books: meters, the journal and what it was told to refuse."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.refusals: deque[float] = deque()
        """Seconds to tell those who come next to wait, whatever the limits say; 0 lets one through."""
        self.connections: set[_Connection] = set()
        self.forget()

    def forget(self) -> None:
        """Begin anew, with full meters and an empty journal."""
        self.entries: list[Entry] = []
        self.in_flight = self.most_in_flight = 0
        terms, now = self.terms, time.time()
        self._meters: dict[str, Meter] = {}
        if terms.regime is not Regime.NONE:
            self._meters["requests"] = meter(terms.regime, terms.requests_per_minute, now, terms.capacity)
            if terms.tokens_per_minute:
                self._meters["tokens"] = meter(terms.regime, terms.tokens_per_minute, now)

    def enter(self, run: str, call: str, port: int, tokens: int) -> tuple[Entry, float, str]:
        """Note a request. Returns its entry, the seconds to wait if it is refused (else 0), and by which limit."""
        now, amounts = time.time(), {"requests": 1, "tokens": tokens}
        waits = {name: one.wait_seconds(now, amounts[name]) for name, one in self._meters.items()}
        name = max(waits, key=lambda dimension: waits[dimension], default="requests")
        wait = self.refusals.popleft() if self.refusals else waits.get(name, 0.0)
        entry = Entry(now, run, call, 429 if wait else 200, port)
        self.entries.append(entry)
        if not wait:
            for dimension, one in self._meters.items():
                one.take(now, amounts[dimension])
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return entry, wait, name

    def end(self, entry: Entry, delivered: bool) -> None:
        """Note the end of an answer that was let through."""
        entry.ended, entry.delivered = time.time(), delivered
        if entry.status == 200:
            self.in_flight -= 1

    def headers(self) -> dict[str, str]:
        """What OpenAI tells of the limits with every answer, if this server does."""
        if not self.terms.headers:
            return {}
        told, now = {}, time.time()
        for name, one in self._meters.items():
            told[f"x-ratelimit-limit-{name}"] = str(one.limit)
            told[f"x-ratelimit-remaining-{name}"] = str(int(one.remaining(now) + 1e-9))
            told[f"x-ratelimit-reset-{name}"] = _go_duration(one.reset_seconds(now))
        return told

    def report(self, entries: bool) -> dict[str, Any]:
        """Its state as JSON; with `entries`, the journal too."""
        state = {"in_flight": self.in_flight, "most_in_flight": self.most_in_flight, "requests": len(self.entries)}
        return state | ({"entries": [asdict(entry) for entry in self.entries]} if entries else {})


def _go_duration(seconds: float) -> str:
    """As OpenAI spells it: `120ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.3g}s" if minutes else f"{rest:.4g}s"


def _refusal(terms: Terms, name: str, wait: float) -> tuple[bytes, dict[str, str]]:
    """OpenAI's body of a 429, and the headers that say when to come back."""
    limit = terms.requests_per_minute if name == "requests" else terms.tokens_per_minute
    unit = "requests per min (RPM)" if name == "requests" else "tokens per min (TPM)"
    message = f"Rate limit reached on {unit}: Limit {limit}. Please try again in {_go_duration(wait)}."
    body = openai_wire.error(429, message, kind=name, code="rate_limit_exceeded").body
    return body, {"retry-after": str(max(1, ceil(wait))), "retry-after-ms": str(max(1, ceil(wait * 1000)))}


class _Connection(asyncio.Protocol):
    """One client, asking one thing at a time."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._received = bytearray()
        self._under_way: Entry | None = None
        self._next: tuple[asyncio.TimerHandle, Callable[[], None]] | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._port = transport.get_extra_info("peername")[1]
        self._account.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._account.connections.discard(self)
        if self._next:
            self._next[0].cancel()
        if self._under_way:
            self._account.end(self._under_way, delivered=False)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._received[:head_end]).decode("latin-1")
        length = re.search(r"(?im)^content-length:\s*(\d+)", head)
        whole = head_end + 4 + (int(length[1]) if length else 0)
        if len(self._received) < whole:
            return
        body = bytes(self._received[head_end + 4 : whole])
        del self._received[:whole]
        path = head.split(" ", 2)[1]
        if path.startswith("/control/"):
            self._send(200, json.dumps(self._control(path.rpartition("/")[2], json.loads(body or b"{}"))).encode())
        else:
            self._answer(body)

    def _control(self, verb: str, options: Mapping[str, Any]) -> dict[str, Any]:
        account = self._account
        match verb:
            case "refuse":
                account.refusals.extend([0.0] * options["after"] + [options["seconds"]] * options["times"])
            case "release":
                account.terms = replace(account.terms, latency_seconds=0.0)
                for connection in account.connections:
                    connection.hurry()
            case "forget":
                account.forget()
            case "terms":
                account.terms = Terms(**{**options, "regime": Regime(options["regime"])})
                account.forget()
        return account.report(entries=verb == "journal")

    def _answer(self, body: bytes) -> None:
        """Let a call through or refuse it; what was let through is answered after the latency."""
        terms, asked = self._account.terms, json.loads(body)
        mark = _MARK.search(body)
        run, call = (mark[1].decode(), mark[2].decode()) if mark else ("", "")
        output = min(terms.output_tokens, asked.get("max_output_tokens") or terms.output_tokens)
        entry, wait, name = self._account.enter(run, call, self._port, terms.input_tokens + output)
        if wait:
            refusal, headers = _refusal(terms, name, wait)
            self._send(429, refusal, {**headers, **self._account.headers()})
            self._account.end(entry, delivered=True)
            return
        self._under_way = entry
        usage = {"model": asked["model"], "input_tokens": terms.input_tokens, "output_tokens": output}
        if output < terms.output_tokens:
            usage["finish_reason"] = "length"
        words = [f"word{number} " for number in range(min(output, 20))]
        if asked.get("stream"):
            answer = openai_wire.stream(*words, **usage)
            self._after(terms.latency_seconds, lambda: self._begin_stream(answer))
        else:
            answer = openai_wire.text("".join(words), **usage)
            self._after(terms.latency_seconds, lambda: self._deliver(answer))

    def _after(self, seconds: float, step: Callable[[], None]) -> None:
        if seconds:
            self._next = self._loop.call_later(seconds, step), step
        else:
            step()

    def hurry(self) -> None:
        """Do now what would be done later of an answer that is under way."""
        if self._under_way and self._next:
            timer, step = self._next
            timer.cancel()
            step()

    def _deliver(self, answer: Answer) -> None:
        # Booked before it is sent, or a fast client would ask for the journal before the entry is closed.
        self._close_entry()
        self._send(200, answer.body, self._account.headers())

    def _begin_stream(self, answer: Answer) -> None:
        headers = {"content-type": answer.content_type, "transfer-encoding": "chunked", **self._account.headers()}
        self._transport.write(_head(200, headers))
        self._speak(iter(answer.pieces))

    def _speak(self, pieces: Iterator[bytes]) -> None:
        """Send the next event of a stream, and see to those behind it."""
        piece = next(pieces, None)
        if piece is None:
            self._close_entry()
            self._transport.write(b"0\r\n\r\n")
            return
        if self._under_way and not self._under_way.spoken and b"output_text.delta" in piece:
            self._under_way.spoken = time.time()
        self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self._after(self._account.terms.pause_seconds, lambda: self._speak(pieces))

    def _close_entry(self) -> None:
        if self._under_way:
            self._account.end(self._under_way, delivered=True)
            self._under_way = None

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        length = {"content-type": "application/json", "content-length": str(len(body))}
        self._transport.write(_head(status, {**length, **(headers or {})}) + body)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    phrase = {200: "OK", 429: "Too Many Requests"}[status]
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def serve(terms: Terms) -> None:
    """Serve until standard input ends, which it does when the parent does; the first line of output is the address."""
    loop, account, ended = asyncio.get_running_loop(), Account(terms), asyncio.Event()
    server = await loop.create_server(lambda: _Connection(account), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 1024) else ended.set())
    await ended.wait()


@dataclass
class LimitedServer:
    """The server's process, from within a `with` block."""

    terms: Terms = field(default_factory=Terms)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.limited_server", json.dumps(asdict(self.terms))]
        folder = Path(__file__).parent.parent
        self._process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.root = self._process.stdout.readline().decode().strip()
        if not self.root:
            raise RuntimeError(f"the limited server ended with code {self._process.wait()} before it could serve")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, at which it ends

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL takes."""
        return f"{self.root}/v1"

    def refuse_next(self, seconds: float, times: int = 1, after: int = 0) -> None:
        """Answer the next `times` requests with 429 and this `retry-after`, whatever the limits say; those behind the
        next `after`, which are let through."""
        self._control("refuse", seconds=seconds, times=times, after=after)

    def release(self) -> None:
        """Answer all that is under way, and from now on without latency."""
        self._control("release")

    def forget(self) -> None:
        """Begin with an empty journal and full meters; nothing may be under way."""
        self._control("forget")

    def change(self, terms: Terms) -> None:
        """Answer by other terms, with an empty journal and full meters; nothing may be under way."""
        self._control("terms", **asdict(terms))

    def in_flight(self) -> int:
        """Calls that are being answered now."""
        return int(self._control("state")["in_flight"])

    def requests(self) -> int:
        """Requests so far, refused ones among them."""
        return int(self._control("state")["requests"])

    def journal(self) -> Journal:
        """All that happened."""
        told = self._control("journal")
        return Journal([Entry(**entry) for entry in told["entries"]], told["most_in_flight"])

    def _control(self, verb: str, **options: Any) -> dict[str, Any]:
        with _connection(self.root) as connection:
            connection.request("POST", f"/control/{verb}", json.dumps(options))
            reply: dict[str, Any] = json.loads(connection.getresponse().read())
        return reply


@contextmanager
def _connection(root: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(root).netloc, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    asyncio.run(serve(Terms(**{**told, "regime": Regime(told["regime"])})))
