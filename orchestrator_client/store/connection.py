"""One connection to Redis, and what is the same for all that is read and written over it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_client.contract.scripts import digest, source

P = ParamSpec("P")
T = TypeVar("T")

RETENTION_SECONDS = 7 * 24 * 3600
"""Life of a run's keys after its submission; workers renew it for as long as the run is open."""

CLIENT_SCRIPTS = "orchestrator_client.scripts"


class Connection:
    """A Redis, by its URL, and who acts on it, for the audit log.

    Raises:
        ConfigInvalid: the process has a namespace that is none.
    """

    def __init__(self, url: str, actor: str) -> None:
        names.check_namespace()
        self.url, self.actor = url, actor
        # Any: redis-py types its replies for a client that may be asynchronous and may decode; this one does neither.
        self.redis: Any = redis.Redis.from_url(
            url, socket_timeout=15.0, socket_connect_timeout=2.0, health_check_interval=15, retry=Retry(NoBackoff(), 1)
        )

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        parts = urlsplit(self.url)
        return self.url.replace(f":{parts.password}@", ":***@") if parts.password else self.url

    def close(self) -> None:
        """Give it up; the next command would open another."""
        self.redis.close()


class Store:
    """Base of everything that speaks to Redis."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._redis = connection.redis

    @property
    def _who(self) -> str:
        """Who acts, for the scripts that write it into the audit log."""
        return self.connection.actor

    def _run_script(self, name: str, keys: Sequence[str], *args: object, package: str = CLIENT_SCRIPTS) -> Any:
        """The reply of one of the scripts, by its file's name."""
        text = source(name, package)
        try:
            return self._redis.evalsha(digest(text), len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            self._load(text)
            return self._redis.evalsha(digest(text), len(keys), *keys, *args)

    def _load(self, text: str) -> None:
        """Give Redis a script that it does not have.

        Raises:
            StoreUnavailable: this user may not.
        """
        try:
            self._redis.script_load(text)
        except redis.exceptions.NoPermissionError as error:
            raise StoreUnavailable(
                "Redis does not have this release's scripts, and this user may not load them; run"
                " `orchestrator redis-scripts` with the user that may"
            ) from error


def clearly(method: Callable[P, T]) -> Callable[P, T]:
    """Turn what redis-py raises into one sentence that says what was tried."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except redis.exceptions.NoPermissionError as error:
            raise StoreUnavailable(f"Redis does not let this user do that: {error}; see docs/access.md") from error
        except redis.RedisError as error:
            store: Store = args[0]  # type: ignore[assignment]
            raise StoreUnavailable(f"cannot use Redis at {store.connection.shown_url}: {_reason(error)}") from error

    return call


def _reason(error: redis.RedisError) -> str:
    """What went wrong; Redis 7 answers a greeting without a password with advice to those who write clients."""
    if str(error).startswith("HELLO must be called"):
        return "it asks for a password; write it into the URL, as in redis://:PASSWORD@host:6379/0"
    return str(error)


def text_of(reply: Any) -> str:
    """A reply as text."""
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def texts_of(stored: Any) -> dict[str, str]:
    """A hash, or the fields of a stream's entry, as text."""
    return {text_of(key): text_of(value) for key, value in stored.items()}


def now_ms(client: Any) -> int:
    """Redis's time, or what a test has set for it; milliseconds since 1970."""
    fixed = client.get(names.CLOCK)
    if fixed is not None:
        return int(float(fixed))
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000
