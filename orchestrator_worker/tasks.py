"""The three Celery tasks: start a run, run a step of it, close it."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import Any

from celery.exceptions import Ignore, Terminated, TimeLimitExceeded, WorkerLostError
from celery.worker import state as celery_state
from celery.worker.request import Request

from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import SERIALIZER
from orchestrator_client.contract.errors import (
    OrchestratorError,
    RunFailed,
    StepTimeout,
    StoreUnavailable,
    WorkerLost,
)
from orchestrator_client.contract.logs import about
from orchestrator_client.contract.run import Outcome, RunRecord
from orchestrator_worker.app import app
from orchestrator_worker.canvas import carried_by, resume, survives_transport
from orchestrator_worker.engine import Engine, build_engine
from orchestrator_worker.process.calls import calls
from orchestrator_worker.scheduler import Ended, Left
from orchestrator_worker.vault import hide_in_logs

logger = logging.getLogger(__name__)


class StepFailed(Exception):
    """What Celery records of a step that failed: its message, and nothing that does not pickle."""


@lru_cache(maxsize=1)
def _engine_of(_pid: int) -> Engine:
    built = build_engine(app, calls())
    hide_in_logs(built.vault)
    return built


def engine() -> Engine:
    """The engine of this process. A forked child builds its own: connections do not survive a fork."""
    return _engine_of(os.getpid())


class StepRequest(Request):  # type: ignore[misc]
    """A step's message as the worker's parent process sees it, also when the child that had it is gone."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The step ignored its timeout, and its process was killed for it."""
        if not soft:
            celery_state.task_ready(self)
            self.give_up(StepTimeout(f"the step took longer than its timeout, and {timeout:g} s after all was killed"))

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """A child that died has not concluded its step: do it here, at once."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, TimeLimitExceeded):
            return
        if isinstance(error, WorkerLostError | Terminated | SystemExit | KeyboardInterrupt):
            celery_state.task_ready(self)
            self.give_up(WorkerLost(f"the process of the step died: {error}"))
            self.send_event("task-failed", exception=repr(error), traceback=None)
            return
        super().on_failure(exc_info, send_failed_event, return_ok)

    def give_up(self, error: OrchestratorError) -> None:
        """Conclude the attempt from outside the process that runs it."""
        run, instance, number = self.args
        try:
            engine().scheduler.give_up(run, instance, number, error, worker=engine().worker)
        except StoreUnavailable as away:
            logger.warning("%s: %s; its lease will run out", self.id, away)


@app.task(
    name=names.STEP_TASK,
    shared=False,
    bind=True,
    Request=f"{__name__}:StepRequest",
    ignore_result=True,
    serializer=SERIALIZER,
    throws=(StepFailed,),
)
def step(self: Any, run: str, instance: str, attempt: int) -> str | None:
    """Run one attempt. Only a task that has seen its instance settled returns: the chord counts it then."""
    with about(run, instance, attempt):
        return _step(self.request, run, instance, attempt)


def _step(message: Any, run: str, instance: str, attempt: int) -> str | None:
    try:
        verdict = engine().executor.run_step(run, instance, attempt)
    except StoreUnavailable as away:
        logger.warning("%s: %s; its lease will run out", names.task_id(run, instance), away)
        raise Ignore from None
    except Exception:
        # A fault of ours: nothing is recorded, so nothing may be counted. The lease runs out, and sweep decides.
        logger.exception("%s: the attempt could not be concluded", names.task_id(run, instance))
        raise Ignore from None
    if isinstance(verdict, Left):
        raise Ignore
    try:
        engine().canvas.return_part(message)
    except StoreUnavailable as away:
        logger.warning("%s: its part was not counted (%s); the run is closed by sweep", message.id, away)
        raise Ignore from None
    match verdict:
        case Ended(Outcome.FAILED, message):
            raise StepFailed(f"{instance}: {message}"[:500])
        case Ended(Outcome.SUCCEEDED):
            return None
        case Ended(outcome, message):
            return f"{outcome}: {message}"[:200]


@app.task(name=names.RUN_TASK, shared=False, bind=True, serializer=SERIALIZER, throws=(OrchestratorError,))
def run_pipeline(
    self: Any, run: str | None = None, plan: str | None = None, inputs: str = "{}"
) -> dict[str, Any] | None:
    """Start a run: one that a client recorded, or, from a canvas of somebody else's, the plan in this message.

    The task itself does not return: the run's `close`, which has the same id, returns for it. Only of a run that was
    cancelled before it began, nothing is left to close.
    """
    run = run or self.request.id
    if plan is not None:
        engine().scheduler.adopt(run, plan, inputs, carried_by(self.request))
    if (ended := engine().scheduler.start(run)) is None:
        raise Ignore
    return _answer(self.request, ended)


# What a run gave is for whoever reads its result, not for whoever watches the fleet: its repr is cut to nothing.
@app.task(
    name=names.CLOSE_TASK,
    shared=False,
    bind=True,
    serializer=SERIALIZER,
    throws=(RunFailed,),
    resultrepr_maxsize=1,
)
def close(self: Any, run: str | None = None) -> dict[str, Any] | None:
    """Close a run, if nothing of it is open. As the body of its chord it takes the run from its own id."""
    if (record := engine().scheduler.close(run or self.request.id)) is None:
        raise Ignore
    return _answer(self.request, record)


def _answer(request: Any, record: RunRecord) -> dict[str, Any] | None:
    """What the task of a run that has ended returns, to the canvas that waits for it if there is one.

    Raises:
        RunFailed: it did not succeed.
    """
    run, carried = record.run, engine().store.carried(record.run)
    resume(request, carried)
    if not record.success:
        raise RunFailed(run, record.error.message if record.error else str(record.state))
    if carried is None:
        return None
    if not survives_transport(record.outputs):
        raise RunFailed(
            run, "it succeeded, but Celery cannot carry outputs with the key '__type__'; ask the client for them"
        )
    return {"run": run, "state": str(record.state), "outputs": record.outputs}
