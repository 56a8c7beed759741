"""That a worker lives, and what it is: told to the store every few seconds, and to Prometheus when that asks."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

from orchestrator_client.contract.worker import REPORT_SECONDS, WorkerInfo
from orchestrator_worker import meters
from orchestrator_worker.store import Store

if TYPE_CHECKING:
    from prometheus_client import Metric

logger = logging.getLogger(__name__)


class Presence:
    """One worker's. `busy` says how many of its slots are taken now."""

    def __init__(self, store: Store, info: WorkerInfo, busy: Callable[[], int]) -> None:
        self._store, self._busy = store, busy
        self._info = info.model_copy(
            update={"version": version("orchestrator"), "host": socket.gethostname(), "pid": os.getpid()}
        )
        self._next = 0.0

    def report(self) -> None:
        """Tell the store, if the last report is old enough."""
        if time.monotonic() < self._next:
            return
        told = self._info.model_copy(update={"busy": self._busy()})
        now_ms = self._store.report_worker(told.name, told)
        if not self._info.started_ms:
            self._info = self._info.model_copy(update={"started_ms": now_ms})
        self._next = time.monotonic() + REPORT_SECONDS

    def leave(self) -> None:
        """Tell the store that it ends."""
        self._store.report_worker(self._info.name, None)

    def answer_prometheus(self, address: str, port: int) -> None:
        """Serve what is measured. A port that is taken is named, and is no reason not to work."""
        try:
            taken = meters.serve(address, port, self._gauges)
        except OSError as error:
            logger.error(
                "no metrics at %s:%d: %s; give each worker its ORCHESTRATOR_METRICS_PORT", address, port, error
            )
            return
        logger.warning("metrics: http://%s:%d/metrics", address, taken)
        self._info = self._info.model_copy(update={"metrics_port": taken})

    def _gauges(self) -> Iterable[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        info = self._info
        yield _gauge("orchestrator_worker_slots", "Steps that this worker runs at a time.", info.slots)
        yield _gauge("orchestrator_worker_busy_slots", "Of them, those that are taken.", self._busy())
        about = GaugeMetricFamily(
            "orchestrator_worker_info", "1; what this worker is.", labels=["name", "version", "pool"]
        )
        about.add_metric([info.name, info.version, info.pool], 1)
        yield about


def _gauge(name: str, about: str, amount: float) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, about, value=amount)
