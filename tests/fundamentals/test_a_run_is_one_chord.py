"""A run is one Celery chord that grows.

A chord is a header of tasks and a body that Celery calls once all of the header has returned. Ours begins with the
steps that wait for nothing. When a step ends, the script that records its outcome also counts which steps became ready
by it, and raises the chord's expected size by that many before the step itself returns. So the chord can never close
early: as long as a step is to come, one that was counted has not returned. It closes when the last one returns, and
its body is the run's `close`. There are no levels to wait for: a step starts when its own predecessors have ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.run import RunState
from tests.conftest import wait_until
from tests.fleet import InProcessFleet, WorkerProcess, plan_of_shape, python_step, start_worker

SHAPES: dict[str, dict[str, list[str]]] = {
    "one": {"a": []},
    "chain": {"a": [], "b": ["a"], "c": ["b"]},
    "N": {"a": [], "b": [], "c": ["a"], "d": ["a", "b"]},
    "diamond": {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]},
    "islands": {"a": [], "b": [], "c": [], "d": ["c"]},
}


@contextmanager
def worker_on(fleet: InProcessFleet, folder: Path, *options: str) -> Iterator[WorkerProcess]:
    """A real worker on this fleet's Redis. It leaves repairs alone for a minute, so that all is Celery's doing."""
    worker = start_worker(fleet.client.url, folder, "w", *options, hint_seconds=60)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.kill()


def expected_size(fleet: InProcessFleet, run: str) -> int:
    """How many parts Celery waits for: the chord's first size and its growth."""
    canvas = fleet.engine.canvas
    return sum(int(fleet.redis.get(key) or 0) for key in (canvas.size_key(run), canvas.growth_key(run)))


@pytest.mark.parametrize("needs", SHAPES.values(), ids=SHAPES)
def test_the_chord_expects_what_has_ended_and_what_is_under_way(
    fleet: InProcessFleet, needs: dict[str, list[str]]
) -> None:
    run = fleet.submit(plan_of_shape(needs))
    ended = 0
    while (message := fleet.take(names.TOOL_QUEUE)) is not None:
        assert expected_size(fleet, run.id) == ended + run.status().open > ended, "the chord could close now"
        fleet.deliver(message)
        ended += 1
    assert expected_size(fleet, run.id) == ended == len(needs)


def test_celery_calls_close_exactly_once_a_run(fleet: InProcessFleet, tmp_path: Path) -> None:
    """The worker here takes steps only, so what Celery sends to the control queue stays there to be counted."""
    runs = [fleet.submit(plan_of_shape(needs)) for needs in SHAPES.values()]
    with worker_on(fleet, tmp_path, "--queues", "tool", "-c", "2") as worker:
        wait_until(lambda: fleet.redis.llen(names.CONTROL_QUEUE) >= len(runs), "Celery has called the bodies")
        assert [run.status().open for run in runs] == [0] * len(runs)
        worker.stop()  # whatever it had in hand is done now
    called = list(iter(lambda: fleet.take(names.CONTROL_QUEUE), None))
    assert {message.task for message in called} == {names.CLOSE_TASK}
    assert sorted(message.parsed["headers"]["id"] for message in called) == sorted(run.id for run in runs)
    assert [sorted(fleet.finish(run).execution_order) for run in runs] == [sorted(needs) for needs in SHAPES.values()]


def test_a_step_waits_for_its_own_predecessors_and_for_nothing_else(fleet: InProcessFleet, tmp_path: Path) -> None:
    """`b` ends once it sees the file that `c` makes, and `c` is one level further down: a barrier would hang here."""
    flag = str(tmp_path / "flag")
    steps = (
        python_step("a"),
        python_step("b", "tests.functions:wait_for", flag, timeout_seconds=60.0),
        python_step("c", "tests.functions:record", flag, after=("a",)),
        python_step("d", after=("a", "b")),
    )
    with worker_on(fleet, tmp_path, "-c", "2"):
        document = fleet.client.submit(Plan(id="N", steps=steps)).result(timeout=60)
    assert document.success


def test_a_cancellation_that_comes_while_a_run_closes_counts(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan_of_shape(SHAPES["one"]))
    fleet.drain()
    assert run.cancel() is RunState.RUNNING
    # What `close` does that had looked at the run before.
    assert fleet.engine.store.close_run(run.id, "shape", RunState.SUCCEEDED, {}, None) == ("closed", None)
    assert run.status().state is RunState.CANCELLED
    assert [event.data for event in run.stream()][-1] == {"state": "cancelled"}
