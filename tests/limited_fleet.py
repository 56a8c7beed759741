"""A fleet of real workers in front of a server that enforces limits, and what can be seen of both while calls run."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
import redis

from orchestrator_client.client import Client, Run
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import OnFailure, Plan, Step, StepKind
from tests.fleet import WorkerProcess, start_worker
from tests.limited_server import LimitedServer, Terms, marked

MODEL = "gpt-4o-mini"
SCOPE = f"openai/default/{MODEL}"
QUEUE = names.model_queue("openai")

SAMPLE_SECONDS = 0.1


def model_step(id: str, mark: str, after: tuple[str, ...] = (), **fields: Any) -> Step:
    """A step that calls the model with a prompt of its own; `mark` is what the server calls its run."""
    parameters = {"prompt": marked(mark, id), "max_tokens": 50, **fields.pop("parameters", {})}
    return Step(id=id, kind=StepKind.MODEL, uses="generate", parameters=parameters, model=MODEL, after=after, **fields)


def parallel_calls(mark: str, calls: int, on_failure: OnFailure = OnFailure.FAIL) -> Plan:
    """A plan of so many calls that do not wait for one another."""
    steps = tuple(model_step(f"c{number:05}", mark, on_failure=on_failure) for number in range(calls))
    return Plan(id=mark, steps=steps)


def call_chain(mark: str, calls: int) -> Plan:
    """A plan of so many calls, each of which waits for the one before."""
    steps = [model_step(f"c{n:05}", mark, after=(f"c{n - 1:05}",) if n else ()) for n in range(calls)]
    return Plan(id=mark, steps=tuple(steps))


@dataclass(frozen=True)
class Sample:
    """The store and the server at one moment."""

    at: float
    """Seconds since 1970."""
    running: int
    """Instances that hold a worker's thread."""
    waiting: int
    """Instances that wait at the gate."""
    in_flight: int
    """Calls at the server: the larger of what it said before and after the store was asked."""
    held: int
    """Calls that the gate believes to be under way, at the moment of `running`."""
    requests_per_minute: float | None
    """What the gate believes to be allowed."""


@dataclass
class LimitedFleet:
    """Workers on one Redis, configured to call one server; a `with` block ends them and empties the Redis."""

    url: str
    folder: Path
    server: LimitedServer
    config: str = ""
    """TOML besides the server's address: limits, prices, budgets."""
    workers: list[WorkerProcess] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.redis: Any = redis.Redis.from_url(self.url)
        self.redis.flushall()
        self._config = self.folder / "orchestrator.toml"
        self._config.write_text(f'{self.config}\n[providers.openai]\nbase_url = "{self.server.url}"\n')
        self.client = Client(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.client.close()
        self.redis.flushall()
        self.redis.close()

    def start(self, models: int = 4, threads: int = 16, **settings: Any) -> Self:
        """Start a worker for tools and control, and so many for models; none of them is waited for."""
        self._start("tools", "--pool", "threads", "-c", "4", **settings)
        for number in range(models):
            self._start(f"model{number}", "--queues", QUEUE, "--pool", "threads", "-c", str(threads), **settings)
        return self

    @property
    def model_workers(self) -> list[WorkerProcess]:
        return self.workers[1:]

    def warm(self, terms: Terms, seconds: float = 90.0) -> Self:
        """Have every model worker make calls, so that it has imported what it imports once; then forget all that was
        learned by them, and let the server answer by `terms`."""
        self.server.change(Terms(latency_seconds=0.3))
        seen: set[str | None] = set()
        deadline = time.monotonic() + seconds
        while len(seen) < len(self.model_workers):
            run = self.client.submit(parallel_calls("warm", 4 * len(self.model_workers)))
            if not have_ended([run], deadline - time.monotonic()) or not run.status().success:
                raise RuntimeError(f"the fleet does not answer calls: {run.status()}; the logs say: {self._logged()}")
            seen |= {step.worker for step in run.document(values=False).steps.values()}
        self.redis.delete(names.gate(SCOPE))
        self.server.change(terms)
        return self

    def gate(self) -> dict[str, Any]:
        """The gate's state; empty before the first call."""
        state = self.redis.hget(names.gate(SCOPE), "state")
        return json.loads(state) if state else {}

    def believed_limit(self) -> float | None:
        """Requests a minute that the gate lets through: the least of what it was told, configured and learned."""
        state, config, chosen = self.redis.hmget(names.gate(SCOPE), "state", "config", "set")
        gate, configured = json.loads(state or b"{}"), json.loads(config or b"{}")
        if person := json.loads(chosen or b"{}").get("requests"):
            return float(person)
        known = (configured.get("requests"), (gate.get("told") or {}).get("requests"), gate.get("rate"))
        return min((float(limit) for limit in known if limit), default=None)

    def states(self, runs: Sequence[Run]) -> dict[str, int]:
        """Open instances of these runs by their state."""
        return self._states_and_gate(runs)[0]

    def sample(self, runs: Sequence[Run]) -> Sample:
        before, (states, gate), now = self.server.in_flight(), self._states_and_gate(runs), time.time()
        held = int((gate.get("held") or {}).get("calls", 0))
        in_flight = max(before, self.server.in_flight())
        running, waiting = states.get("running", 0), states.get("waiting", 0)
        return Sample(now, running, waiting, in_flight, held, self.believed_limit())

    @contextmanager
    def sampled(self, runs: Sequence[Run]) -> Iterator[list[Sample]]:
        """Samples of these runs, taken every tenth of a second within the block."""
        samples: list[Sample] = []
        stopped = threading.Event()

        def take() -> None:
            while not stopped.wait(SAMPLE_SECONDS):
                samples.append(self.sample(runs))

        sampler = threading.Thread(target=take, name="sampler")
        sampler.start()
        try:
            yield samples
        finally:
            stopped.set()
            sampler.join()

    def _states_and_gate(self, runs: Sequence[Run]) -> tuple[dict[str, int], dict[str, Any]]:
        """Both at one moment."""
        with self.redis.pipeline(transaction=True) as pipe:
            pipe.hget(names.gate(SCOPE), "state")
            for run in runs:
                pipe.hvals(names.RunKeys(run.id).instances)
            gate, *instances = pipe.execute()
        counts = Counter(value.partition(b"|")[0].decode() for values in instances for value in values)
        return dict(counts), json.loads(gate or b"{}")

    def _logged(self) -> str:
        """What the workers' logs say of errors, the last of it."""
        lines = [line for worker in self.workers for line in worker.log.read_text(errors="replace").splitlines()]
        return "\n".join([line for line in lines if "ERROR" in line or "Error" in line][-10:]) or "nothing"

    def _start(self, name: str, *options: str, **settings: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", "sk-limited-server")
            worker = start_worker(self.url, self.folder, name, *options, config=self._config, **settings)
        self.workers.append(worker)


def have_ended(runs: Sequence[Run], seconds: float) -> bool:
    """Wait for all of these runs; whether they closed within `seconds`."""
    deadline = time.monotonic() + seconds
    for run in runs:
        try:
            run.wait(timeout=max(0.1, deadline - time.monotonic()))
        except TimeoutError:
            return False
    return True
