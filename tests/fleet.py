"""Fleets for tests: one in this process, driven message by message, and one of real workers that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from kombu import pools

from orchestrator_client.client import Client, Run
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import OnLost, Plan, Step, StepKind
from orchestrator_worker.app import create_app
from orchestrator_worker.engine import Engine, build_engine
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.scheduler import Verdict
from orchestrator_worker.settings import Settings
from tests.forked import ROOT, Process, can_fork, fork
from tests.upgrade.previous import mixture, python_path

QUEUES = (names.TOOL_QUEUE, names.CONTROL_QUEUE)


def close_app(app: Celery) -> None:
    """Close all connections of an application, which a worker leaves to the end of its process."""
    app.backend.client.connection_pool.disconnect()
    app.close()
    pools.reset()


def python_step(
    step: str, function: str = "builtins:str", *args: Any, after: tuple[str, ...] = (), **fields: Any
) -> Step:
    """A step that calls a function of Python. Tests count what is done twice, so a lost one is tried again."""
    fields.setdefault("on_lost", OnLost.RETRY)
    return Step(
        id=step,
        kind=StepKind.TOOL,
        uses="python.call",
        parameters={"function": function, "args": list(args)},
        after=after,
        **fields,
    )


def plan_of_shape(needs: dict[str, list[str]], function: str = "builtins:str", plan_id: str = "shape") -> Plan:
    """A plan of no-op steps with these predecessors."""
    return Plan(id=plan_id, steps=tuple(python_step(s, function, after=tuple(ps)) for s, ps in needs.items()))


@dataclass
class Message:
    """A message as it lies in a queue."""

    queue: str
    raw: bytes

    @property
    def parsed(self) -> dict[str, Any]:
        return json.loads(self.raw)

    @property
    def task(self) -> str:
        return self.parsed["headers"]["task"]

    @property
    def args(self) -> list[Any]:
        return json.loads(self.parsed["body"])[0]


@dataclass
class InProcessFleet:
    """The real store, scheduler and executor in this process; the test decides which message is delivered when."""

    engine: Engine
    redis: Any
    client: Client
    app: Celery
    delivered: list[tuple[str, Verdict]] = field(default_factory=list)

    @classmethod
    def on(cls, url: str, folder: Path, **settings: Any) -> InProcessFleet:
        config = Settings(redis_url=url, workdir=str(folder), **settings)
        app = create_app(config)
        return cls(build_engine(app, Calls(), config), redis.Redis.from_url(url), Client(url), app)

    def submit(self, plan: Plan, **inputs: Any) -> Run:
        """Record a run and open its chord; its entry messages are in the queues now."""
        run = self.client.submit(plan, inputs)
        self.redis.delete(names.CONTROL_QUEUE)
        self.engine.scheduler.start(run.id)
        return run

    def take(self, *queues: str) -> Message | None:
        """The oldest message of these queues (of all, if none is named), taken out; None if they are empty."""
        for queue in queues or QUEUES:
            if (raw := self.redis.rpop(queue)) is not None:
                return Message(queue, raw)
        return None

    def deliver(self, message: Message) -> Verdict:
        """Run the step of a message, as a worker would."""
        run, instance, attempt = message.args
        verdict = self.engine.executor.run_step(run, instance, attempt)
        self.delivered.append((instance, verdict))
        return verdict

    def drain(self) -> list[tuple[str, Verdict]]:
        """Deliver step messages until there are none."""
        while (message := self.take(names.TOOL_QUEUE)) is not None:
            self.deliver(message)
        return self.delivered

    def finish(self, run: Run) -> Any:
        """Deliver what there is, close the run, and return its document."""
        self.drain()
        self.engine.scheduler.close(run.id)
        return run.document()

    def set_clock(self, run: Run, forward_ms: int) -> None:
        """Let the store's clock stand `forward_ms` behind the run's submission."""
        now = run.status().submitted_ms + forward_ms
        self.redis.set(names.CLOCK, now)

    def close(self) -> None:
        self.client.close()
        self.redis.close()
        self.engine.store.close()
        close_app(self.app)


@dataclass
class WorkerProcess:
    """A real worker, in a session of its own."""

    process: Process
    log: Path

    def kill(self) -> None:
        """kill -9 of the worker and all its children."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and wait for the end."""
        self.process.terminate()
        return self.process.wait(seconds)


def start_worker(
    url: str,
    folder: Path,
    name: str,
    *options: str,
    module: tuple[str, ...] = ("orchestrator_worker",),
    tree: Path | None = None,
    cold: bool = False,
    **settings: Any,
) -> WorkerProcess:
    """Start a worker, of the code in `tree` if one is given; settings become its environment.

    Not waited for: its queue waits. It is forked where that makes no difference, unless a `cold` one is asked for.
    """
    tree = tree or mixture.next_tree(folder)
    log = folder / f"{name}.log"
    environment = {
        **os.environ,
        "ORCHESTRATOR_REDIS_URL": url,
        "ORCHESTRATOR_WORKDIR": str(folder),
        "PYTHONPATH": python_path(tree),
        **{f"ORCHESTRATOR_{key.upper()}": str(value) for key, value in settings.items()},
    }
    arguments = ["-m", *module, "--name", name, *(options or ("-c", "4"))]
    with log.open("ab") as output:
        if not cold and can_fork(environment):
            return WorkerProcess(fork(arguments, environment, tree or ROOT, output, output), log)
        command = [sys.executable, *arguments]
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True, cwd=tree
        )
    return WorkerProcess(process, log)
