"""What is frozen of a release: a store with a run that has ended, one half-way, and one that nobody has started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator_client import load
from orchestrator_client.client import Client, Run
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.run import InstanceState
from tests.conftest import wait_until
from tests.fleet import WorkerProcess, start_worker
from tests.upgrade.releases import ENDED, NEW, OPEN

PIPELINES = Path(__file__).with_name("pipelines")
EXAMPLES = Path(__file__).parents[2] / "examples"

LATE = "late.txt"
"""What the open run's step `late` waits for, in the working folder."""
SECONDS = 60.0


def plans() -> list[Plan]:
    """The plans of the runs, and those of all examples."""
    return [load(path).plan for path in (*sorted(PIPELINES.glob("*.yaml")), *sorted(EXAMPLES.glob("*.yaml")))]


def play(url: str, folder: Path) -> dict[str, Run]:
    """Bring an empty store to where it is frozen; runs by their idempotency key."""
    client = Client(url, actor="ada@example.org")
    ended, half = (load(PIPELINES / f"{name}.yaml").plan for name in ("ended", "open"))
    with worker(url, folder):
        runs = {
            ENDED: client.submit(
                ended, tags=["nightly"], tenant="acme", budget_usd=5, answers={"format": "text"}, idempotency_key=ENDED
            ),
            OPEN: client.submit(half, idempotency_key=OPEN),
        }
        runs[ENDED].result(SECONDS)
        runs[OPEN].variables.set("colour", "vermilion", by="ada")
        for item in range(2):
            release(runs[OPEN], f"each[{item}].release")
        wait_until(lambda: stands_half_way(runs[OPEN]), "the open run stands half-way", SECONDS)
    runs[NEW] = client.submit(half, {"words": ["only"]}, idempotency_key=NEW)
    client.schedules.add(ended, "0 3 * * *", name="nightly", tz="Europe/Vienna")
    client.schedules.pause("nightly")  # or it would be due at some time of day
    client.set_limits("openai/gpt-5", requests=60)
    return runs


def stands_half_way(run: Run) -> bool:
    """Nothing of it is under way: two of four items are done, two ask, and a step waits for its second attempt."""
    instances = run.document(values=False).steps
    parked = {name for name, step in instances.items() if step.status == InstanceState.PARKED}
    asking = {asked.instance for asked in run.questions()}
    return asking == {"each[2].release", "each[3].release"} and {"late", *asking} <= parked


def release(run: Run, instance: str) -> None:
    wait_until(lambda: instance in {asked.instance for asked in run.questions()}, f"{instance} asks", SECONDS)
    run.approve(instance, by="ada", comment="fine")


def finish(run: Run) -> None:
    """Answer all that an open run asks; it needs a worker, and its file."""
    while not run.status().state.ended:
        asked = wait_until(lambda: run.questions() or run.status().state.ended, f"{run.id} asks or ends", SECONDS)
        if asked is not True:
            release(run, asked[0].instance)


@contextmanager
def worker(url: str, folder: Path) -> Iterator[WorkerProcess]:
    """One worker, stopped with what it was doing at its end."""
    started = start_worker(url, folder, "w1", "-c", "2")
    try:
        yield started
        assert started.stop() == 0, started.log.read_text()
    finally:
        if started.process.poll() is None:
            started.kill()
