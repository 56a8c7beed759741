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
from orchestrator_client.contract.plan import Plan
from tests.bench.race import plan_of, run_seconds
from tests.bench.shapes import chain, fan, layers
from tests.fleet import InProcessFleet, start_worker


def measure(url: str, folder: Path, _rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    yield from _message_bytes(url, folder)
    # A slow beat, so that its scripts are not counted as some step's.
    worker = start_worker(url, folder, "footprint", "--pool", "threads", "-c", "8", beat_seconds=60, lease_seconds=300)
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
    fleet.redis.flushall()  # or the worker of the next measurement would find these runs and go on with them
    fleet.close()
    detail = ", ".join(f"{steps:,} steps: {size}" for steps, size in sizes.items())
    yield "bytes of a step's message", max(sizes.values()), 1024, "B", detail


def _round_trips(url: str) -> Iterator[tuple[str, float, float, str, str]]:
    """Commands that reach Redis from outside of scripts, less the broker's fetching; a pipelined batch is one trip.

    A step's are the difference between two runs of which one has 100 steps more: starting and closing a run, and what
    beats once a second, is no step's.
    """
    client = Client(url)
    for name, short, long in (
        ("chain", chain(100), chain(200)),
        ("layers of 10", layers(10, 10), layers(20, 10)),
    ):
        trips = [_own_trips(url, client, plan_of("trips", shape)) for shape in (short, long)]
        scripts, sent = ((trips[1][verb] - trips[0][verb]) / 100 for verb in ("EVALSHA", "LPUSH"))
        whole = sum(trips[0].values())
        detail = f"{scripts:.2f} scripts, {sent:.2f} publications; the run of 100 as a whole: {whole}"
        yield f"round trips a step, {name}", scripts + sent, 4.0, "", detail
    client.close()


def _own_trips(url: str, client: Client, plan: Plan) -> Counter[str]:
    """Trips of one run by verb, counted by MONITOR; the first run of a plan reads it and is not counted."""
    run_seconds(client, plan)
    seen: list[tuple[str, str]] = []
    ready = threading.Event()

    def listen() -> None:
        with redis.Redis.from_url(url) as connection, connection.monitor() as monitor:
            ready.set()
            for command in monitor.listen():
                if "bench:done" in command["command"]:
                    return
                if command["client_type"] != "lua":
                    address = f"{command['client_address']}:{command['client_port']}"
                    seen.append((address, command["command"].split()[0].upper()))

    listener = threading.Thread(target=listen)
    listener.start()
    ready.wait()
    run_seconds(client, plan)
    with redis.Redis.from_url(url) as control:
        control.get("bench:done")
    listener.join()
    counted: Counter[str] = Counter()
    for before, (address, verb) in zip([("", ""), *seen], seen, strict=False):
        if verb == "EVALSHA" or (verb == "LPUSH" and before != (address, verb)):
            counted[verb] += 1
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
