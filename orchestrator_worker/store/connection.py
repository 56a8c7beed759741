"""The connection below the store: scripts by name, and patience with a Redis that is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import RecordsBroken, StoreUnavailable
from orchestrator_client.contract.scripts import digest, source
from orchestrator_worker import meters
from orchestrator_worker.connections import Connections
from orchestrator_worker.patience import IDLE_SECONDS, patiently, socket_options
from orchestrator_worker.settings import Settings

SCRIPTS = "orchestrator_worker.scripts"

UNLOADED = (
    "it does not have this release's scripts, and this user may not load them; run `orchestrator redis-scripts`"
    " with the user that may"
)

AWAY = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.BusyLoadingError,
    redis.ReadOnlyError,
    redis.OutOfMemoryError,
    redis.exceptions.NoScriptError,
)
"""Answers of a store that will be back."""
AWAY_REPLIES = (
    "BUSY ",
    "MISCONF",
    "LOADING",
    "OOM ",
    "MASTERDOWN",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "UNBLOCKED",
    "READONLY",
)


def is_away(error: Exception) -> bool:
    """Whether the store said, by an error or by silence, that it will be back."""
    if not isinstance(error, redis.ResponseError):
        return isinstance(error, AWAY)
    # Redis 6.2 wraps what a script was refused: `ERR Error running script (…): -READONLY …`.
    reply = str(error)
    reply = reply.partition(": -")[2] if "Error running script" in reply else reply
    return isinstance(error, AWAY) or reply.startswith(AWAY_REPLIES)


def connect(config: Settings) -> redis.Redis:
    """A pool of connections to the store, opened as they are needed. One immediate retry replaces one that was cut."""
    retry, options = Retry(NoBackoff(), 1), socket_options(config.redis_url)
    pool = Connections.from_url(config.redis_url, health_check_interval=IDLE_SECONDS, retry=retry, **options)
    return redis.Redis.from_pool(pool)


class Connection:
    """Scripts and commands, repeated while the store is away. Threads may share it; each process makes its own."""

    def __init__(self, client: redis.Redis, config: Settings) -> None:
        # Any: redis-py types its replies for a client that may be asynchronous and may decode; this one does neither.
        self.redis: Any = client
        self.config = config
        self.ttl_seconds = config.retention_seconds

    def close(self) -> None:
        """Give up the connections."""
        self.redis.close()

    @property
    def hint_ms(self) -> int:
        """How long a message may be under way before it is looked for."""
        return ms(self.config.hint_seconds)

    def run(self, script: str, keys: Sequence[str], args: Sequence[Any], package: str = SCRIPTS) -> Any:
        """The reply of one script, of this room's or of those that the client has too.

        Raises:
            RecordsBroken: it found what it cannot use.
        """
        text = source(script, package)
        try:
            return self.patiently(lambda: self._evaluate(text, keys, args), script)
        except redis.ResponseError as error:
            if _found_garbage(str(error)):
                raise RecordsBroken(f"the script {script} cannot use what the store has: {error}") from error
            raise

    def _evaluate(self, text: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run a script by its hash; one that Redis does not have, or not any more, is loaded first.

        Raises:
            NoScriptError: this user may not load it. Somebody who may is soon to do so, or it is a fault of operation.
        """
        try:
            return self.redis.evalsha(digest(text), len(keys), *keys, *args)
        except redis.exceptions.NoScriptError as missing:
            try:
                self.redis.script_load(text)
            except redis.exceptions.NoPermissionError:
                raise redis.exceptions.NoScriptError(UNLOADED) from missing
            return self.redis.evalsha(digest(text), len(keys), *keys, *args)

    def patiently(self, call: Callable[[], Any], script: str = "read") -> Any:
        """What the call returns, once the store answers; it is measured as one of that script.

        Raises:
            StoreUnavailable: it did not for as long as the settings allow.
        """

        def measured() -> Any:
            sent = time.perf_counter()
            answer = call()
            meters.trip(script, time.perf_counter() - sent)
            return answer

        return patiently(measured, is_away, self.config.store_patience_seconds)


def _found_garbage(message: str) -> bool:
    """Whether a script met a key of another type, or fields that are not ours."""
    return "WRONGTYPE" in message or ("user_script" in message and "attempt to" in message)


class Wakes:
    """Hears when a gate may let something through earlier than was believed."""

    def __init__(self, client: Any) -> None:
        self._pubsub = client.pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe(names.WAKE)

    def wait(self, seconds: float) -> None:
        """Return when something is heard, or after `seconds`. What was heard meanwhile is heard once.

        Raises:
            StoreUnavailable: the connection broke.
        """
        try:
            if self._pubsub.get_message(timeout=seconds) is not None:
                while self._pubsub.get_message(timeout=0) is not None:
                    continue
        except AWAY as error:
            raise StoreUnavailable(f"Redis hung up: {error}") from error

    def close(self) -> None:
        self._pubsub.close()


class Part:
    """What one file of this package can do with the store; `Store` is all of them."""

    def __init__(self, connection: Connection) -> None:
        self._on = connection


def ms(seconds: float) -> int:
    """Seconds as the scripts count."""
    return round(seconds * 1000)


def text(reply: Any) -> str:
    """A reply as text."""
    return reply.decode() if isinstance(reply, bytes) else str(reply)
