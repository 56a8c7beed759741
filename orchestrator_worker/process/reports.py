"""What calls under way say of their progress, sent to whoever watches the run, and not more often than is of use."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_client.contract.plan import Json
from orchestrator_worker.store import Store

logger = logging.getLogger(__name__)

EVERY_SECONDS = 0.3
"""Least time between two events of one call."""

MESSAGE_CHARACTERS = 300
"""Of a message, that are sent."""


@dataclass(slots=True, eq=False)
class Reporter:
    """One call's. Called from any thread, which it never makes wait for Redis."""

    reports: Reports
    run: str
    instance: str
    attempt: int
    latest: dict[str, Json] = field(default_factory=dict)
    not_before: float = 0.0
    """When its next event may be sent, by the monotonic clock."""

    def __call__(self, fraction: float | None, message: str) -> None:
        said: dict[str, Json] = {} if fraction is None else {"fraction": round(fraction, 4)}
        self.reports.take(self, said | ({"message": message[:MESSAGE_CHARACTERS]} if message else {}))


class Reports:
    """One thread a process that sends the latest of each call: at once, or when its last event is old enough."""

    def __init__(self, store: Store, every_seconds: float = EVERY_SECONDS) -> None:
        self._store, self._every_seconds = store, every_seconds
        self._waiting: set[Reporter] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def of(self, run: str, instance: str, attempt: int) -> Reporter:
        """Where one attempt's reports go."""
        return Reporter(self, run, instance, attempt)

    def take(self, reporter: Reporter, said: dict[str, Json]) -> None:
        """Send this when it may be; what the call said before and was not sent is replaced."""
        with self._changed:
            reporter.latest = said
            self._waiting.add(reporter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while (wait_seconds := self._wait_seconds()) != 0:
                    self._changed.wait(wait_seconds)
                due = [(reporter, reporter.latest) for reporter in self._waiting if self._may(reporter)]
                self._waiting.difference_update(reporter for reporter, _ in due)
            for reporter, said in due:
                self._send(reporter, said)

    def _may(self, reporter: Reporter) -> bool:
        return reporter.not_before <= time.monotonic()

    def _wait_seconds(self) -> float | None:
        """How long nothing is due; None until something is said."""
        if not self._waiting:
            return None
        return max(0.0, min(reporter.not_before for reporter in self._waiting) - time.monotonic())

    def _send(self, reporter: Reporter, said: dict[str, Json]) -> None:
        """One event. A report that the store cannot take is of no use later, and is dropped."""
        reporter.not_before = time.monotonic() + self._every_seconds
        try:
            self._store.report_progress(reporter.run, reporter.instance, reporter.attempt, said)
        except StoreUnavailable as away:
            logger.warning("progress of %s in run %s was not shown: %s", reporter.instance, reporter.run, away)
