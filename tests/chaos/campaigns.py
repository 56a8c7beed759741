"""Campaigns: many kills, many runs, poison among others' work, cancellations. Each prints its figures in lines."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from orchestrator_client.client import Run
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import Plan
from tests.bench import shapes
from tests.bench.race import plan_of
from tests.chaos import oracle
from tests.chaos.catalogue import BY_ID
from tests.chaos.driver import inject
from tests.chaos.effects import Effect
from tests.chaos.scene import QUEUES, Scene
from tests.chaos.workloads import DIE, chain, effect, fan
from tests.conftest import wait_until


def poison(count: int, seed: int) -> int:
    """Others' work with and without steps that kill their processes beside it."""
    width = count or 120
    with kept_scene("poison", seed) as scene:
        scene.begin_episode()
        _timed(scene, fan(4, 0.0))
        alone = _timed(scene, fan(width, 0.5))
        bad = [scene.client.submit(_poisonous(number)) for number in range(4)]
        beside = _timed(scene, fan(width, 0.5))
        for run in bad:
            run.wait(120)
        tries = [sum(line.begins for line in scene.effects() if line.run == run.id) for run in bad]
        problems = problems_of(scene)
    figures = {"attempts_most": max(tries), "throughput_share": round(alone / beside, 3), "problems": problems}
    return report("poison", figures, problems + (max(tries) > 3))


def cancel(count: int, seed: int) -> int:
    """Runs that are cancelled while half of their steps run."""
    count, stops, problems = count or 20, list[float](), 0
    with kept_scene("cancel", seed) as scene:
        for _ in range(count):
            scene.begin_episode()
            run = scene.submit(fan(12, 30.0))
            scene.wait_for_effects(4 + scene.chance.randint(0, 6))
            scene.cancel(run)
            began = time.monotonic()
            scene.wait_for_ends()
            wait_until(lambda: not _busy(scene), "no cancelled step runs any more", 30)
            stops.append(time.monotonic() - began)
            problems += problems_of(scene)
    stops.sort()
    figures = {"cancelled": count, "stopped_p99_seconds": quantile(stops, 0.99), "problems": problems}
    return report("cancel", figures, problems)


def leaks(count: int, seed: int) -> int:
    """Many runs: what they leave in processes, descriptors, memory, and in keys that have no end."""
    count = count or 10_000
    with kept_scene("leaks", seed) as scene:
        scene.begin_episode()
        _many(scene, max(50, count // 20))
        before, keys_before = _resources(scene), _endless(scene)
        _many(scene, count)
        after, keys_after = _resources(scene), _endless(scene)
        problems = sum(after[name] > before[name] * 1.02 + 1 for name in before) + (keys_after > keys_before)
    growth = {name: round(after[name] / max(1, before[name]), 3) for name in before}
    return report("leaks", {"runs": count, **growth, "keys_without_end": keys_after}, problems)


HEALS = ("F24", "F27", "F29", "F32", "F34")


def heals(count: int, seed: int) -> int:
    """The store goes away in five ways; how soon work goes on once it is back, and what was recorded wrongly."""
    results = []
    for number, id in product(range(count or 1), HEALS):
        results.append(result := inject(BY_ID[id], seed=seed + number))
        print(result.line, flush=True)
    resumed = [result.resumed_seconds for result in results if result.resumed_seconds is not None]
    problems = sum(bool(result.problem) for result in results)
    most = round(max(resumed), 1) if resumed else None
    return report("heals", {"faults": len(results), "resumed_most_seconds": most, "wrong": problems}, problems)


def speed(count: int, seed: int) -> int:
    """Steps that do nothing, with an append-only file and all guarantees: how many a second, and how soon."""
    with kept_scene("speed", seed) as scene:
        scene.start_worker("--queues", QUEUES, "--pool", "threads", "-c", "64")
        _timed(scene, plan_of("warm", shapes.fan(20)))
        fans = {
            width: min(_timed(scene, plan_of("fan", shapes.fan(width))) for _ in range(count or 3))
            for width in (100, 1000)
        }
        run = scene.submit(plan_of("chain", shapes.chain(200)))
        run.wait(180)
        began = [event.at_ms for event in run.stream() if event.kind is EventKind.STEP_STARTED]
        problems = problems_of(scene)
    apart = sorted(float(later - before) for before, later in pairwise(began))
    figures = {
        "steps_a_second": round(1002 / fans[1000]),
        "fan_100_seconds": round(fans[100], 2),
        "fan_1000_seconds": round(fans[1000], 2),
        "chained_p50_ms": quantile(apart, 0.5),
        "chained_p99_ms": quantile(apart, 0.99),
    }
    return report("speed", figures, problems)


ALL: Mapping[str, Callable[[int, int], int]] = {
    "poison": poison,
    "cancel": cancel,
    "leaks": leaks,
    "heals": heals,
    "speed": speed,
}


@contextmanager
def kept_scene(name: str, seed: int, **settings: Any) -> Iterator[Scene]:
    """A scene whose folder stays for whoever wants to know. Its workers have the settings of a user, but for these."""
    with Scene(Path(tempfile.mkdtemp(prefix=f"chaos-{name}-")), seed, settings) as scene:
        yield scene
        oracle.judge_processes(scene)


def problems_of(scene: Scene) -> int:
    """Whether all runs have ended as they should; prints what is wrong."""
    try:
        scene.wait_for_ends()
        oracle.judge(scene)
    except AssertionError as wrong:
        print(f"{wrong}\n  evidence in {scene.folder}", flush=True)
        return 1
    return 0


def _poisonous(number: int) -> Plan:
    return Plan(id=f"poison{number}", steps=(effect("dies", uses=DIE),))


def _timed(scene: Scene, plan: Plan) -> float:
    began = time.monotonic()
    run = scene.submit(plan)
    run.wait(180)
    return time.monotonic() - began


def _busy(scene: Scene) -> list[Effect]:
    """Effects that began, did not end and were not broken off, and whose process lives."""
    over = {(*line.key, line.attempt) for line in scene.effects() if not line.begins}
    begun = [line for line in scene.effects() if line.begins and (*line.key, line.attempt) not in over]
    return [line for line in begun if Path(f"/proc/{line.pid}").exists()]


def _many(scene: Scene, count: int) -> None:
    """So many runs of two steps, twenty at a time."""
    under_way: list[Run] = []
    for number in range(count):
        under_way.append(scene.client.submit(chain(2, 0.0)))
        if len(under_way) == 20 or number + 1 == count:
            for run in under_way:
                run.wait(120)
            under_way.clear()


def _resources(scene: Scene) -> dict[str, float]:
    """Processes, descriptors and memory of all workers."""
    processes = scene.processes()
    return {
        "processes": float(len(processes)),
        "descriptors": float(sum(process.num_fds() for process in processes)),
        "rss": float(sum(process.memory_info().rss for process in processes)),
    }


def _endless(scene: Scene) -> int:
    """Keys that live for ever."""
    return sum(scene.redis.ttl(key) == -1 for key in scene.redis.scan_iter(count=1000))


def quantile(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None


def report(name: str, figures: Mapping[str, object], problems: int) -> int:
    """Print the figures as one line of JSON, which `make scorecard` reads."""
    print(json.dumps({"campaign": name, **figures}), flush=True)
    return int(bool(problems))
