"""The pump: sends what gates let through, the moment that they do. One in each worker of models."""

from __future__ import annotations

import logging
from collections.abc import Callable

from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_worker.process.daemon import Daemon
from orchestrator_worker.store import Store, Wakes

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 1.0
"""Between two looks at the agenda, whatever is heard: what is heard may be lost."""

AFTER_FAILURE_SECONDS = 1.0


class Pump(Daemon):
    """Calls `promote`, which says in how many seconds something may be due, and waits so long or until it is woken."""

    def __init__(self, store: Store, promote: Callable[[], float | None]) -> None:
        super().__init__("pump")
        self._store, self._promote = store, promote

    def _run(self) -> None:
        wakes: Wakes | None = None
        while not self._stopped.is_set():
            try:
                wakes = wakes or self._store.wakes()
                due_seconds = self._promote()
                wakes.wait(LONGEST_SECONDS if due_seconds is None else min(due_seconds, LONGEST_SECONDS))
            except StoreUnavailable as error:
                logger.warning("the store is away: %s", error)
                wakes = None
                self._stopped.wait(AFTER_FAILURE_SECONDS)
            except Exception:
                # The pump keeps calls going: one bad round must not end it, and must not pass unseen.
                logger.exception("the pump failed; it goes on in a second")
                wakes = None
                self._stopped.wait(AFTER_FAILURE_SECONDS)
        if wakes is not None:
            wakes.close()
