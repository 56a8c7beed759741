"""Who may see a page, and who may change something. Every page and every action stands on one of these two classes."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flower.views import BaseHandler
from tornado.web import HTTPError, RequestHandler, authenticated

from orchestrator_client.client import Client
from orchestrator_client.contract.errors import (
    InputsInvalid,
    NoQuestion,
    OrchestratorError,
    RunNotFound,
    StoreUnavailable,
)
from orchestrator_client.flower.feed import Feed
from orchestrator_client.flower.listing import Lists
from orchestrator_client.loader.text.secret import masked
from orchestrator_client.store.pages import PageStore

T = TypeVar("T")

logger = logging.getLogger(__name__)

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing comes from anywhere else, nothing is written into a page that runs, and no page frames ours."""

STATUS_OF: dict[type[OrchestratorError], int] = {
    RunNotFound: 404,
    InputsInvalid: 400,
    NoQuestion: 409,
    StoreUnavailable: 503,
}


@dataclass(frozen=True, slots=True)
class Room:
    """What the pages share."""

    client: Client
    store: PageStore
    feed: Feed
    lists: Lists
    hosts: frozenset[str]
    """Names by which this server may be called where nobody logs in."""


def hosts_of(configured: str) -> frozenset[str]:
    """Those of this machine, and the configured ones: names or addresses, separated by commas."""
    return LOCAL_HOSTS | {host.strip().strip("[]").lower() for host in configured.split(",") if host.strip()}


def host_name(header: str) -> str:
    """The name in a Host header, without its port and brackets; empty if it has none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


class Page(BaseHandler):  # type: ignore[misc]
    """Reads. Needs Flower's login; where none is configured, the server must be called by a name that is its own."""

    def initialize(self, room: Room) -> None:
        self.room = room

    def set_default_headers(self) -> None:
        """Not Flower's: where its API is open to everybody, it lets every site read every page."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-store")

    @authenticated
    def prepare(self) -> None:
        # A name that somebody else owns may lead here (DNS rebinding); with a login, its pages have no session.
        if not self.has_login and host_name(self.request.host) not in self.room.hosts:
            raise HTTPError(403, reason="Unknown host: without a login, ORCHESTRATOR_FLOWER_HOSTS names those allowed")

    @property
    def has_login(self) -> bool:
        """Whether Flower asks who somebody is."""
        options = self.application.options
        return bool(options.basic_auth or options.auth)

    @property
    def may_change(self) -> bool:
        """Whether this caller may change anything: logged in, or on this machine; and not where all is read-only."""
        if self.application.options.read_only:
            return False
        return self.has_login or self._is_local()

    @property
    def caller(self) -> str:
        """Who asks, as Flower knows them; empty without a login."""
        user = self.current_user
        if isinstance(user, str):
            return user
        if self.application.options.basic_auth:
            given = self.request.headers.get("Authorization", "").rpartition(" ")[2]
            return b64decode(given).decode().partition(":")[0]
        return ""

    async def read(self, work: Callable[[], T]) -> T:
        """What the store is asked for, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(None, work)

    def show(self, name: str, page: Mapping[str, Any], title: str) -> None:
        """A page by its template's name: an empty shell, and what its script makes of `page`."""
        self.render(f"orchestrator/{name}.html", payload=json_of(page), title=title)

    def write_json(self, payload: Any) -> None:
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(json_of(payload))

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """What went wrong with a run is for whoever asked, and no fault of the server's."""
        if isinstance(value, OrchestratorError):
            logger.warning("%s %s: %s", self.request.method, self.request.path, value)
        else:
            super().log_exception(kind, value, trace)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Refusals as one sentence, in JSON for scripts."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, OrchestratorError):
            status_code = next((code for kind, code in STATUS_OF.items() if isinstance(error, kind)), 409)
            self.set_status(status_code)
        elif not isinstance(error, HTTPError) or status_code == 401:
            super().write_error(status_code, **kwargs)
            return
        message = str(error) if isinstance(error, OrchestratorError) else error.reason or error.log_message or ""
        if self.request.method == "GET" and "text/html" in self.request.headers.get("Accept", ""):
            self.render(
                "orchestrator/error.html", status=status_code, message=masked(message or self._reason), title="Refused"
            )
            return
        self.write_json({"error": message or self._reason})
        self.finish()

    def _is_local(self) -> bool:
        """Whether the caller is on this machine, and no proxy speaks for somebody else."""
        speaks_for = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via")
        if any(header in self.request.headers for header in speaks_for):
            return False
        return is_loopback(self.request.remote_ip or "")


class Action(Page):
    """Changes something: needs the XSRF token too, and a login or a caller on this machine."""

    def check_xsrf_cookie(self) -> None:
        """Flower asks for the token of some callers only; we ask all, and for their own origin."""
        origin = self.request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.request.host:
            raise HTTPError(403, reason="Cross-origin request forbidden")
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise HTTPError(403, reason="Cross-site request forbidden")
        RequestHandler.check_xsrf_cookie(self)

    def prepare(self) -> None:
        super().prepare()
        if self._finished:
            return
        if not self.may_change:
            why = "Flower is read-only" if self.application.options.read_only else "configure a login to do this"
            raise HTTPError(403, reason=f"Refused: {why}")

    def acting(self) -> Client:
        """A client that acts for whoever is logged in, as the audit log tells; else for this process's user."""
        return Client(self.room.client.url, actor=f"{self.caller} (Flower)" if self.caller else None)

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent.

        Raises:
            HTTPError: it is none.
        """
        try:
            sent = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError):
            sent = None
        if not isinstance(sent, dict):
            raise HTTPError(400, reason="The body is no JSON object")
        return sent


def json_of(payload: Any) -> str:
    """JSON that may stand in a page, without credentials that somebody pasted into a text."""
    text = masked(json.dumps(payload, ensure_ascii=False, separators=(",", ":"), default=str))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
