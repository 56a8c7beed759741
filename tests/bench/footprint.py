"""What the engine takes: bytes of a message, round trips of a step, memory of a worker."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import redis

from orchestrator_client.client import Client
from orchestrator_client.contract import names
from tests.bench.race import plan_of, run_seconds
from tests.bench.shapes import chain, fan, layers
from tests.fleet import InProcessFleet, start_worker

FETCHING = {
    "BRPOP",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "UNSUBSCRIBE",
    "PING",
    "INFO",
    "CLIENT",
    "SELECT",
    "MONITOR",
    "SADD",
    "SMEMBERS",
}
"""Commands of the broker's own life, and of connections."""


def measure(url: str, folder: Path, _rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    yield from _message_bytes(url, folder)
    worker = start_worker(url, folder, "footprint", "--pool", "threads", "-c", "8")
    try:
        yield from _round_trips(url)
        yield from _memory(url, worker.process.pid)
    finally:
        worker.kill()


def _message_bytes(url: str, folder: Path) -> Iterator[tuple[str, float, float, str, str]]:
    fleet = InProcessFleet.on(url, folder)
    sizes = {}
    for steps in (10, 1_000, 10_000):
        fleet.submit(plan_of("message", chain(steps)))
        message = fleet.take(names.TOOL_QUEUE)
        assert message is not None
        sizes[steps] = len(message.raw)
    fleet.close()
    detail = ", ".join(f"{steps:,} steps: {size}" for steps, size in sizes.items())
    yield "bytes of a step's message", max(sizes.values()), 1024, "B", detail


def _round_trips(url: str) -> Iterator[tuple[str, float, float, str, str]]:
    """Commands that reach Redis from outside of scripts, less the broker's fetching; a pipelined batch is one trip."""
    client = Client(url)
    for name, shape in (("chain of 100", chain(100)), ("20 layers of 10", layers(20, 10))):
        plan = plan_of("trips", shape)
        run_seconds(client, plan)
        own = _own_trips(url, lambda plan=plan: run_seconds(client, plan))
        steps = len(plan.steps)
        scripts = own["EVALSHA"]
        detail = f"{scripts / steps:.2f} scripts, {own['LPUSH'] / steps:.2f} publications a step"
        yield f"round trips a step, {name}", sum(own.values()) / steps, 4.0, "", detail
    client.close()


def _own_trips(url: str, work: object) -> Counter[str]:
    counted: Counter[str] = Counter()
    with redis.Redis.from_url(url) as connection, redis.Redis.from_url(url) as control:
        ours = {client["id"] for client in control.client_list()}
        seen: list[tuple[str, str]] = []
        ready, done = threading.Event(), threading.Event()

        def listen() -> None:
            with connection.monitor() as monitor:
                ready.set()
                for command in monitor.listen():
                    if command["client_type"] != "lua":
                        seen.append(
                            (
                                f"{command['client_address']}:{command['client_port']}",
                                command["command"].split()[0].upper(),
                            )
                        )
                    if "bench:done" in command["command"]:
                        break
            done.set()

        threading.Thread(target=listen, daemon=True).start()
        ready.wait()
        work()  # type: ignore[operator]
        control.get("bench:done")
        done.wait(10)
        assert ours
    previous: tuple[str, str] | None = None
    for address, verb in seen:
        if verb in ("EVALSHA", "LPUSH") and not (verb == "LPUSH" and previous == (address, verb)):
            counted[verb] += 1
        previous = (address, verb)
    return counted


def _memory(url: str, pid: int) -> Iterator[tuple[str, float, float, str, str]]:
    client, process = Client(url), psutil.Process(pid)
    plan = plan_of("memory", fan(198))
    sizes = {}
    for ran in range(1, 101):
        run_seconds(client, plan)
        if ran in (10, 100):
            sizes[ran * 200] = process.memory_info().rss
    client.close()
    detail = ", ".join(f"{steps:,} steps: {size / 1e6:.1f} MB" for steps, size in sizes.items())
    yield "worker RSS, 20,000 steps / 2,000", sizes[20_000] / sizes[2_000], 1.03, "x", detail
