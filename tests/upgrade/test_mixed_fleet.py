"""Workers of the previous commit and of this one share runs, and take each other's place while runs go on.

`MIXED_FLEET` names another commit or a tag. Where it is set, the workers of all other tests are mixed too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import Loop, LoopKind, Plan, Retry, Step, StepKind
from orchestrator_client.contract.run import InstanceState, RunState
from tests.conftest import wait_until
from tests.fleet import WorkerProcess, python_step
from tests.standing_fleet import StandingFleet
from tests.upgrade import previous

FAST = {"beat_seconds": 0.3, "hint_seconds": 2, "shutdown_seconds": 2}
SLOTS = 3
ITEMS = 10
SECONDS = 90.0


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("previous")
    try:
        previous.unpack(folder)
    except previous.NoPrevious as reason:
        pytest.skip(str(reason))
    return folder


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[StandingFleet]:
    with StandingFleet(tmp_path) as standing:
        yield standing


def start(fleet: StandingFleet, name: str, tree: Path = previous.ROOT) -> WorkerProcess:
    """Start a worker, and wait until it has told of itself."""
    worker = fleet.start_worker(name, "-c", str(SLOTS), tree=tree, **FAST)
    wait_until(lambda: name in {w.name.partition("@")[0] for w in fleet.client.workers()}, f"{name} is there", SECONDS)
    return worker


def plan(folder: Path, mark: str, held: int = 1) -> Plan:
    """A map, steps beside it, one that fails at first, a join, and some that wait for a file: 33 and those."""
    body = (
        python_step("work", "tests.functions:mark", str(folder), f"{mark}.{{{{ item }}}}", 0.2),
        python_step("say", "builtins:str", "{{ work.result }}", after=("work",), reads=("work",)),
    )
    gates = [f"held{n}" for n in range(held)]
    side = [f"m{n}" for n in range(ITEMS)]
    steps = (
        *(python_step(name, "tests.functions:wait_for", str(gate(folder, mark))) for name in gates),
        python_step(
            "flaky",
            "tests.functions:fail_until",
            str(folder / f"{mark}-calls"),
            1,
            retry=Retry(attempts=3, initial_seconds=0.2),
        ),
        Step(
            id="each",
            kind=StepKind.CONTROL,
            uses="map",
            loop=Loop(kind=LoopKind.MAP, items=list(range(ITEMS)), max_parallel=6, steps=body),
        ),
        *(python_step(name, "tests.functions:mark", str(folder), f"{mark}.{name}", 0.1) for name in side),
        python_step(
            "join", "builtins:str", "{{ each.count }}", after=("each", "flaky", *gates, *side), reads=("each",)
        ),
    )
    return Plan(id=mark, steps=steps, outputs={"count": "{{ join.result }}"})


def gate(folder: Path, mark: str) -> Path:
    """Until it exists, the run stays open."""
    return folder / f"{mark}-gate"


def processes(worker: WorkerProcess) -> set[int]:
    """A worker's process and those of its pool."""
    parent = psutil.Process(worker.process.pid)
    return {parent.pid, *(child.pid for child in parent.children(recursive=True))}


def workers_of(run: Run) -> set[int]:
    """Processes that have taken steps of it."""
    return {int(step.worker.rpartition(":")[2]) for step in run.document(values=False).steps.values() if step.worker}


def running(run: Run) -> int:
    """How many of the steps that wait for a file are under way."""
    steps = run.document(values=False).steps.items()
    return sum(name.startswith("held") and step.status == InstanceState.RUNNING for name, step in steps)


def assert_whole(fleet: StandingFleet, *runs: Run) -> None:
    """All have ended well, with a sound history, and no step was done twice but those that were handed back."""
    handed_back = set[str]()
    for run in runs:
        assert run.wait(SECONDS).state is RunState.SUCCEEDED, run.document(values=False)
        assert run.document().outputs == {"count": str(ITEMS)}
        judgement = fleet.client.verify(run.id)
        assert judgement.sound, [finding for finding in judgement.findings if not finding.kept]
        parked = (one for one in run.stream() if one.kind is EventKind.STEP_PARKED)
        handed_back |= {line_of(run, one.instance) for one in parked if "handed back" in one.data["reason"]}
    begun = Counter(line for line in fleet.ledger() if line.startswith("+"))
    assert len(begun) == 2 * ITEMS * len(runs)
    assert {line for line, count in begun.items() if count > 1} <= handed_back


def line_of(run: Run, instance: str) -> str:
    """What a step writes when it begins."""
    return f"+{run.plan().id}.{instance.removeprefix('each[').removesuffix('].work')}"


def test_both_work_on_one_run(fleet: StandingFleet, tree: Path) -> None:
    old, new = start(fleet, "old", tree), start(fleet, "new")
    held = SLOTS + 1  # more than one worker has places for
    run = fleet.client.submit(plan(fleet.folder, "shared", held))
    wait_until(lambda: running(run) >= held, "both are at work", SECONDS)
    gate(fleet.folder, "shared").touch()
    assert_whole(fleet, run)
    assert workers_of(run) & processes(old)
    assert workers_of(run) & processes(new)
    assert run.document().steps["flaky"].retries == 1
    assert fleet.client.dead_letters() == []


def test_workers_are_replaced_while_runs_go_on(fleet: StandingFleet, tree: Path) -> None:
    """What the old one is asked to leave in the middle, the new one does."""
    old = start(fleet, "old", tree)
    old_processes = processes(old)
    before = fleet.client.submit(plan(fleet.folder, "before"))
    wait_until(lambda: len(fleet.ledger()) > ITEMS // 2, "the old worker is at work", SECONDS)
    new = start(fleet, "new")
    gate(fleet.folder, "during").touch()
    during = fleet.client.submit(plan(fleet.folder, "during"))
    assert old.stop() == 0, old.log.read_text()
    assert not before.status().state.ended
    gate(fleet.folder, "before").touch()
    gate(fleet.folder, "after").touch()
    after = fleet.client.submit(plan(fleet.folder, "after"))
    assert_whole(fleet, before, during, after)
    assert workers_of(before) & old_processes
    assert workers_of(before) & processes(new)
    assert workers_of(after) <= processes(new)
    assert fleet.client.dead_letters() == []
