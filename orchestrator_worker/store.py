"""The variable store: the only module of the worker that speaks to Redis, one typed method a script.

A store that is away (restarting, failing over, full, busy) is waited for with growing pauses, up to the patience that
the settings name. Every script may therefore be sent twice; each answers a repetition as it answered the first time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.errors import RunNotFound, StoreUnavailable, ValueTooLarge
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.run import ErrorInfo, Outcome, Receipt, RunRecord, RunState, Submission
from orchestrator_client.contract.scripts import source
from orchestrator_client.contract.submission import accepted, load_plan, pack, submit_command, unpack
from orchestrator_worker.records import Arrival, Claim, Due, OpenRun, Parking, Refusal, Repair, Settlement
from orchestrator_worker.settings import Settings

SCRIPTS = "orchestrator_worker.scripts"

AWAY = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, redis.ReadOnlyError, redis.OutOfMemoryError)
"""Answers of a store that will be back."""
AWAY_REPLIES = ("BUSY ", "MISCONF", "LOADING", "OOM ", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "UNBLOCKED")

LATE_BEATS = 3
"""Beats in which a worker whose lease has run out may still renew it."""

EVENT_OF: Mapping[Outcome, EventKind] = {
    Outcome.SUCCEEDED: EventKind.STEP_SUCCEEDED,
    Outcome.FAILED: EventKind.STEP_FAILED,
    Outcome.SKIPPED: EventKind.STEP_SKIPPED,
    Outcome.CANCELLED: EventKind.STEP_CANCELLED,
}


def connect(config: Settings) -> redis.Redis:
    """A pool of connections to the store, opened as they are needed. One immediate retry replaces one that was cut."""
    return redis.Redis.from_url(
        config.redis_url,
        socket_timeout=10.0,
        socket_connect_timeout=5.0,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 1),
    )


class Store:
    """The worker's view of Redis. Safe to share between threads; made anew in each process."""

    def __init__(self, client: redis.Redis, config: Settings) -> None:
        # Any: redis-py types its replies for a client that may be asynchronous and may decode; this one does neither.
        self._redis: Any = client
        self._config = config
        self._ttl = config.retention_seconds
        self._scripts: dict[str, Any] = {}

    def close(self) -> None:
        """Give up the connections."""
        self._redis.close()

    # --- the verbs ---------------------------------------------------------------------------------------------

    def submit(self, submission: Submission) -> bool:
        """Record a run; False if it was recorded before."""
        command = submit_command(submission, self._ttl)
        text = source("submit")
        return accepted(
            int(self._patiently(lambda: self._redis.eval(text, len(command.keys), *command.keys, *command.args))),
            submission,
        )

    def start_run(self, run: str, entries: Iterable[tuple[str, str]], size_key: str) -> str:
        """Open a run: its entry instances, each with its queue, become ready.

        Returns `started`, `cancelled`, or the state of a run that was started before.
        """
        keys = names.RunKeys(run)
        flat = [part for entry in entries for part in entry]
        reply = self._run(
            "start_run",
            [keys.record, keys.instances, keys.events, names.TIMETABLE, size_key],
            [self._ttl, run, self._ms(self._config.hint_seconds), *flat],
        )
        if reply is None:
            raise RunNotFound(run)
        return _text(reply)

    def claim(
        self, run: str, instance: str, attempt: int, token: str, worker: str, reads: Sequence[str]
    ) -> Claim | Refusal:
        """Start an attempt, taking its lease, and read the values of the instances that it reads."""
        keys = names.RunKeys(run)
        reply = self._run(
            "claim",
            [keys.record, keys.instances, keys.values, keys.receipts, keys.events, names.TIMETABLE],
            [
                self._ttl,
                run,
                instance,
                attempt,
                self._ms(self._config.lease_seconds),
                token,
                json.dumps({"worker": worker}),
                *reads,
            ],
        )
        if _text(reply[0]) != "go":
            return Refusal(_text(reply[0]))
        stored = dict(zip(reads, reply[3:], strict=True))
        return Claim(int(reply[1]), bool(reply[2]), self._values(run, stored))

    def settle(
        self,
        run: str,
        instance: str,
        receipt: Receipt,
        value: Json,
        arrivals: Sequence[Arrival],
        growth_key: str,
        halts: bool,
    ) -> tuple[Settlement, list[str]]:
        """Record an attempt's outcome and value, arrive at its successors, grow the chord.

        Returns what became of it, and the instances that became ready, whose messages are now to be published.

        Raises:
            ValueTooLarge: the value passes the cap; nothing was recorded.
        """
        keys = names.RunKeys(run)
        stored, large = self._encode(instance, value)
        reply = self._run(
            "settle",
            [
                keys.record,
                keys.instances,
                keys.values,
                keys.receipts,
                keys.arrivals,
                keys.events,
                names.TIMETABLE,
                growth_key,
                keys.value(instance),
            ],
            [
                self._ttl,
                run,
                instance,
                receipt.attempt,
                receipt.model_dump_json(exclude_defaults=True, exclude={"ended_ms"}),
                EVENT_OF[receipt.outcome],
                _event_data(receipt),
                stored,
                int(large),
                int(halts),
                self._ms(self._config.hint_seconds),
                int(receipt.outcome is Outcome.FAILED),
                *(part for arrival in arrivals for part in _flat(arrival)),
            ],
        )
        return Settlement(_text(reply[0])), [_text(ready) for ready in reply[1:]]

    def park(
        self, run: str, instance: str, attempt: int, wait_seconds: float, reason: str, error: ErrorInfo | None = None
    ) -> Parking:
        """End an attempt without an outcome; the next one becomes ready after the wait."""
        keys = names.RunKeys(run)
        wait_ms = self._ms(wait_seconds)
        data = {"reason": reason, "delay_ms": wait_ms} | ({"error": error.model_dump()} if error else {})
        reply = self._run(
            "park",
            [keys.record, keys.instances, keys.events, names.TIMETABLE],
            [self._ttl, run, instance, attempt, wait_ms, json.dumps(data)],
        )
        return Parking(_text(reply))

    def renew(self, held: Sequence[tuple[str, str, int]]) -> list[str]:
        """Renew the leases of these attempts: for each `held`, `cancel` or `lost`."""
        flat = [part for attempt in held for part in attempt]
        reply = self._run("renew", [names.TIMETABLE], [self._ms(self._config.lease_seconds), *flat])
        return [_text(answer) for answer in reply]

    def sweep(self, at_most: int = 200, every_seconds: float = 0.0) -> list[Due]:
        """What is due now. With `every_seconds`, nothing if anybody swept that recently."""
        hint_ms = self._ms(self._config.hint_seconds)
        reply = self._run(
            "sweep",
            [names.TIMETABLE, names.SWEEPER],
            [
                self._ttl,
                self._ms(every_seconds),
                at_most,
                hint_ms,
                self._ttl * 1000 // 4,
                self._ms(LATE_BEATS * self._config.beat_seconds),
            ],
        )
        rows = [reply[first : first + 6] for first in range(0, len(reply), 6)]
        return [Due(Repair(_text(r[0])), _text(r[1]), _text(r[2]), int(r[3]), _text(r[4]), int(r[5])) for r in rows]

    def close_run(self, run: str, state: RunState, outputs: Mapping[str, Json], error: ErrorInfo | None) -> str:
        """End a run: `closed`, `open` (something still is), or `ended` (it was before)."""
        keys = names.RunKeys(run)
        failure = error.model_dump_json() if error else ""
        data = {"state": state} | ({"error": error.model_dump()} if error else {})
        reply = self._run(
            "close_run",
            [keys.record, keys.events, names.TIMETABLE],
            [self._ttl, run, state, json.dumps(outputs), failure, json.dumps(data)],
        )
        return _text(reply)

    def carry(self, run: str, canvas: Mapping[str, Json]) -> None:
        """Keep what a canvas of somebody else's expects of this run's task, until the run closes."""
        text = json.dumps(canvas)
        self._patiently(lambda: self._redis.hset(names.RunKeys(run).record, "canvas", text))

    # --- reading -----------------------------------------------------------------------------------------------

    def open_run(self, run: str) -> OpenRun:
        """The unchanging part of a run's record."""
        key = names.RunKeys(run).record
        plan_hash, inputs, submitted = self._patiently(
            lambda: self._redis.hmget(key, ["plan_hash", "inputs", "submitted_ms"])
        )
        if plan_hash is None:
            raise RunNotFound(run)
        return OpenRun(run, _text(plan_hash), inputs, int(submitted))

    def plan(self, run: str) -> Plan:
        """The plan that this run is pinned to."""
        stored = self._patiently(lambda: self._redis.get(names.RunKeys(run).plan))
        if stored is None:
            raise RunNotFound(run)
        return load_plan(stored)

    def record(self, run: str) -> RunRecord:
        """The run's record as it is now."""
        stored = self._patiently(lambda: self._redis.hgetall(names.RunKeys(run).record))
        if not stored:
            raise RunNotFound(run)
        return RunRecord.from_hash(run, {_text(key): _text(value) for key, value in stored.items()})

    def carried(self, run: str) -> dict[str, Json] | None:
        """What `carry` kept; None for a run that no canvas waits for."""
        text = self._patiently(lambda: self._redis.hget(names.RunKeys(run).record, "canvas"))
        return None if text is None else json.loads(text)

    def receipt(self, run: str, instance: str) -> Receipt | None:
        stored = self._patiently(lambda: self._redis.hget(names.RunKeys(run).receipts, instance))
        return None if stored is None else Receipt.from_stored(_text(stored))

    def values(self, run: str, instances: Sequence[str]) -> dict[str, Json]:
        """Values of these instances; those that left none are not in the answer."""
        if not instances:
            return {}
        stored = self._patiently(lambda: self._redis.hmget(names.RunKeys(run).values, list(instances)))
        return self._values(run, dict(zip(instances, stored, strict=True)))

    def queue_depth(self, queue: str) -> int:
        """Messages that wait in a queue."""
        return int(self._patiently(lambda: self._redis.llen(queue)))

    # --- inside ------------------------------------------------------------------------------------------------

    def _run(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        if (registered := self._scripts.get(script)) is None:
            registered = self._scripts[script] = self._redis.register_script(source(script, SCRIPTS))
        return self._patiently(lambda: registered(keys=keys, args=args))

    def _patiently(self, call: Any) -> Any:
        deadline = time.monotonic() + self._config.store_patience_seconds
        pause = 0.05
        while True:
            try:
                return call()
            except (*AWAY, redis.ResponseError) as error:
                if (
                    isinstance(error, redis.ResponseError)
                    and not isinstance(error, AWAY)
                    and not str(error).startswith(AWAY_REPLIES)
                ):
                    raise
                if time.monotonic() + pause > deadline:
                    raise StoreUnavailable(
                        f"Redis did not answer for {self._config.store_patience_seconds:g} s: {error}"
                    ) from error
            time.sleep(pause)
            pause = min(1.0, pause * 2)

    def _encode(self, instance: str, value: Json) -> tuple[bytes, bool]:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        if len(text) > self._config.value_bytes:
            raise ValueTooLarge(
                f"step '{instance}' left {len(text):,} bytes of JSON; at most {self._config.value_bytes:,} are stored."
                " Write it to a file and return the path, or raise ORCHESTRATOR_VALUE_BYTES on the workers"
            )
        if len(text) > caps.INLINE_VALUE_BYTES:
            return pack(text), True
        return text.encode(), False

    def _values(self, run: str, stored: Mapping[str, bytes | None]) -> dict[str, Json]:
        values = {}
        for instance, text in stored.items():
            if text is None:
                continue
            if text == b"":
                key = names.RunKeys(run).value(instance)
                large = self._patiently(lambda key=key: self._redis.get(key))
                text = unpack(large).encode() if large else b"null"
            values[instance] = json.loads(text)
        return values

    @staticmethod
    def _ms(seconds: float) -> int:
        return round(seconds * 1000)


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _flat(arrival: Arrival) -> tuple[str, int, str, str, int]:
    return arrival.instance, arrival.need, arrival.queue, "route" if arrival.route else "order", int(arrival.alive)


def _event_data(receipt: Receipt) -> str:
    shown = receipt.model_dump(
        mode="json", include={"started_ms", "reason", "error", "usage", "model"}, exclude_defaults=True
    )
    return json.dumps(shown)
