"""`kill -9` of workers and of children under load, at random points and at each named point by turns."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from tests.chaos import oracle
from tests.chaos.campaigns import kept_scene, quantile, report
from tests.chaos.crash_points import POINTS, WHEN
from tests.chaos.effects import Effect
from tests.chaos.scene import Scene
from tests.chaos.workloads import MEANT_TO_FAIL, chain, fan, mixed
from tests.conftest import wait_until

NAMED = tuple(f"{when}:{point}" for point in POINTS if point not in ("submit", "announce") for when in WHEN)
BATCH = 6
"""Kills between two judgements."""


@dataclass
class Tally:
    """What the kills so far came to."""

    kills: int = 0
    points: set[str] = field(default_factory=set)
    """Named points at which a process died."""
    runs: int = 0
    hung: int = 0
    lost: int = 0
    """Steps without an outcome in runs that have ended."""
    unsound: int = 0
    """Histories or ledgers with anything else wrong: joins, outcomes, attempts."""
    again: int = 0
    """Effects that began more than once."""
    moved: list[float] = field(default_factory=list)
    """Seconds until a killed worker's step began elsewhere."""
    retried: list[float] = field(default_factory=list)
    """The same for a killed child's, with the same worker."""


def kills(count: int, seed: int) -> int:
    """So many kills, 300 without a number; judged every few."""
    count, tally = count or 300, Tally()
    with kept_scene("kills", seed) as scene:
        while tally.kills < count:
            scene.begin_episode()
            _load(scene)
            for number in range(tally.kills, min(tally.kills + BATCH, count)):
                _kill(scene, number, tally)
                tally.kills += 1
            _judge(scene, tally)
            wrong = tally.hung + tally.lost + tally.unsound
            print(f"{tally.kills} kills of {count}, {tally.runs} runs: {wrong} problems", flush=True)
    figures = {
        "kills": tally.kills,
        "points_reached": f"{len(tally.points)} of {len(NAMED)}",
        "runs": tally.runs,
        "runs_hung": tally.hung,
        "steps_lost": tally.lost,
        "unsound": tally.unsound,
        "done_again": tally.again,
        **_times("moved", tally.moved),
        **_times("retried", tally.retried),
    }
    return report("kills", figures, tally.hung + tally.lost + tally.unsound)


def _load(scene: Scene) -> None:
    """A chain, a fan and a mixture at once."""
    scene.serve_models()
    scene.meant_to_fail |= MEANT_TO_FAIL
    for plan in (chain(12), fan(24, 0.3), mixed()):
        scene.submit(plan)


def _kill(scene: Scene, number: int, tally: Tally) -> None:
    """One kill: of a child, of a worker, or of a process at a named point."""
    if all(run.status().state.ended for run in scene.runs):
        _load(scene)
    match number % 3:
        case 0:
            _kill_running(scene, lambda line: os.kill(line.pid, signal.SIGKILL), tally.retried)
        case 1:
            _kill_running(scene, lambda line: scene.kill(scene.worker_of(line.pid)), tally.moved)
            scene.start_worker()
        case _:
            _kill_at(scene, NAMED[number // 3 % len(NAMED)], tally)


def _kill_running(scene: Scene, how: Callable[[Effect], None], seconds: list[float]) -> None:
    """Kill what is in the middle of a step, and note when that begins again."""
    time.sleep(scene.chance.random() * 0.3)
    while True:
        line = scene.wait_for_running()
        try:
            how(line)
            break
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue  # it has just ended by itself
    killed = time.monotonic()
    if (moved := wait_until(lambda: _begun_again(scene, line), f"{line.instance} of {line.run} runs again", 90)) > 0:
        seconds.append(moved - killed)


def _begun_again(scene: Scene, lost: Effect) -> float | None:
    """When a lost step began once more; -1 where it had ended just before its process did."""
    for line in scene.effects():
        if line.key == lost.key and line.attempt == lost.attempt and line.ends:
            return -1.0
        if line.key == lost.key and line.attempt > lost.attempt:
            return line.at
    return None


def _kill_at(scene: Scene, point: str, tally: Tally) -> None:
    """Start a worker that dies at a point, and give it runs until it gets there, for a while."""
    flag = scene.folder / f"crashed-{tally.kills}"
    worker = scene.start_worker(crash=f"{point}:1:{flag}")
    deadline = time.monotonic() + 60
    while not flag.exists() and time.monotonic() < deadline:
        run = scene.submit(mixed())
        while not (flag.exists() or run.status().state.ended):
            time.sleep(0.05)
    if flag.exists():
        tally.points.add(point)
    else:
        print(f"  {point} was not reached", flush=True)
    if worker.process.poll() is None:
        worker.process.terminate()


def _judge(scene: Scene, tally: Tally) -> None:
    """Count what is wrong once all runs have ended, or should have; and print it."""
    tally.runs += len(scene.runs)
    try:
        scene.wait_for_ends(90)
    except AssertionError as hung:
        tally.hung += 1
        print(f"{hung}\n  evidence in {scene.folder}", flush=True)
        scene.runs = [run for run in scene.runs if run.status().state.ended]
    for run in scene.runs:
        complete = next(f for f in scene.client.verify(run.id).findings if f.rule == "complete")
        tally.lost += complete.broken
    begun = Counter(line.key for line in scene.effects() if line.begins)
    tally.again += sum(count - 1 for count in begun.values())
    try:
        oracle.judge(scene)
    except AssertionError as wrong:
        tally.unsound += 1
        print(f"{wrong}\n  evidence in {scene.folder}", flush=True)


def _times(name: str, seconds: list[float]) -> dict[str, float | None]:
    ordered = sorted(seconds)
    return {f"{name}_p50_seconds": quantile(ordered, 0.5), f"{name}_p99_seconds": quantile(ordered, 0.99)}
