"""The beat: what a worker does every second whether or not it has work."""

from __future__ import annotations

import logging
from collections.abc import Callable

from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_worker.process.daemon import Daemon

logger = logging.getLogger(__name__)


class Beat(Daemon):
    """Calls one function after another, every `seconds`, in a thread of its own."""

    def __init__(self, seconds: float, duties: tuple[Callable[[], object], ...]) -> None:
        super().__init__("beat")
        self._seconds, self._duties = seconds, duties

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            for duty in self._duties:
                try:
                    duty()
                except StoreUnavailable as error:
                    logger.warning("the store is away: %s", error)
                except Exception:
                    # The beat keeps leases alive: one bad round must not end it, and must not pass unseen.
                    logger.exception("%s failed; the next beat tries again", getattr(duty, "__name__", duty))
