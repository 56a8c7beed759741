"""Does one fault to one workload, and says in one line what came of it."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import oracle
from tests.chaos.catalogue import Row
from tests.chaos.scene import CRASHED, Scene
from tests.chaos.workloads import MEANT_TO_FAIL, WORKLOADS


@dataclass(frozen=True)
class Result:
    """What one run of one fault came to."""

    id: str
    workload: str
    seed: int
    seconds: float
    problem: str = ""
    fired: str = ""
    """What shows that the fault happened."""
    found: str = ""
    told_seconds: float | None = None
    """After which `why` named the cause."""
    resumed_seconds: float | None = None
    """From the heal of the store to the first effect."""
    evidence: Path | None = None
    """Folder with logs, ledger and append-only file; of a failure."""

    @property
    def line(self) -> str:
        head = f"{self.id} {self.workload} seed {self.seed}: "
        if self.problem:
            return f"{head}FAILED after {self.seconds:.1f} s: {self.problem}; evidence in {self.evidence}"
        return f"{head}sound in {self.seconds:.1f} s; {self.fired}; {self.found}"


def inject(row: Row, workload: str = "", seed: int = 0, folder: Path | None = None) -> Result:
    """One scene from its start to its judgement. Of a success nothing is kept."""
    workload = workload or row.workload
    folder = folder or Path(tempfile.mkdtemp(prefix=f"chaos-{row.id}-"))
    began, fired, found, problem = time.monotonic(), "", "", ""
    told: float | None = None
    resumed: float | None = None
    try:
        with Scene(folder, seed, store_disk=row.store_disk, proxied=row.proxied) as scene:
            fired = strike(scene, row, workload)
            found = oracle.judge(scene)
            oracle.judge_processes(scene)
            told, resumed = scene.told_seconds, scene.resumed_seconds()
            found += f"; the cause was told after {told:.1f} s" if told is not None else ""
            found += f"; the first step {resumed:.1f} s after the heal" if resumed is not None else ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this scene's result
        problem = f"{type(error).__name__}: {error}"
    if not problem:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - began
    return Result(row.id, workload, seed, seconds, problem, fired, found, told, resumed, folder if problem else None)


def strike(scene: Scene, row: Row, workload: str) -> str:
    """Start the workload, do the fault, and wait until all runs have ended; returns what shows that it fired."""
    assert row.strike is not None, f"{row.id} is not injected here"
    if row.crash:
        scene.start_worker(crash=f"{row.crash}:{scene.folder / CRASHED}")
    scene.begin_episode()
    if workload == "mixed":
        scene.serve_models()
        scene.meant_to_fail |= MEANT_TO_FAIL
    scene.submit(WORKLOADS[workload]())
    fired = row.strike(scene)
    scene.wait_for_ends()
    return fired
