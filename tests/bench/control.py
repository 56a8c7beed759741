"""What control flow costs: a map's item and a loop's pass, of which a run may have many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import redis

from orchestrator_client.client import Client
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Loop, LoopKind, Plan, Step, StepKind
from tests.bench.race import run_seconds
from tests.fleet import python_step, start_worker

ITEMS = 10_000
ITEM_BAR, ITEM_BYTES_BAR, PASS_BAR = 1.3, 1024, 1.15


def measure(url: str, folder: Path, _rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    worker = start_worker(url, folder, "control", "--pool", "threads", "-c", "8", beat_seconds=60, lease_seconds=300)
    client = Client(url)
    try:
        run_seconds(client, _map(100, 10))  # warms up
        yield from _items(url, client)
        yield from _passes(client)
    finally:
        client.close()
        worker.kill()


def _items(url: str, client: Client) -> Iterator[tuple[str, float, float, str, str]]:
    """Time of an item with many items under way against few, and what the store keeps of one."""
    with redis.Redis.from_url(url) as connection:
        taken = {}
        for at_a_time in (100, 1_000):
            seconds = run_seconds(client, _map(ITEMS, at_a_time))
            taken[at_a_time] = seconds / ITEMS
        sizes = {}
        for count in (ITEMS // 10, ITEMS):
            record = client.submit(_map(count, 100)).wait(timeout=240)
            sizes[count] = _run_bytes(connection, record.run)
    detail = ", ".join(f"{at_a_time:,} at a time: {each * 1000:.2f} ms" for at_a_time, each in taken.items())
    yield "map of 10,000, an item, 1,000 / 100 at a time", taken[1_000] / taken[100], ITEM_BAR, "x", detail
    each = (sizes[ITEMS] - sizes[ITEMS // 10]) / (ITEMS - ITEMS // 10)
    detail = ", ".join(f"{count:,} items: {size / 1e6:.1f} MB" for count, size in sizes.items())
    yield "map of 10,000, Redis memory of an item", each, ITEM_BYTES_BAR, "B", detail


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
