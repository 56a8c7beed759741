"""The gates of providers, and what passes them: one method a script."""

from __future__ import annotations

import json
from collections.abc import Sequence

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.plan import Json
from orchestrator_worker.records import Promoted, Ready
from orchestrator_worker.store.connection import Part, Wakes, text


class Gates(Part):
    """Calls of models before they are made, and while they are."""

    def admit(self, run: str, calls: Sequence[tuple[Ready, str]]) -> list[str]:
        """Let these calls (each with its JSON, see `admission.lua`) through their gates.

        Returns for each the queue that its message goes to, `wait`, or `stale`.
        """
        flat = [part for ready, call in calls for part in (ready.instance, ready.attempt, call)]
        arguments = [self._on.ttl_seconds, run, self._on.hint_ms, *flat]
        return [text(answer) for answer in self._on.run("admit", [names.TIMETABLE], arguments)]

    def promote(self, at_most: int = 100) -> tuple[float | None, list[Promoted]]:
        """Let through what may go now. Returns the seconds until something else may (None: nothing waits), and the
        calls whose messages are now to be published."""
        arguments = [self._on.ttl_seconds, at_most, self._on.hint_ms]
        due_ms, *rows = self._on.run("promote", [names.AGENDA, names.AGAIN], arguments)
        promoted = [
            Promoted(text(r), text(i), int(a), text(q), int(w) / 1000)
            for r, i, a, q, w in zip(rows[::5], rows[1::5], rows[2::5], rows[3::5], rows[4::5], strict=True)
        ]
        return None if int(due_ms) < 0 else int(due_ms) / 1000, promoted

    def cached(self, digest: str) -> Json:
        """The reply that the cache keeps for this request; None if it is gone."""
        stored = self._on.patiently(lambda: self._on.redis.get(names.cached(digest)))
        return None if stored is None else json.loads(stored)

    def write_deltas(self, run: str, pieces: Sequence[tuple[str, int, int, str]]) -> None:
        """Append pieces of text, each (instance, attempt, seq, text), to the run's stream, in one round trip."""
        key = names.RunKeys(run).deltas

        def send() -> None:
            with self._on.redis.pipeline(transaction=False) as pipe:
                for instance, attempt, seq, piece in pieces:
                    fields = {"instance": instance, "attempt": attempt, "seq": seq, "text": piece}
                    pipe.xadd(key, fields, maxlen=caps.DELTAS, approximate=True)
                pipe.expire(key, self._on.ttl_seconds)
                pipe.execute()

        self._on.patiently(send)

    def wakes(self) -> Wakes:
        """A subscription to the pumps' channel, on a connection of its own."""
        return Wakes(self._on.redis)
