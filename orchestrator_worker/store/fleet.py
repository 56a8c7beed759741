"""Workers that report, and messages that they refuse."""

from __future__ import annotations

import time

import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.dead import KEPT, DeadLetter
from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_client.contract.worker import LIFE_MS, WorkerInfo
from orchestrator_worker.store.connection import Part


class Fleet(Part):
    """What is known of workers beside their runs."""

    def report_worker(self, name: str, info: WorkerInfo | None) -> int:
        """Say that a worker lives, and what it is, or, with None, that it ends; returns Redis's time, ms since 1970."""
        told = info.model_dump_json(exclude_defaults=True, exclude={"seen_ms", "skew_ms"}) if info else ""
        arguments = [name, told, round(time.time() * 1000), LIFE_MS]
        return int(self._on.run("report_worker", [names.WORKERS, names.worker(name)], arguments))

    def answers(self) -> bool:
        """Whether the store takes a write now. Nobody waits for it."""
        try:
            return bool(self._on.redis.set(names.PULSE, 1, ex=60))
        except redis.RedisError:
            return False

    def bury(self, worker: str, queue: str, raw: bytes, masked: bytes, reason: str) -> None:
        """Keep a message that was refused, of which `masked` has no secret in it.

        Raises:
            StoreUnavailable: it could not be written now. Nobody waits: the next message is due.
        """
        try:
            with self._on.redis.pipeline() as together:
                together.xadd(names.DEAD, DeadLetter.to_stream(queue, reason, worker, raw, masked), maxlen=KEPT)
                together.expire(names.DEAD, self._on.ttl_seconds)
                together.execute()
        except redis.RedisError as error:
            raise StoreUnavailable(f"cannot keep a dead letter: {error}") from error
