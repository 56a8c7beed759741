"""The same shapes as a good Celery user writes them by hand: chains and chords, one barrier a level."""

from __future__ import annotations

import os
import time

from celery import Celery, chain, chord
from celery.canvas import Signature

from orchestrator_client.contract.names import celery_url
from tests.bench.shapes import Shape

URL = celery_url(os.environ["BENCH_REDIS_URL"])

app = Celery("canvas_peer", broker=URL, backend=URL)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, worker_hijack_root_logger=False)


@app.task(name="bench.step")
def step(name: str, seconds: float = 0.0) -> str:
    if seconds:
        time.sleep(seconds)
    return name


def canvas(shape: Shape) -> Signature:
    """A chain where a level has one step; a chord with an empty body elsewhere, since a chain needs one to go on."""
    parts = []
    for number, level in enumerate(shape.levels):
        header = [step.si(name, shape.seconds[name]) for name in level]
        parts.append(header[0] if len(header) == 1 else chord(header, step.si(f"barrier{number}")))
    return chain(*parts)


def fan_canvas(shape: Shape) -> Signature:
    """Fan-out and fan-in have an exact canvas: the join is the body."""
    first, middle, (last,) = shape.levels
    header = [step.si(name, shape.seconds[name]) for name in middle]
    return chain(step.si(first[0], 0.0), chord(header, step.si(last, 0.0)))


def run_seconds(name: str, shape: Shape) -> float:
    """Wall time of one run, from the sending to the result."""
    sent = fan_canvas(shape) if name.startswith("fan") else canvas(shape)
    before = time.perf_counter()
    sent.apply_async().get(timeout=120)
    return time.perf_counter() - before
