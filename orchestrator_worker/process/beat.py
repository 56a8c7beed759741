"""The beat: what a worker does every second whether or not it has work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from orchestrator_client.contract.errors import StoreUnavailable

logger = logging.getLogger(__name__)


class Beat:
    """Calls one function after another, every `seconds`, in a thread of its own."""

    def __init__(self, seconds: float, duties: tuple[Callable[[], object], ...]) -> None:
        self._seconds, self._duties = seconds, duties
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop after the present round, and wait for its end."""
        self._stopped.set()
        self._thread.join(timeout=5.0)

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
