"""Wall time of the four shapes, ours and by hand, in turn, on one Redis and equal workers (64 threads)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from orchestrator_client.client import Client
from orchestrator_client.contract.plan import Plan
from tests.bench.shapes import SHAPES, Shape
from tests.fleet import python_step, start_worker

BARS = {"chain100": 0.95, "fan200": 0.6, "layers20x10": 0.4}
UNEVEN_BAR = 1.10


def plan_of(name: str, shape: Shape) -> Plan:
    """Each step calls a Python function: one that returns at once, or sleeps."""
    steps = []
    for step, needs in shape.needs.items():
        call = ("time:sleep", shape.seconds[step]) if shape.seconds[step] else ("builtins:str", step)
        steps.append(python_step(step, *call, after=tuple(needs)))
    return Plan(id=name, steps=tuple(steps))


def run_seconds(client: Client, plan: Plan) -> float:
    """Wall time of one run, from the submission to the end as the client sees it."""
    before = time.perf_counter()
    record = client.submit(plan).wait(timeout=600)
    if not record.success:
        raise RuntimeError(f"run {record.run} did not succeed: {record.error}")
    return time.perf_counter() - before


def measure(url: str, folder: Path, rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    from tests.bench import canvas_peer

    worker = start_worker(url, folder, "ours", "--pool", "threads", "-c", "64")
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tests.bench.canvas_peer",
        "worker",
        "-P",
        "threads",
        "-c",
        "64",
        "-l",
        "WARNING",
    ]
    with (folder / "peer.log").open("ab") as log:
        peer = subprocess.Popen(command, env={**os.environ, "BENCH_REDIS_URL": url}, stdout=log, stderr=log)
    client = Client(url)
    try:
        for name, make in SHAPES.items():
            shape = make()
            plan, ours, theirs = plan_of(name, shape), [], []
            for _ in range(rounds + 1):
                ours.append(run_seconds(client, plan))
                theirs.append(canvas_peer.run_seconds(name, shape))
            mine, other = median(ours[1:]), median(theirs[1:])  # the first of each warms up
            detail = f"{mine * 1000:.0f} ms, canvas {other * 1000:.0f} ms"
            if name in BARS:
                yield f"{name} / canvas", mine / other, BARS[name], "x", detail
            else:
                ideal = shape.critical_path_seconds
                yield (
                    f"{name} / its critical path",
                    mine / ideal,
                    UNEVEN_BAR,
                    "x",
                    f"{detail}, ideal {ideal * 1000:.0f} ms",
                )
    finally:
        client.close()
        worker.kill()
        peer.kill()
        peer.wait()
