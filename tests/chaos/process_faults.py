"""Faults of processes: killed, frozen, poisoned, out of time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import psutil

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import OnFailure, Plan, Step, StepKind
from orchestrator_client.contract.run import Outcome
from tests.chaos.scene import CRASHED, SETTINGS, Scene, small_disk
from tests.chaos.workloads import DIE, chain, effect, fan
from tests.conftest import wait_until
from tests.processes import has_ended

LEASE = float(SETTINGS["lease_seconds"])
HERD, HERD_SECONDS = 1000, 300.0
MOST_RUNS = 10_000
"""More than a scene ever has."""
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def kill_child(scene: Scene) -> str:
    """F1."""
    scene.wait_for_random_point()
    running = scene.wait_for_running()
    os.kill(running.pid, signal.SIGKILL)
    wait_until(lambda: has_ended(running.pid), "the child is dead")
    return f"child {running.pid} died in attempt {running.attempt} of {running.instance}"


def kill_worker(scene: Scene) -> str:
    """F2."""
    scene.wait_for_random_point()
    running = scene.wait_for_running()
    worker = scene.worker_of(running.pid)
    scene.kill(worker)
    scene.start_worker()
    return f"worker {worker.process.pid} died in attempt {running.attempt} of {running.instance}"


def crash_between_settle_and_publish(scene: Scene) -> str:
    """F3. The workers of the scene have it in them already."""
    return _crashed(scene, "settle")


def crash_of_a_pop(scene: Scene) -> str:
    """F4: both parents are stopped while they wait at the queues, and get a message that they never see."""
    scene.wait_for_ends()
    old = scene.alive()
    while True:
        for worker in old:
            scene.signal(worker, signal.SIGSTOP)
        run = scene.submit(chain(3))
        if scene.redis.llen(names.CONTROL_QUEUE) == 0:
            break
        # Each was between two questions for messages, or Redis had given up its last one: it holds them for a second.
        for worker in old:
            scene.signal(worker, signal.SIGCONT)
        scene.wait_for_ends()
    for worker in old:
        scene.kill(worker)
    assert run.status().started_ms is None
    scene.start_worker()
    return "a start message died with the worker that had popped it"


def zombie(scene: Scene) -> str:
    """F5: a worker is frozen for two leases, another one does its work, then it wakes."""
    scene.wait_for_random_point()
    while True:
        running = scene.wait_for_running()
        worker = scene.worker_of(running.pid)
        scene.signal(worker, signal.SIGSTOP)
        if (running.key, running.attempt) not in {(line.key, line.attempt) for line in scene.effects() if line.ends}:
            break
        scene.signal(worker, signal.SIGCONT)  # it had just done that step
    wait_until(
        lambda: any(line.key == running.key and line.attempt > running.attempt for line in scene.effects()),
        "another worker has taken over",
        seconds=20 * LEASE,
    )
    scene.signal(worker, signal.SIGCONT)
    return f"{running.instance} was taken over from a frozen worker, which then woke"


def rolling_stop(scene: Scene) -> str:
    """F6."""
    return _rolling(scene, signal.SIGTERM)


def rolling_kill(scene: Scene) -> str:
    """F7."""
    return _rolling(scene, signal.SIGKILL)


def submit_dies(scene: Scene) -> str:
    """F8: a client dies at each point of a submission; the same submission again gives the same run."""
    scene.wait_for_ends()
    points = ("before:submit", "after:submit", "before:announce", "after:announce")
    before = len(scene.client.runs(limit=MOST_RUNS))
    for number, point in enumerate(points):
        command = [sys.executable, "-m", "tests.chaos.submitting", f"once-{number}"]
        crash = scene.environment(f"{point}:1:{scene.folder / f'submitted{number}'}")
        assert subprocess.run(command, env=crash, check=False).returncode == -signal.SIGKILL, f"{point} did not fire"
        again = subprocess.run(command, env=scene.environment(), check=True, capture_output=True, text=True)
        scene.runs.append(scene.client.run(again.stdout.strip()))
    now = len(scene.client.runs(limit=MOST_RUNS))
    assert now == before + len(points), "a submission that was repeated gave another run"
    return f"a client died at {len(points)} points of submit"


def poison(scene: Scene) -> str:
    """F10: a step that ends its process; all else goes on."""
    run = scene.submit(Plan(id="poison", steps=(effect("dies", uses=DIE),)))
    scene.meant_to_fail.add("dies")
    run.wait(60)
    step = run.document().steps["dies"]
    tries = sum(line.instance == "dies" for line in scene.effects())
    assert step.status == Outcome.FAILED
    assert tries <= 3, f"a poisonous step was tried {tries} times"
    scene.wait_until_told(run, "died")
    return f"it took {tries} processes along"


def herd(scene: Scene) -> str:
    """F53: no worker is there while a thousand runs come."""
    scene.wait_for_ends()
    scene.stop_workers()
    for _ in range(HERD):
        scene.submit(chain(2, 0.0))
    waiting = scene.redis.llen(names.CONTROL_QUEUE)
    assert waiting == HERD, f"{waiting} messages for {HERD} runs"
    for _ in range(2):
        scene.start_worker()
    scene.wait_for_ends(HERD_SECONDS)
    return f"{HERD} runs had waited for a worker"


def frozen_child(scene: Scene) -> str:
    """F12: for good, and its step has no timeout."""
    steps = (effect("slow", 1.0, retry={"attempts": 2}),)
    scene.submit(Plan(id="frozen", steps=steps))
    running = wait_until(
        lambda: next((line for line in scene.effects() if line.instance == "slow"), None), "the step runs", 60
    )
    os.kill(running.pid, signal.SIGSTOP)
    return f"child {running.pid} was frozen for good in a step without a timeout"


def disk_full(scene: Scene) -> str:
    """F18: what does not fit fails its step, in words, and leaves no half of a file."""
    return _written(scene, "size=64k", "No space left")


def read_only(scene: Scene) -> str:
    """F19."""
    return _written(scene, "ro", "Read-only")


def _written(scene: Scene, options: str, words: str) -> str:
    """A step writes a file where it cannot; the steps beside it go on."""
    scene.wait_for_ends()
    for worker in scene.alive():
        scene.kill(worker)
    (scene.folder / "work").mkdir(exist_ok=True)
    scene.start_worker(wrapper=small_disk(scene.folder / "work", options))
    write = _files("write", {"path": "large.txt", "content": "x" * 200_000}, on_failure=OnFailure.CONTINUE)
    look = _files("list", {"path": "."}, after=("write",))
    scene.meant_to_fail.add("write")
    run = scene.submit(Plan(id="full", steps=(write, look, effect("beside"))))
    steps = run.result(60).steps
    assert words in (steps["write"].error or ""), steps["write"]
    assert "large.txt" not in str(steps["list"].value), "half a file was left"
    return f"a step was told: {(steps['write'].error or '')[:80]}"


def _files(action: str, parameters: dict[str, str], **fields: Any) -> Step:
    return Step(id=action, kind=StepKind.TOOL, uses=f"filesystem.{action}", parameters=parameters, **fields)


def wrong_clock(scene: Scene) -> str:
    """F20: a worker whose clock is two hours ahead joins, and sweeps like the others."""
    environment = ["env", f"LD_PRELOAD={FAKETIME}", "FAKETIME=+2h", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    worker = scene.start_worker(wrapper=environment)
    scene.submit(fan(16, 0.5))
    wait_until(
        lambda: any(scene.worker_of(line.pid) is worker for line in scene.effects() if _alive(line.pid)),
        "the worker with the wrong clock works",
        seconds=60,
    )
    scene.wait_for_ends()
    again = [line for line in scene.effects() if line.attempt > 1]
    assert not again, f"live steps were stolen: {again}"
    return "a worker two hours ahead did a part of the work, and stole none"


def starved(scene: Scene) -> str:
    """F21: other programs want the processors; nobody is believed dead for it."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    try:
        scene.submit(fan(8, 1.0))
        scene.wait_for_ends(90)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    again = [line for line in scene.effects() if line.attempt > 1]
    assert not again, f"steps were believed lost: {again}"
    return "six busy programs beside the workers, and no step was believed lost"


def _rolling(scene: Scene, number: signal.Signals) -> str:
    """Every worker is replaced while the workload runs."""
    scene.wait_for_random_point()
    old = scene.alive()
    for worker in old:
        scene.start_worker()
        scene.wait_for_running()
        if number is signal.SIGKILL:
            scene.kill(worker)
        else:
            worker.stop(40)
    return f"{len(old)} workers were replaced by {number.name}"


def _crashed(scene: Scene, point: str) -> str:
    """Give the fleet work until the process that is to die has got there."""
    flag, deadline = scene.folder / CRASHED, time.monotonic() + 90
    while not flag.exists():
        assert time.monotonic() < deadline, f"no process came to {point}"
        run = scene.submit(fan(24, 0.05))
        while not (flag.exists() or run.status().state.ended):
            time.sleep(0.05)
    return f"a process died at {point}"


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid)
