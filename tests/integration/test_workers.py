"""Real workers, real processes, real kills: a run ends, each instance has one receipt, and nothing waits for long."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from orchestrator_client.client import Client, Run
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import OnFailure, Plan, Retry, Step, StepKind
from tests.conftest import RedisServer, assert_keys_have_ttl, wait_until
from tests.fleet import WorkerProcess, python_step, start_worker
from tests.processes import has_ended

FAST = {"lease_seconds": 3, "beat_seconds": 0.3, "hint_seconds": 1}


class Fleet:
    """A Redis of its own, a client, and workers that a test may kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = RedisServer(folder, append_only=True).start()
        self.client = Client(self.server.url)
        self.workers: list[WorkerProcess] = []

    def start(self, name: str = "w1", *options: str, **settings: Any) -> WorkerProcess:
        worker = start_worker(
            self.server.url, self.folder, name, *options, **{**FAST, "workdir": self.folder, **settings}
        )
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.client.close()
        with redis.Redis.from_url(self.server.url) as connection:
            assert_keys_have_ttl(connection)
        self.server.kill()

    def ledger(self) -> Counter[str]:
        """How often each line was written by the steps themselves."""
        path = self.folder / "ledger"
        return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()

    def marks(self, count: int, seconds: float, **fields: Any) -> Plan:
        """`first`, then `count` steps that write to the ledger and sleep, then `last`."""
        folder = str(self.folder)
        middle = [f"m{i}" for i in range(count)]
        return Plan(
            id="marks",
            steps=(
                python_step("first"),
                *(
                    python_step(name, "tests.functions:mark", folder, name, seconds, after=("first",), **fields)
                    for name in middle
                ),
                python_step("last", after=tuple(middle)),
            ),
        )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.close()


def receipts_of(run: Run) -> Counter[str]:
    ends = (EventKind.STEP_SUCCEEDED, EventKind.STEP_FAILED, EventKind.STEP_SKIPPED, EventKind.STEP_CANCELLED)
    return Counter(event.instance for event in run.stream() if event.kind in ends)


def assert_each_step_ended_once(run: Run, plan: Plan) -> None:
    assert receipts_of(run) == Counter(step.id for step in plan.steps)


def started(fleet: Fleet, count: int) -> Callable[[], bool]:
    return lambda: sum(n for line, n in fleet.ledger().items() if line.startswith("+")) >= count


def test_a_worker_killed_in_the_middle_of_a_run(fleet: Fleet) -> None:
    plan = fleet.marks(24, 0.15)
    first, _ = fleet.start("w1"), fleet.start("w2")
    run = fleet.client.submit(plan)
    wait_until(started(fleet, 6), "six steps have started")
    first.kill()
    assert run.result(timeout=60).success
    assert_each_step_ended_once(run, plan)


def test_a_process_that_is_stopped_for_good_loses_its_step(fleet: Fleet) -> None:
    go = fleet.folder / "go"
    plan = Plan(
        id="stopped", steps=(python_step("m0", "tests.functions:mark_until", str(fleet.folder), "m0", str(go)),)
    )
    worker = fleet.start("w1", "-c", "1")
    run = fleet.client.submit(plan)
    wait_until(started(fleet, 1), "the step has started")
    [child] = psutil.Process(worker.process.pid).children()
    child.suspend()
    wait_until(lambda: child.status() == psutil.STATUS_STOPPED, "it is stopped")
    go.touch()
    assert run.result(timeout=60).success
    assert fleet.ledger()["+m0"] == 2
    assert_each_step_ended_once(run, plan)


def test_a_worker_killed_between_settle_and_publish(fleet: Fleet) -> None:
    plan = fleet.marks(6, 0.0)
    module = ("tests.crashing_worker", "2", str(fleet.folder / "died"))
    first = fleet.start("w1", "--pool", "threads", "-c", "2", module=module)
    run = fleet.client.submit(plan)
    wait_until(lambda: first.process.poll() is not None, "the first worker has died")
    fleet.start("w2")
    assert run.result(timeout=60).success
    assert_each_step_ended_once(run, plan)
    assert fleet.ledger() == Counter(f"{sign}m{i}" for i in range(6) for sign in "+-")


def test_a_killed_child_costs_its_step_one_attempt_and_no_wait(fleet: Fleet) -> None:
    fleet.start("w1", "-c", "2", lease_seconds=60)
    flag, folder = fleet.folder / "go", str(fleet.folder)
    plan = Plan(
        id="child",
        steps=(
            python_step("a", "tests.functions:mark_until", folder, "a", str(flag)),
            python_step("b", "tests.functions:wait_for", str(flag)),
        ),
    )
    run = fleet.client.submit(plan)
    wait_until(started(fleet, 1), "the step has started")
    pid = int((fleet.folder / "ledger").read_text().split()[1])
    os.kill(pid, signal.SIGKILL)
    wait_until(started(fleet, 2), "the step has started again, long before its lease ends", seconds=30)
    flag.touch()
    document = run.result(timeout=60)
    assert document.success
    assert document.steps["a"].retries == 1
    assert_each_step_ended_once(run, plan)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_no_step_waits_in_a_busy_worker_while_another_is_idle(fleet: Fleet, pool: str) -> None:
    # Else sweep sends again what a busy worker holds, and the idle one takes over from one that the machine holds up.
    patient = {"hint_seconds": 600, "lease_seconds": 60}
    fleet.start("busy", "-c", "1", "--pool", pool, **patient)
    gate = fleet.folder / "gate"
    steps = (python_step("waits", "tests.functions:wait_for", str(gate)), python_step("short"))
    run = fleet.client.submit(Plan(id="two", steps=steps))

    def status(step: str) -> str:
        return str(run.document().steps[step].status)

    wait_until(lambda: status("waits") == "running", "the only place is taken", 60)
    fleet.start("idle", "-c", "1", "--pool", pool, **patient)
    wait_until(lambda: status("short") == "completed", "the idle worker has done the other step", 60)
    assert status("waits") == "running"
    gate.touch()
    assert run.wait(60).state == "succeeded"


def test_a_poisonous_step_ends_and_others_go_on(fleet: Fleet) -> None:
    fleet.start("w1", "-c", "2")
    steps = (
        python_step("poison", "tests.functions:die", on_failure=OnFailure.CONTINUE),
        python_step("b", after=("poison",)),
    )
    run = fleet.client.submit(Plan(id="poison", steps=steps))
    document = run.result(timeout=60)
    assert document.steps["poison"].error_type == "WorkerLost"
    assert document.steps["poison"].retries == 2
    assert document.steps["b"].status == "completed"
    assert document.status == "failed"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_step_that_never_ends_is_stopped_by_its_timeout(fleet: Fleet, pool: str) -> None:
    fleet.start("w1", "--pool", pool, "-c", "2")
    spin = python_step("spin", "tests.functions:spin", timeout_seconds=1.0)
    document = fleet.client.submit(Plan(id="spin", steps=(spin,))).result(timeout=60)
    assert document.steps["spin"].timed_out
    assert "timeout" in (document.steps["spin"].error or "")


def test_cancel_stops_ten_running_steps(fleet: Fleet) -> None:
    fleet.start("w1", "-c", "10")
    run = fleet.client.submit(fleet.marks(12, 600.0))
    wait_until(started(fleet, 10), "ten steps are running")
    run.cancel()
    document = run.result(timeout=60)
    assert document.status == "cancelled"
    assert not [line for line in fleet.ledger() if line.startswith("-")], "a cancelled step went on to its end"
    assert {document.steps[f"m{i}"].status for i in range(12)} == {"cancelled"}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_cancel_ends_a_command_and_what_it_started(fleet: Fleet, pool: str) -> None:
    worker = fleet.start("w1", "--pool", pool, "-c", "2")
    command = Step(
        id="a", kind=StepKind.TOOL, uses="terminal.execute", parameters={"command": "sleep 300; :", "timeout": 600}
    )

    def sleeping() -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):  # one of them has just ended
            family = psutil.Process(worker.process.pid).children(recursive=True)
            return [process for process in family if process.name() == "sleep"]
        return []

    run = fleet.client.submit(Plan(id="command", steps=(command,)))
    (sleep,) = wait_until(sleeping, "the command sleeps")
    run.cancel()
    assert run.result(timeout=60).status == "cancelled"
    wait_until(lambda: has_ended(sleep), "the command has ended")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_stops_lets_short_steps_finish(fleet: Fleet, pool: str) -> None:
    worker = fleet.start("w1", "--pool", pool, "-c", "4", shutdown_seconds=20)
    plan = fleet.marks(4, 1.0)
    run = fleet.client.submit(plan)
    wait_until(started(fleet, 4), "four steps are running")
    worker.stop(60)
    assert fleet.ledger() == Counter(f"{sign}m{i}" for i in range(4) for sign in "+-")
    fleet.start("w2")
    assert run.result(timeout=60).success
    assert_each_step_ended_once(run, plan)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_stops_hands_long_steps_back(fleet: Fleet, pool: str) -> None:
    worker = fleet.start("w1", "--pool", pool, "-c", "2", shutdown_seconds=1, lease_seconds=600)
    flag = fleet.folder / "go"
    plan = Plan(id="back", steps=(python_step("long", "tests.functions:wait_for", str(flag)),))
    run = fleet.client.submit(plan)
    wait_until(lambda: run.document().steps["long"].status == "running", "the step is running")
    worker.stop(seconds=60)
    flag.touch()
    fleet.start("w2")
    assert run.result(timeout=60).success, "the lease of ten minutes was waited for"
    assert_each_step_ended_once(run, plan)


def test_a_worker_that_was_frozen_as_it_stopped_hands_back_all_the_same(fleet: Fleet) -> None:
    worker = fleet.start("w1", "--pool", "threads", "-c", "1", shutdown_seconds=1, lease_seconds=600)
    flag = fleet.folder / "go"
    run = fleet.client.submit(Plan(id="frozen", steps=(python_step("long", "tests.functions:wait_for", str(flag)),)))
    wait_until(lambda: run.document().steps["long"].status == "running", "the step is running")
    worker.process.terminate()
    wait_until(lambda: "shutdown" in worker.log.read_text(), "it has heard that it is to stop")
    worker.process.send_signal(signal.SIGSTOP)
    time.sleep(7)  # all of its time to stop, and all of its time to hand back
    worker.process.send_signal(signal.SIGCONT)
    worker.process.wait(60)
    flag.touch()
    fleet.start("w2")
    assert run.result(timeout=60).success, "the lease of ten minutes was waited for"


def test_redis_restarts_in_the_middle_of_a_run(fleet: Fleet) -> None:
    plan = fleet.marks(12, 0.4)
    fleet.start("w1")
    run = fleet.client.submit(plan)
    wait_until(started(fleet, 3), "three steps have started")
    fleet.server.wait_until_written()
    fleet.server.kill()
    fleet.server.start()
    document = run.result(timeout=60)
    assert document.success, document
    assert_each_step_ended_once(run, plan)


def test_retries_come_back_through_the_parked_set(fleet: Fleet) -> None:
    fleet.start("w1")
    retry = Retry(attempts=3, initial_seconds=0.2)
    step = python_step("a", "tests.functions:fail_until", str(fleet.folder / "count"), 2, retry=retry)
    run = fleet.client.submit(Plan(id="retry", steps=(step,)))
    document = run.result(timeout=60)
    assert document.success
    assert document.steps["a"].retries == 2
    assert [event.data["reason"] for event in run.stream() if event.kind is EventKind.STEP_PARKED] == [
        "attempt 1 failed",
        "attempt 2 failed",
    ]


def test_children_die_with_their_worker(fleet: Fleet) -> None:
    worker = fleet.start("w1", "-c", "2")
    run = fleet.client.submit(fleet.marks(2, 60.0))
    wait_until(started(fleet, 2), "two steps are running")
    children = psutil.Process(worker.process.pid).children(recursive=True)
    assert len(children) >= 2
    worker.process.kill()  # the parent only: its children must notice
    worker.process.wait()
    wait_until(lambda: all(map(has_ended, children)), "no child is left")
    run.cancel()
