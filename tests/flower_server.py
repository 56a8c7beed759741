"""Flower with the pages of runs, as a process of its own, and a caller that speaks plain HTTP to it."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any

from orchestrator_client.cli.fleet import flower_arguments
from tests.standing_fleet import StandingFleet

WAIT_SECONDS = 60
"""Longest that a reply, or a stream's next line, may take on a machine that is busy."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Message
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def payload(self) -> Any:
        """What a page's script starts from."""
        found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', self.text, re.S)
        assert found is not None, self.text[:500]
        return json.loads(found[1])


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=WAIT_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


@dataclass
class FlowerServer:
    """One Flower. `options` are its environment."""

    fleet: StandingFleet
    options: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    unix_socket: Path | None = None

    def __post_init__(self) -> None:
        options = dict(self.options)
        if self.prefix:
            options["FLOWER_URL_PREFIX"] = self.prefix
        if self.unix_socket:
            options["FLOWER_UNIX_SOCKET"] = str(self.unix_socket)
        # A port that is free now may be another's by the time it listens: it takes one itself, and says which.
        self.program = self.fleet.start_program(f"flower-{token_hex(4)}", *flower_arguments(0), **options)

    @cached_property
    def port(self) -> int:
        """Where it listens.

        Raises:
            ConnectionRefusedError: it does not yet.
        """
        found = re.search(r"Visit me at http://\S+:(\d+)[/\n]", self.program.log.read_text())
        if found is None:
            raise ConnectionRefusedError(self.program.log)
        return int(found[1])

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix and '/' + self.prefix}"

    def answers(self) -> bool:
        try:
            return self.get("/healthcheck").text.strip() == "OK"
        except OSError:
            return False

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, headers)

    def post(self, path: str, body: Any, token: bool = True, **headers: str) -> Reply:
        """As the pages' scripts do: with the XSRF token, if it is not left out."""
        known = self.token(**headers) if token else {}
        sent = {"Content-Type": "application/json", **known, **headers}
        return self.ask("POST", path, sent, json.dumps(body))

    def token(self, **headers: str) -> dict[str, str]:
        """Cookie and header that belong together."""
        page = self.get("/runs", **{name: value for name, value in headers.items() if name == "Authorization"})
        found = re.search(r'name="xsrf-token" content="([^"]+)"', page.text)
        cookie = re.search(r"_xsrf=([^;]+)", page.headers["Set-Cookie"] or "")
        assert found is not None, page.text[:300]
        assert cookie is not None
        return {"X-Xsrftoken": found[1], "Cookie": f"_xsrf={cookie[1]}"}

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: str | None = None) -> Reply:
        connection = self._connection()
        try:
            connection.request(method, f"{self.prefix and '/' + self.prefix}{path}", body, dict(headers))
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read().decode())
        finally:
            connection.close()

    @contextmanager
    def stream(self, path: str, **headers: str) -> Iterator[Iterator[tuple[str, Any]]]:
        """Ids and contents of server-sent events, as they come."""
        connection = self._connection()
        try:
            connection.request("GET", f"{self.prefix and '/' + self.prefix}{path}", headers=headers)
            reply = connection.getresponse()
            assert reply.status == 200, reply.read()
            yield _events(reply)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.unix_socket is not None:
            return UnixConnection(self.unix_socket)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)


def _events(reply: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    identity = ""
    while line := reply.readline().decode():
        name, _, text = line.rstrip("\n").partition(": ")
        if name == "id":
            identity = text
        elif name == "data":
            yield identity, json.loads(text)
            identity = ""
