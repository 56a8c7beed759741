"""A fleet that is simulated: processes with the real engine in them, on a real store, with time that stands until it is
told to move."""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import redis
from kombu.exceptions import OperationalError

from orchestrator_client.client import Client, facts
from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import Keyring
from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_client.contract.limits import Limits
from orchestrator_client.contract.plan import StepKind
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import ModelSection, Project
from orchestrator_client.store import GateStore, MoneyStore, QuestionStore, RunStore, VariableStore
from orchestrator_worker import completion, executor, patience, tasks
from orchestrator_worker.admission import Admission
from orchestrator_worker.canvas import Canvas
from orchestrator_worker.compiler import Graph, compile_plan
from orchestrator_worker.completion import Completions
from orchestrator_worker.context import runs
from orchestrator_worker.context.runs import Runs
from orchestrator_worker.executor import Executor
from orchestrator_worker.limits import Asking, Prepared
from orchestrator_worker.quality.inspector import Inspector
from orchestrator_worker.scheduler import Scheduler
from orchestrator_worker.settings import Settings
from orchestrator_worker.steps import model
from orchestrator_worker.steps.base import Call
from orchestrator_worker.steps.model import ModelStep
from orchestrator_worker.store import Store, reads
from orchestrator_worker.tools.base import ToolContext
from orchestrator_worker.vault import Vault
from tests.fundamentals.gates import NOON_MS
from tests.simulation.effects import INPUT_USD, OUTPUT_USD, Ledger, SimCalls, SimModel, SimProvider, SimTool
from tests.simulation.seam import Operation, ask, process_now
from tests.simulation.store_seam import StoreSeam
from tests.simulation.transport_seam import Transport
from tests.simulation.wire import Wire

IN_FLIGHT, REQUESTS = 2, 6_000
"""What the one provider allows: calls at a time, and a minute."""

PRICE = ModelSection(input_usd_per_million=Decimal(INPUT_USD) / 1000, output_usd_per_million=Decimal(OUTPUT_USD) / 1000)
PROJECT = Project(
    default_model="sim/m",
    models={"sim/m": PRICE, "sim/other": PRICE},
    limits={"sim/m": Limits(in_flight=IN_FLIGHT, requests_per_minute=REQUESTS)},
)

CONFIG = Settings(redis_url="unix:///nowhere", workdir="/nowhere", store_patience_seconds=20.0)


@dataclass
class Engine:
    """What `engine.build_engine` puts together, as far as it is not an effect."""

    store: Store
    canvas: Canvas
    scheduler: Scheduler
    executor: Executor
    runs: Runs
    worker: str

    def restart(self) -> None:
        """A new process knows no runs."""
        self.runs._runs.clear()
        self.runs._graphs.clear()


class Unexpected(AssertionError):
    """Production met an exception that nobody has simulated."""


class World:
    """Everything outside of the processes, and the processes."""

    def __init__(self, wire: Wire, mutated: Callable[[str, str], str] = lambda _name, text: text) -> None:
        self.wire, self.redis = wire, StoreSeam(wire, mutated)
        self.transport = Transport(wire)
        self.now_ms = NOON_MS
        self.roll: Callable[[int], int] = lambda _sides: 0
        self.calls_by: Callable[[str, str, int], int] = lambda *_: 1
        self.ledger = Ledger(lambda: self.now_ms, lambda *key: self.calls_by(*key))
        self.prices, self.asking = Prices(PROJECT), Asking(PROJECT, Prices(PROJECT))
        self.vault = Vault(Path("/nowhere"), {})
        self.engines = [self._engine(f"w{number}") for number in range(3)]
        self.client = self._client()
        self.unexpected: list[BaseException] = []

    def begin(self) -> None:
        """An empty world, at noon."""
        self.transport.bag.clear()
        self.transport.chords.clear()
        self.ledger.begun.clear()
        self.unexpected.clear()
        self.now_ms = NOON_MS
        self.wire.tell("FLUSHDB")
        self.wire.tell("SET", names.CLOCK, self.now_ms)
        for engine in self.engines:
            engine.restart()

    def set_clock(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.wire.tell("SET", names.CLOCK, now_ms)

    # --- the parts ---------------------------------------------------------------------------------------------

    def _engine(self, worker: str) -> Engine:
        store, canvas, calls = (
            Store(self.redis, CONFIG),
            Canvas(self.transport, Keyring(), CONFIG.store_patience_seconds),
            SimCalls(),
        )
        known = Runs(store)

        def describe(prepared: Prepared, call: Call) -> str:
            run, graph = known.open(call.run)
            return self.asking.describe(prepared, run, graph.plan, call.step)

        def context(call: Call) -> ToolContext:
            return ToolContext(run=call.run, instance=call.instance, attempt=call.attempt, folder=Path("/nowhere"))

        provider = SimProvider(self.ledger, lambda: self.roll(16))
        models = ModelStep(calls.run, lambda _: provider, PROJECT, self.prices, context, describe, store.cached)
        scheduler = Scheduler(store, canvas, known, Admission(store, models, self.asking))
        complete = Completions(store, scheduler, PROJECT.default_model).of
        performers = {StepKind.TOOL: SimTool(self.ledger, calls, complete), StepKind.MODEL: SimModel(models)}
        run_steps = Executor(
            store,
            known,
            scheduler,
            calls,
            performers,
            None,
            self.vault,
            Inspector(context, self.vault.masked_text),
            worker,
        )
        return Engine(store, canvas, scheduler, run_steps, known, worker)

    def _client(self) -> Client:
        """The client as it is, on the seam's connection and with the seam's messages."""
        client = Client("unix:///nowhere")
        client._announcer._app = self.transport
        for store in vars(client._stores).values():
            if isinstance(store, GateStore | MoneyStore | QuestionStore | RunStore | VariableStore):
                store._redis = self.redis
        return client


# --- the seams that are modules of Python ------------------------------------------------------------------------


class SimTime:
    """In the place of `time`, where a store that is away is waited for."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.now_ms / 1000

    def sleep(self, seconds: float) -> None:
        ask(Operation("pause", "sleep", lambda: None))


class SimAsyncio:
    """In the place of `asyncio`, where a tool waits for a model in the middle of its call."""

    @staticmethod
    async def to_thread(function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    @staticmethod
    async def sleep(seconds: float) -> None:
        ask(Operation("pause", "look", lambda: None))


class SimSecrets:
    """In the place of `secrets`, for the tokens of claims."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def token_hex(self, _bytes: int) -> str:
        return f"{next(self._numbers):08x}"


class SimLogger:
    """In the place of the logger of `tasks`, which hears of exceptions that nobody expected."""

    def __init__(self, world: World) -> None:
        self._world = world

    def exception(self, words: str, *_: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OperationalError | StoreUnavailable | redis.RedisError):
            self._world.unexpected.append(error)

    def warning(self, *_: Any) -> None:
        """A store that was away."""


@contextlib.contextmanager
def seams(world: World) -> Iterator[None]:
    """Production with the seams in place; what it does is what it always does."""
    compiled: dict[str, Graph] = {}
    replaced = [
        # The same functions, which remember: a plan is read by every process of every schedule.
        (reads, "load_plan", lru_cache(maxsize=64)(reads.load_plan)),
        (
            runs,
            "compile_plan",
            lambda plan: compiled.get(plan.hash) or compiled.setdefault(plan.hash, compile_plan(plan)),
        ),
        (patience, "time", SimTime(world)),
        (model, "time", SimTime(world)),
        (completion, "asyncio", SimAsyncio),
        (executor, "secrets", SimSecrets()),
        (facts, "load_project", lru_cache(facts.load_project)),
        (tasks, "engine", lambda: process_now().engine),
        (tasks, "logger", SimLogger(world)),
    ]
    before = [getattr(module, name) for module, name, _ in replaced]
    for module, name, stand_in in replaced:
        setattr(module, name, stand_in)
    quiet = logging.getLogger("orchestrator_worker"), logging.getLogger("orchestrator_client")
    levels = [logger.level for logger in quiet]
    for logger in quiet:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for (module, name, _), stood in zip(replaced, before, strict=True):
            setattr(module, name, stood)
        for logger, level in zip(quiet, levels, strict=True):
            logger.setLevel(level)
