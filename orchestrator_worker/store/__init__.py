"""The variable store: the only package of the worker that speaks to Redis, one typed method a script.

A store that is away (restarting, failing over, full, busy) is waited for with growing pauses, up to the patience that
the settings name. Every script may therefore be sent twice; each answers a repetition as it answered the first time.
"""

from __future__ import annotations

import redis

from orchestrator_worker.settings import Settings
from orchestrator_worker.store.calendar import Schedules
from orchestrator_worker.store.connection import Connection, Wakes, connect
from orchestrator_worker.store.deliveries import Deliveries
from orchestrator_worker.store.fleet import Fleet
from orchestrator_worker.store.gates import Gates
from orchestrator_worker.store.reads import Reads
from orchestrator_worker.store.verbs import Verbs

__all__ = ["Store", "Wakes", "connect"]


class Store(Verbs, Gates, Reads, Schedules, Deliveries, Fleet):
    """The worker's view of Redis. Threads may share it; each process makes its own."""

    def __init__(self, client: redis.Redis, config: Settings) -> None:
        super().__init__(Connection(client, config))

    def close(self) -> None:
        """Give up the connections."""
        self._on.close()
