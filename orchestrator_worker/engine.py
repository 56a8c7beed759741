"""The parts of one worker process, put together."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from celery import Celery

from orchestrator_client.contract.plan import StepKind
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import Project, load_project
from orchestrator_worker.admission import Admission
from orchestrator_worker.canvas import Canvas
from orchestrator_worker.completion import Completions
from orchestrator_worker.context.runs import Runs
from orchestrator_worker.executor import Executor
from orchestrator_worker.limits import Asking, Prepared
from orchestrator_worker.process.calls import Calls
from orchestrator_worker.process.deltas import Deltas
from orchestrator_worker.process.reports import Reports
from orchestrator_worker.providers.registry import Providers
from orchestrator_worker.quality.inspector import Inspector
from orchestrator_worker.scheduler import Scheduler
from orchestrator_worker.settings import Settings, settings
from orchestrator_worker.steps.base import Call, StepPerformer
from orchestrator_worker.steps.model import ModelStep
from orchestrator_worker.steps.tool import ToolStep
from orchestrator_worker.store import Store, connect
from orchestrator_worker.tools.base import Complete
from orchestrator_worker.vault import Vault, use


@dataclass(frozen=True, slots=True)
class Engine:
    """One of each."""

    config: Settings
    store: Store
    canvas: Canvas
    scheduler: Scheduler
    executor: Executor
    providers: Providers
    vault: Vault
    worker: str


def build_engine(app: Celery, calls: Calls, config: Settings | None = None, project: Project | None = None) -> Engine:
    """The engine of this process.

    Raises:
        ConfigInvalid: orchestrator.toml cannot be used.
    """
    config, project = config or settings(), project or load_project()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    store = Store(connect(config), config)
    vault = use(Vault(config.secrets_folder, project.secrets))
    canvas, runs = Canvas(app, app.conf.fleet_keys, config.store_patience_seconds), Runs(store)
    prices, providers = Prices(project), Providers(project)
    asking = Asking(project, prices)

    def describe(prepared: Prepared, call: Call) -> str:
        run, graph = runs.open(call.run)
        return asking.describe(prepared, run, graph.plan, call.step)

    def complete(call: Call) -> Complete:
        return Completions(store, scheduler, config.default_model or project.default_model or "").of(call)

    tools = ToolStep(
        config,
        calls,
        Reports(store).of,
        lambda run: runs.open(run)[0].root,
        project,
        complete,
        store.run_over,
        vault,
        lambda run: runs.open(run)[0].forked_from,
    )
    models = ModelStep(
        calls.run, providers, project, prices, tools.context, describe, store.cached, config.default_model
    )
    scheduler = Scheduler(store, canvas, runs, Admission(store, models, asking))
    performers: dict[StepKind, StepPerformer] = {StepKind.TOOL: tools, StepKind.MODEL: models}
    inspector = Inspector(tools.context, vault.masked_text)
    executor = Executor(store, runs, scheduler, calls, performers, Deltas(store), vault, inspector, worker)
    return Engine(config, store, canvas, scheduler, executor, providers, vault, worker)
