"""A thread that goes on in the background for as long as its worker does."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

STOP_SECONDS = 5.0
"""How long the end of a round is waited for."""


class Daemon(ABC):
    """Started once, and stopped after its present round."""

    def __init__(self, name: str) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop after the present round, and wait for its end."""
        self._stopped.set()
        self._thread.join(timeout=STOP_SECONDS)

    @abstractmethod
    def _run(self) -> None:
        """Rounds, until `_stopped` is set."""
