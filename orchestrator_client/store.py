"""The client's view of the variable store: the only module of the client that speaks to Redis."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import RunNotFound, StoreUnavailable
from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.run import OpenInstance, Receipt, RunRecord, RunState, Submission
from orchestrator_client.contract.scripts import source
from orchestrator_client.contract.submission import accepted, load_plan, submit_command, unpack

P = ParamSpec("P")
T = TypeVar("T")

RETENTION_SECONDS = 7 * 24 * 3600
"""Life of a run's keys after its submission; workers renew it for as long as the run is open."""


def _clearly(method: Callable[P, T]) -> Callable[P, T]:
    """Turn what redis-py raises into one sentence that says what was tried."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except redis.RedisError as error:
            store: RunStore = args[0]  # type: ignore[assignment]
            raise StoreUnavailable(f"cannot use Redis at {store.shown_url}: {error}") from error

    return call


class RunStore:
    """Reads runs, and writes the two things that are a client's to write: a submission and a wish."""

    def __init__(self, url: str) -> None:
        self.url = url
        # Any: redis-py types its replies for a client that may be asynchronous and may decode; this one does neither.
        self._redis: Any = redis.Redis.from_url(
            url, socket_timeout=15.0, socket_connect_timeout=2.0, health_check_interval=15, retry=Retry(NoBackoff(), 1)
        )

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        parts = urlsplit(self.url)
        return self.url.replace(f":{parts.password}@", ":***@") if parts.password else self.url

    def close(self) -> None:
        self._redis.close()

    @_clearly
    def ping(self) -> None:
        """Raises StoreUnavailable if Redis does not answer."""
        self._redis.ping()

    @_clearly
    def submit(self, submission: Submission) -> bool:
        """Record a run; False if it was recorded before.

        Raises:
            RunConflict: its idempotency key stands for another submission.
        """
        command = submit_command(submission, RETENTION_SECONDS)
        reply = self._redis.eval(source("submit"), len(command.keys), *command.keys, *command.args)
        return accepted(int(reply), submission)

    @_clearly
    def cancel(self, run: str) -> RunState:
        """Wish the run's end; returns the state in which the wish met it. An ended run stays as it is."""
        keys = names.RunKeys(run)
        script = source("cancel", "orchestrator_client.scripts")
        wanted = [keys.record, keys.events, names.TIMETABLE]
        state = self._redis.eval(script, len(wanted), *wanted, RETENTION_SECONDS, run)
        if state is None:
            raise RunNotFound(run)
        return RunState(_text(state))

    @_clearly
    def record(self, run: str) -> RunRecord:
        stored = self._redis.hgetall(names.RunKeys(run).record)
        if not stored:
            raise RunNotFound(run)
        return RunRecord.from_hash(run, _texts(stored))

    @_clearly
    def plan(self, run: str) -> Plan:
        stored = self._redis.get(names.RunKeys(run).plan)
        if stored is None:
            raise RunNotFound(run)
        return load_plan(stored)

    @_clearly
    def receipts(self, run: str) -> dict[str, Receipt]:
        stored = self._redis.hgetall(names.RunKeys(run).receipts)
        return {instance: Receipt.from_stored(text) for instance, text in _texts(stored).items()}

    @_clearly
    def open_instances(self, run: str) -> dict[str, OpenInstance]:
        stored = self._redis.hgetall(names.RunKeys(run).instances)
        return {instance: OpenInstance.from_stored(text) for instance, text in _texts(stored).items()}

    @_clearly
    def values(self, run: str, instances: Sequence[str] | None = None) -> dict[str, Json]:
        """Values by instance: of all, or of those named. Those that left none are not in the answer."""
        keys = names.RunKeys(run)
        if instances is None:
            stored = {_text(name): value for name, value in self._redis.hgetall(keys.values).items()}
        else:
            stored = (
                dict(zip(instances, self._redis.hmget(keys.values, list(instances)), strict=True)) if instances else {}
            )
        return {name: self._value(keys, name, text) for name, text in stored.items() if text is not None}

    @_clearly
    def events(self, run: str, after: str, wait_ms: int) -> list[Event]:
        """Events behind the one with this id (`0`: from the first), waiting for one at most so long (0: not at all)."""
        key = names.RunKeys(run).events
        reply: Any = self._redis.xread({key: after}, count=1000, block=wait_ms or None)
        entries = next(iter(reply.values()), [[]])[0] if isinstance(reply, dict) else (reply[0][1] if reply else [])
        return [Event.from_stream(run, _text(entry), _texts(fields)) for entry, fields in entries]

    @_clearly
    def last_event_id(self, run: str) -> str:
        """Id of the newest event, or `0`."""
        newest = self._redis.xrevrange(names.RunKeys(run).events, count=1)
        return _text(newest[0][0]) if newest else "0"

    @_clearly
    def runs(self, offset: int, count: int) -> list[RunRecord]:
        """Records of runs, newest first."""
        ids = [_text(run) for run in self._redis.zrevrange(names.RUNS, offset, offset + count - 1)]
        with self._redis.pipeline(transaction=False) as pipe:
            for run in ids:
                pipe.hgetall(names.RunKeys(run).record)
            records = pipe.execute()
        return [RunRecord.from_hash(run, _texts(stored)) for run, stored in zip(ids, records, strict=True) if stored]

    def _value(self, keys: names.RunKeys, instance: str, stored: bytes) -> Json:
        if stored == b"":
            large = self._redis.get(keys.value(instance))
            return json.loads(unpack(large)) if large else None
        return json.loads(stored)


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _texts(stored: Any) -> dict[str, str]:
    return {_text(key): _text(value) for key, value in stored.items()}
