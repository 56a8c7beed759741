"""The parts of one worker process, put together."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from celery import Celery

from orchestrator_client.contract.plan import StepKind
from orchestrator_worker.canvas import Canvas
from orchestrator_worker.context.runs import Runs
from orchestrator_worker.executor import Executor
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.providers.registry import provider
from orchestrator_worker.scheduler import Scheduler
from orchestrator_worker.settings import Settings, settings
from orchestrator_worker.steps.base import StepPerformer
from orchestrator_worker.steps.model import ModelStep
from orchestrator_worker.steps.tool import ToolStep
from orchestrator_worker.store import Store, connect


@dataclass(frozen=True, slots=True)
class Engine:
    """One of each."""

    config: Settings
    store: Store
    canvas: Canvas
    scheduler: Scheduler
    executor: Executor
    worker: str


def build_engine(app: Celery, calls: Calls, config: Settings | None = None) -> Engine:
    """The engine of this process."""
    config = config or settings()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    store = Store(connect(config), config)
    canvas, runs = Canvas(app), Runs(store)
    scheduler = Scheduler(store, canvas, runs)
    performers: dict[StepKind, StepPerformer] = {
        StepKind.TOOL: ToolStep(config, calls),
        StepKind.MODEL: ModelStep(calls.run, provider, config.default_model),
    }
    executor = Executor(store, runs, scheduler, calls, performers, worker)
    return Engine(config, store, canvas, scheduler, executor, worker)
