"""What control flow costs: a map's item, a loop's pass and a chain's step, of which a run may have many."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import redis

from orchestrator_client.client import Client
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Loop, LoopKind, Plan, Step, StepKind
from tests.bench.race import plan_of, run_seconds
from tests.bench.shapes import chain
from tests.fleet import python_step, start_worker

ITEMS = 10_000
ITEM_BAR, ITEM_BYTES_BAR, PASS_BAR, STEP_BAR = 1.3, 1024, 1.15, 1.15
RSS_BAR_MB = 30


def measure(url: str, folder: Path, _rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    worker = start_worker(url, folder, "control", "--pool", "threads", "-c", "8", beat_seconds=60, lease_seconds=300)
    client = Client(url)
    try:
        run_seconds(client, _map(100, 10))  # warms up
        yield from _items(url, client, psutil.Process(worker.process.pid))
        yield from _passes(client)
        yield from _chains(client)
    finally:
        client.close()
        worker.kill()


def _items(url: str, client: Client, worker: psutil.Process) -> Iterator[tuple[str, float, float, str, str]]:
    """Time of an item of a long map against a short one, and with many items under way against few; what the worker
    grows by, and what the store keeps of an item."""
    taken, spent, sizes = {}, {}, {}
    with redis.Redis.from_url(url) as connection:
        for count, at_a_time in ((ITEMS // 10, 100), (ITEMS, 100), (ITEMS, 1_000)):
            before, busy, began = worker.memory_info().rss, _cpu_seconds(worker, connection), time.perf_counter()
            record = client.submit(_map(count, at_a_time)).wait(timeout=600)
            taken[count, at_a_time] = (time.perf_counter() - began) / count
            spent[count, at_a_time] = (_cpu_seconds(worker, connection) - busy) / count
            grown = (worker.memory_info().rss - before) / 1e6
            sizes[count, at_a_time] = _run_bytes(connection, record.run), grown
    short, long, wide = taken.values()
    detail = f"1,000: {short * 1000:.2f} ms, 10,000: {long * 1000:.2f} ms"
    yield "map of 10,000 / of 1,000, an item, 100 at a time", long / short, ITEM_BAR, "x", detail
    little, much, _ = spent.values()
    detail = f"1,000: {little * 1000:.2f} ms, 10,000: {much * 1000:.2f} ms of worker and Redis"
    yield "the same, in processor time", much / little, ITEM_BAR, "x", detail
    detail = f"100 at a time: {long * 1000:.2f} ms, 1,000 at a time: {wide * 1000:.2f} ms"
    yield "map of 10,000, an item, 1,000 / 100 at a time", wide / long, ITEM_BAR, "x", detail
    grown = sizes[ITEMS, 100][1]
    yield "map of 10,000, worker RSS grows by", grown, RSS_BAR_MB, "MB", f"of {worker.memory_info().rss / 1e6:.0f} MB"
    small, large = sizes[ITEMS // 10, 100][0], sizes[ITEMS, 100][0]
    each = (large - small) / (ITEMS - ITEMS // 10)
    detail = f"1,000 items: {small / 1e6:.1f} MB, 10,000 items: {large / 1e6:.1f} MB"
    yield "map of 10,000, Redis memory of an item", each, ITEM_BYTES_BAR, "B", detail


def _cpu_seconds(worker: psutil.Process, connection: Any) -> float:
    """Processor time that the worker and Redis have taken: of a busy machine it says more than the clock."""
    used, redis_used = worker.cpu_times(), connection.info("cpu")
    own: float = used.user + used.system + redis_used["used_cpu_user"] + redis_used["used_cpu_sys"]
    return own


def _run_bytes(connection: redis.Redis, run: str) -> float:
    """Memory of all keys of a run, as Redis counts it."""
    keys = connection.scan_iter(match=f"{names.RunKeys(run).record}*", count=1000)
    return float(sum(connection.memory_usage(key, samples=0) or 0 for key in keys))


def _passes(client: Client) -> Iterator[tuple[str, float, float, str, str]]:
    taken = {}
    for passes in (100, 1_000):
        taken[passes] = run_seconds(client, _loop(passes)) / passes
    detail = ", ".join(f"{passes:,} passes: {each * 1000:.2f} ms" for passes, each in taken.items())
    yield "loop, a pass, 1,000 / 100 passes", taken[1_000] / taken[100], PASS_BAR, "x", detail


def _chains(client: Client) -> Iterator[tuple[str, float, float, str, str]]:
    taken = {}
    for steps in (100, 1_000):
        plan = plan_of(f"chain{steps}", chain(steps))
        run_seconds(client, plan)  # a plan is read once, whatever its length
        taken[steps] = run_seconds(client, plan) / steps
    detail = ", ".join(f"{steps:,} steps: {each * 1000:.2f} ms" for steps, each in taken.items())
    yield "chain, a step, 1,000 / 100 steps", taken[1_000] / taken[100], STEP_BAR, "x", detail


def _map(count: int, at_a_time: int) -> Plan:
    loop = Loop(
        kind=LoopKind.MAP,
        items=list(range(count)),
        max_parallel=at_a_time,
        steps=(python_step("t", "builtins:str", "x"),),
    )
    return _plan(f"map{count}x{at_a_time}", "map", loop)


def _loop(passes: int) -> Plan:
    body = (python_step("t", "builtins:str", "x"),)
    return _plan("loop", "loop", Loop(kind=LoopKind.WHILE, condition=True, max_iterations=passes, steps=body))


def _plan(plan: str, uses: str, loop: Loop) -> Plan:
    return Plan(id=plan, steps=(Step(id="m", kind=StepKind.CONTROL, uses=uses, loop=loop),))
