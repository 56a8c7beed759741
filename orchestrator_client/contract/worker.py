"""What a worker says of itself, every few seconds, for as long as it lives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestrator_client.contract.plan import Record

REPORT_SECONDS = 5.0
"""Between two reports of a worker."""
LIFE_MS = 20_000
"""How long a worker is listed after its last report."""


class WorkerInfo(Record):
    """One worker process with all its children."""

    name: str
    """As Flower lists it."""
    version: str
    """Of this package."""
    queues: tuple[str, ...]
    pool: str
    """`prefork` or `threads`."""
    slots: int
    """Steps that it runs at a time."""
    busy: int = 0
    """Of them."""
    host: str = ""
    pid: int = 0
    started_ms: int = 0
    """By Redis's clock, milliseconds since 1970."""
    metrics_port: int = 0
    """Where it answers Prometheus; 0 where it does not."""
    missing_keys: tuple[str, ...] = ()
    """Environment variables that the providers of its queues need, and that are not set."""
    seen_ms: int = 0
    """Its last report. Set by the store, as the next."""
    skew_ms: int = 0
    """Its clock minus Redis's, and the time that a report takes."""

    @classmethod
    def from_stored(cls, stored: str) -> WorkerInfo:
        """From the store's form: `seen ms|skew ms|JSON`."""
        seen, skew, text = stored.split("|", 2)
        told: dict[str, Any] = json.loads(text)
        return cls.model_validate({**told, "seen_ms": int(seen), "skew_ms": int(skew)})


def serving(workers: Sequence[WorkerInfo], queue: str) -> list[WorkerInfo]:
    """Those that serve a queue."""
    return [worker for worker in workers if queue in worker.queues]
