"""One scene: a Redis of its own, workers started as users start them, runs, and what a fault does to all of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
import redis

from orchestrator_client.client import Client, Run
from orchestrator_client.contract.errors import OrchestratorError
from orchestrator_client.contract.plan import Plan
from tests.chaos.effects import MARKS, Effect, effects
from tests.conformance.model_server import ModelServer
from tests.conftest import RedisServer, wait_until
from tests.fault_proxy import FaultProxy
from tests.fleet import WorkerProcess

CHECKOUT = Path(__file__).parents[2]
QUEUES = "tool,control"
SETTINGS = {"lease_seconds": 3, "beat_seconds": 0.3, "hint_seconds": 1, "store_patience_seconds": 60}
"""Short leases, so that repairs are a matter of seconds."""
HEALED_SECONDS = 60.0
"""In which every run has to end after the last fault healed. The promise is 30 on a quiet machine."""
TOLD_SECONDS = 10.0

CRASHED = "crashed"
"""File in the scene's folder that a process makes before it dies at its point."""
DISK = "disk"
"""Folder of the scene's folder where Redis keeps its files if it has a disk of its own."""

NOTHING: tuple[str, ...] = ()

T = TypeVar("T")


@dataclass
class Scene:
    """What a fault strikes. Use it as a context; its folder stays."""

    folder: Path
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=lambda: SETTINGS)
    """Of all workers."""
    store_disk: str = ""
    """Options of a file system of Redis's own, see `small_disk`."""
    proxied: bool = False
    """Workers reach Redis through `proxy`."""
    workers: list[WorkerProcess] = field(default_factory=list)
    """Of tools: those that faults strike."""
    model_worker: WorkerProcess | None = None
    runs: list[Run] = field(default_factory=list)
    cancelled_at: dict[str, float] = field(default_factory=dict)
    """Run -> when its cancellation was acknowledged, by the ledger's clock."""
    meant_to_fail: set[str] = field(default_factory=set)
    """Instances whose failure is no fault of the product."""
    healed_at: float | None = None
    """When the store was whole again, by the ledger's clock."""
    set_back_at: float = 0.0
    """When the store began once more from an earlier moment: what had begun since then, it does not know."""
    told_seconds: float | None = None
    """After which `why` named the cause."""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.chance = random.Random(self.seed)
        self._written = 0
        self._open = ExitStack()
        self.server = RedisServer(self.folder, append_only=True)
        if self.store_disk:
            (disk := self.folder / DISK).mkdir()
            self.server.wrapper, self.server.options = small_disk(disk, self.store_disk), ("--dir", str(disk))
        self.server.start()
        self.models = self._open.enter_context(ModelServer())
        self.proxy = self._open.enter_context(FaultProxy(self.folder / "redis.sock")) if self.proxied else None
        self.redis: Any = self._open.enter_context(redis.Redis.from_url(self.server.url))
        self.client = self._open.enter_context(Client(self.server.url))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes():
            process.kill()
        for worker in self._all():
            worker.process.wait()
        self._open.close()
        self.server.kill()

    # --- the fleet -----------------------------------------------------------------------------------------------

    def start_worker(
        self, *options: str, crash: str = "", wrapper: Sequence[str] = NOTHING, **settings: Any
    ) -> WorkerProcess:
        """Start a worker by the command that users have. `crash` names the point at which it dies."""
        worker = self._start(
            f"w{len(self.workers)}", options or ("--queues", QUEUES, "-c", "4"), crash, wrapper, settings
        )
        self.workers.append(worker)
        return worker

    def serve_models(self) -> None:
        """See that a worker calls models, of which nothing is killed."""
        if self.model_worker is None or self.model_worker.process.poll() is not None:
            options = ("--queues", "model.openai", "-c", "8")
            self.model_worker = self._start("models", options, "", NOTHING, {})

    def _start(
        self, name: str, options: Sequence[str], crash: str, wrapper: Sequence[str], settings: Mapping[str, Any]
    ) -> WorkerProcess:
        command = [sys.executable, "-c", "from orchestrator_client.cli import main; main()", "worker", "--name", name]
        arguments = [*wrapper, *command, *options]
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                arguments,
                env=self.environment(crash, **settings),
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.folder,
            )
        return WorkerProcess(process, log)

    def environment(self, crash: str = "", **settings: Any) -> dict[str, str]:
        """What a worker, or a client in a process of its own, is told."""
        own = {f"ORCHESTRATOR_{key.upper()}": str(value) for key, value in {**self.settings, **settings}.items()}
        return {
            **os.environ,
            "ORCHESTRATOR_REDIS_URL": self.proxy.redis_url if self.proxy else self.server.url,
            "ORCHESTRATOR_WORKDIR": str(self.folder / "work"),
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": self.models.url,
            "CHAOS_CRASH": crash,
            MARKS: str(self.folder),
            "PYTHONPATH": f"{Path(__file__).parent / 'site'}:{CHECKOUT}",
            **own,
        }

    def processes(self) -> list[psutil.Process]:
        """All processes of the workers: those that have the scene's folder in their environment."""
        mark, found = f"{MARKS}={self.folder}", []
        for process in psutil.process_iter():
            try:
                environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
                if mark.encode() in environment and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.Error):
                continue
        return found

    def signal(self, worker: WorkerProcess, number: signal.Signals) -> None:
        """Send a signal to a worker and all its processes, the supervisor first."""
        supervisor = psutil.Process(worker.process.pid)
        for process in (supervisor, *supervisor.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self, worker: WorkerProcess) -> None:
        """kill -9 of a worker and all its processes, as the death of its machine."""
        self.signal(worker, signal.SIGKILL)
        worker.process.wait()

    def alive(self) -> list[WorkerProcess]:
        """The workers of tools that have not ended."""
        return [worker for worker in self.workers if worker.process.poll() is None]

    def stop_workers(self) -> None:
        """Stop them as a deployment does, and wait for their end."""
        for worker in self._all():
            if worker.process.poll() is None:
                worker.process.terminate()
        for worker in self._all():
            worker.process.wait(40)

    def _all(self) -> list[WorkerProcess]:
        return [*self.workers, *([self.model_worker] if self.model_worker else [])]

    # --- runs ----------------------------------------------------------------------------------------------------

    def submit(self, plan: Plan, **inputs: Any) -> Run:
        run = self.client.submit(plan, inputs)
        self.runs.append(run)
        return run

    def cancel(self, run: Run) -> None:
        run.cancel()
        self.cancelled_at[run.id] = time.monotonic()

    def effects(self) -> list[Effect]:
        """What was written in this episode."""
        return effects(self.folder)[self._written :]

    def begin_episode(self) -> None:
        """Forget the runs so far, and see that two workers are there: one scene may have several faults."""
        self.runs, self.cancelled_at, self.meant_to_fail, self.told_seconds = [], {}, set(), None
        self.healed_at, self.set_back_at = None, 0.0
        self._written = len(effects(self.folder))
        for _ in range(len(self.alive()), 2):
            self.start_worker()

    def wait_for_effects(self, count: int, seconds: float = 60.0) -> None:
        wait_until(lambda: len(self.effects()) >= count, f"{count} lines in the ledger", seconds)

    def wait_for_random_point(self, most: int = 20) -> int:
        """Let the runs come to a point that the seed draws; returns how many lines the ledger had to have."""
        count = self.chance.randint(2, most)
        self.wait_for_effects(count)
        time.sleep(self.chance.random() * 0.1)
        return count

    def wait_for_running(self) -> Effect:
        """An effect that is under way now, of any worker."""
        return self.wait_in_the_middle(self._under_way, "a step is under way")

    def wait_in_the_middle(self, condition: Callable[[], T | None], description: str) -> T:
        """Wait for what is true only while a run goes on; if all have ended, their last plan runs once more."""

        def holds() -> T | None:
            if all(run.status().state.ended for run in self.runs):
                self.submit(self.runs[-1].plan())
            return condition()

        return wait_until(holds, description, 90)

    def _under_way(self) -> Effect | None:
        begun: dict[tuple[str, str, int], Effect] = {}
        for line in self.effects():
            if line.begins:
                begun[(*line.key, line.attempt)] = line
            else:
                begun.pop((*line.key, line.attempt), None)
        alive = [line for line in begun.values() if psutil.pid_exists(line.pid)]
        return alive[-1] if alive else None

    def worker_of(self, pid: int) -> WorkerProcess:
        """The worker that a process belongs to."""
        family = {parent.pid for parent in psutil.Process(pid).parents()}
        return next(worker for worker in self.workers if worker.process.pid in family)

    def wait_for_ends(self, seconds: float = HEALED_SECONDS) -> None:
        """Wait until every run has ended.

        Raises:
            AssertionError: one has not; what `why` says of it is in the message.
        """
        deadline = time.monotonic() + seconds
        for run in self.runs:
            try:
                run.wait(max(0.1, deadline - time.monotonic()))
            except TimeoutError:
                said = "; ".join(f"{why.instance}: {why.because}" for why in run.why()[:5])
                raise AssertionError(f"{run.id} has not ended within {seconds:g} s of the heal: {said}") from None

    def healed(self) -> None:
        """Say that the store is whole again, from now on."""
        self.healed_at = time.monotonic()

    def resumed_seconds(self) -> float | None:
        """After which the first effect was seen since the store was whole again; None where none was to come."""
        if self.healed_at is None:
            return None
        return min((line.at - self.healed_at for line in self.effects() if line.at > self.healed_at), default=None)

    def wait_until_told(self, run: Run, *words: str) -> None:
        """Wait until `why`, or the error that it gives, has one of these words in it: a user is told what is wrong."""
        began = time.monotonic()

        def told() -> bool:
            try:
                said = " ".join(why.because for why in run.why())
            except OrchestratorError as error:
                said = str(error)
            return any(word in said for word in words)

        wait_until(told, f"`why` says one of {words}", TOLD_SECONDS)
        self.told_seconds = time.monotonic() - began


def small_disk(folder: Path, options: str) -> tuple[str, ...]:
    """A command that gives a program a file system of its own at `folder`: `size=2m`, `ro`. Needs root."""
    mount = f'mount -t tmpfs -o {options} none {folder} && exec "$@"'
    return ("unshare", "-m", "sh", "-c", mount, "sh")


Strike = Callable[[Scene], str]
"""Does the fault to a scene whose workload runs, and heals it; returns what shows that it fired."""
