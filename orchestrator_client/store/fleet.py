"""The fleet as the store shows it: workers, what is open, how many there were ever, and Redis itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.worker import WorkerInfo
from orchestrator_client.store.connection import Store, clearly, now_ms, text_of, texts_of

RUNS_AT_ONCE = 100
"""Runs that one script counts: it holds Redis up for a few milliseconds at most."""

MOST_RUNS = 5_000
"""Open runs that are counted at all."""


class FleetStore(Store):
    """Reads; writes nothing."""

    @clearly
    def now_ms(self) -> int:
        """Redis's time, milliseconds since 1970."""
        return now_ms(self._redis)

    @clearly
    def workers(self) -> list[WorkerInfo]:
        """Those that have reported within the last seconds, by name."""
        found = sorted(text_of(name) for name in self._redis.zrange(names.WORKERS, 0, -1))
        stored = self._redis.mget([names.worker(name) for name in found]) if found else []
        return [WorkerInfo.from_stored(text_of(text)) for text in stored if text is not None]

    @clearly
    def open_runs(self) -> list[str]:
        """Runs that have not ended, in no order; at most `MOST_RUNS`."""
        found: list[str] = []
        for member, _ in self._redis.zscan_iter(names.TIMETABLE, match="*|", count=1000):
            found.append(text_of(member)[:-1])
            if len(found) == MOST_RUNS:
                break
        return found

    @clearly
    def census(self) -> Mapping[str, int]:
        """What is open now: `run|<state>`, `instance|<state>`, `ready|<queue>`, `parked|<reason>` -> how many."""
        counts: Counter[str] = Counter()
        runs = self.open_runs()
        for first in range(0, len(runs), RUNS_AT_ONCE):
            flat = self._run_script("census", [names.TIMETABLE], *runs[first : first + RUNS_AT_ONCE])
            for what, number in zip(flat[::2], flat[1::2], strict=True):
                counts[text_of(what)] += int(number)
        return counts

    @clearly
    def totals(self) -> dict[str, int]:
        """What there was ever, as `clock.lua` counts it."""
        return {field: int(count) for field, count in texts_of(self._redis.hgetall(names.TOTALS)).items()}

    @clearly
    def queue_lengths(self, queues: Collection[str]) -> dict[str, int]:
        """Messages that lie in each queue."""
        with self._redis.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.llen(names.stored_queue(queue))
            return dict(zip(queues, map(int, pipe.execute()), strict=True))

    @clearly
    def dead_letters(self) -> int:
        """Messages that no worker could take and that are kept."""
        return int(self._redis.xlen(names.DEAD))

    @clearly
    def user(self) -> str:
        """Whom Redis takes us for; empty where it may not be asked."""
        try:
            return text_of(self._redis.acl_whoami())
        except redis.ResponseError:
            return ""

    @clearly
    def server(self) -> dict[str, Any]:
        """What Redis says of itself (INFO)."""
        return dict(self._redis.info())
