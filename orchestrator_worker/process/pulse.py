"""The pulse: it excuses a worker that consumes nothing because the store is away, and nobody else."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator_worker.process.daemon import Daemon
from orchestrator_worker.process.proof import FRESH_SECONDS, Proof

LOOK_SECONDS = FRESH_SECONDS / 6


class Pulse(Daemon):
    """Where the proof grows old, asks the store whether it could hand out messages at all."""

    def __init__(self, proof: Proof, answers: Callable[[], bool]) -> None:
        super().__init__("pulse")
        self._proof, self._answers = proof, answers

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            if self._proof.age_seconds > LOOK_SECONDS and not self._answers():
                self._proof.renew()
