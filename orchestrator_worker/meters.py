"""What one worker measures of itself, its children included.

Nothing is measured, and prometheus_client is not imported, until `begin` is called. Children of a fork write into files
of their own, which the parent adds up when it is asked (prometheus_client's mode for several processes). What concerns
the whole fleet is not measured here: it is read from the store.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import Metric

STAGES = ("slot", "limit", "work")
"""What an attempt's time goes into: from ready to its start (its message, and a slot), waiting at a provider's limit,
working."""

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""Buckets of a stage."""
TRIP_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10)
"""Buckets of a round trip to Redis."""

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class _Meters:
    """The instruments, made once."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.stage = Histogram(
            "orchestrator_stage_seconds", "Time of attempts by stage.", ["stage", "queue"], buckets=SECONDS
        )
        self.attempts = Counter("orchestrator_attempts", "Attempts that ended here.", ["queue", "outcome"])
        self.leases = Counter("orchestrator_leases_lost", "Leases that this worker lost.")
        self.sweeps = Counter("orchestrator_sweeps", "Sweeps of this worker.")
        self.repairs = Counter("orchestrator_repairs", "What its sweeps repaired.", ["repair"])
        self.mcp = Gauge("orchestrator_mcp_processes", "MCP servers that run.", multiprocess_mode="livesum")
        self.trips = Histogram("orchestrator_redis_seconds", "Round trips to Redis.", ["script"], buckets=TRIP_SECONDS)


_on: _Meters | None = None


def begin() -> None:
    """Measure from now on. To be called before a child is forked, and before prometheus_client is imported."""
    global _on
    os.environ[DIRECTORY_VARIABLE] = tempfile.mkdtemp(prefix="orchestrator-metrics-")
    _on = _Meters()


def end() -> None:
    """Remove the files. For the parent alone."""
    global _on
    if _on is not None:
        _on = None
        shutil.rmtree(os.environ.pop(DIRECTORY_VARIABLE), ignore_errors=True)


def stage(name: str, queue: str, seconds: float) -> None:
    """One attempt spent so long in a stage, one of `STAGES`."""
    if _on is not None:
        _on.stage.labels(name, queue).observe(seconds)


def attempt(queue: str, outcome: str) -> None:
    """One attempt has ended: with an outcome, or `left` (parked, to be tried again, or another worker's)."""
    if _on is not None:
        _on.attempts.labels(queue, outcome).inc()


def lease_lost() -> None:
    """An attempt of this worker was taken for lost, and another one has taken over."""
    if _on is not None:
        _on.leases.inc()


def swept(repairs: Iterable[str]) -> None:
    """One sweep, and what it found to repair."""
    if _on is not None:
        _on.sweeps.inc()
        for repair in repairs:
            _on.repairs.labels(repair).inc()


def mcp_processes(number: int) -> None:
    """So many MCP servers are children of this process now."""
    if _on is not None:
        _on.mcp.set(number)


def trip(script: str, seconds: float) -> None:
    """One round trip to Redis took so long."""
    if _on is not None:
        _on.trips.labels(script).observe(seconds)


def _forget_the_dead() -> None:
    """What children that are gone had open at that time counts no more."""
    from prometheus_client.multiprocess import mark_process_dead

    for file in Path(os.environ[DIRECTORY_VARIABLE]).glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid)  # type: ignore[no-untyped-call]


def serve(address: str, port: int, present: Callable[[], Iterable[Metric]]) -> int:
    """Answer Prometheus from a thread; the port, which is another one if 0 was given. `present` are the gauges of now.

    Raises:
        OSError: the port is taken.
    """
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    class Present:
        def collect(self) -> Iterable[Metric]:
            _forget_the_dead()
            return present()

    registry = CollectorRegistry()
    registry.register(Present())
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    server: Any
    server, _ = start_http_server(port, address, registry)
    return int(server.server_port)
