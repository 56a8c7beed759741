"""The three Celery tasks, and what a worker does at its start, beat by beat, and at its end."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from celery import signals
from celery.exceptions import Ignore, Terminated, TimeLimitExceeded, WorkerLostError
from celery.worker import state as celery_state
from celery.worker.request import Request

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import (
    OrchestratorError,
    RunFailed,
    StepCancelled,
    StepTimeout,
    StoreUnavailable,
    WorkerLost,
)
from orchestrator_client.contract.run import Outcome
from orchestrator_worker.app import app
from orchestrator_worker.beat import Beat
from orchestrator_worker.calls import calls
from orchestrator_worker.canvas import carried_by, never_join, resume, return_part, survives_transport
from orchestrator_worker.engine import Engine, build_engine
from orchestrator_worker.pool import TaskPool
from orchestrator_worker.scheduler import Ended, Left
from orchestrator_worker.tether import adopt_orphans, has_exited, kill_orphans, tether_to

logger = logging.getLogger(__name__)


class StepFailed(Exception):
    """What Celery records of a step that failed: its message, and nothing that does not pickle."""


@lru_cache(maxsize=1)
def _engine_of(_pid: int) -> Engine:
    return build_engine(app, calls())


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
    throws=(StepFailed,),
)
def step(self: Any, run: str, instance: str, attempt: int) -> str | None:
    """Run one attempt. Only a task that has seen its instance settled returns: the chord counts it then."""
    try:
        verdict = engine().executor.run_step(run, instance, attempt)
    except StoreUnavailable as away:
        logger.warning("%s: %s; its lease will run out", names.task_id(run, instance), away)
        raise Ignore from None
    match verdict:
        case Left():
            raise Ignore
        case Ended(Outcome.FAILED, message):
            return_part(app, self.request)
            raise StepFailed(f"{instance}: {message}"[:500])
        case Ended(Outcome.SUCCEEDED):
            return None
        case Ended(outcome, message):
            return f"{outcome}: {message}"[:200]


@app.task(name=names.RUN_TASK, shared=False, bind=True, throws=(OrchestratorError,))
def run_pipeline(self: Any, run: str | None = None, plan: str | None = None, inputs: str = "{}") -> None:
    """Start a run: one that a client recorded, or, from a canvas of somebody else's, the plan in this message.

    The task itself never returns: the run's `close`, which has the same id, returns for it.
    """
    run = run or self.request.id
    if plan is not None:
        engine().scheduler.adopt(run, plan, inputs, carried_by(self.request))
    engine().scheduler.start(run)
    raise Ignore


# What a run gave is for whoever reads its result, not for whoever watches the fleet: its repr is cut to nothing.
@app.task(name=names.CLOSE_TASK, shared=False, bind=True, throws=(RunFailed,), resultrepr_maxsize=1)
def close(self: Any, run: str | None = None) -> dict[str, Any] | None:
    """Close a run, if nothing of it is open. As the body of its chord it takes the run from its own id."""
    run = run or self.request.id
    record = engine().scheduler.close(run)
    if record is None:
        raise Ignore
    carried = engine().store.carried(run)
    resume(self.request, carried)
    if not record.success:
        raise RunFailed(run, record.error.message if record.error else str(record.state))
    if carried is None:
        return None
    if not survives_transport(record.outputs):
        raise RunFailed(
            run, "it succeeded, but Celery cannot carry outputs with the key '__type__'; ask the client for them"
        )
    return {"run": run, "state": str(record.state), "outputs": record.outputs}


# --- the worker's life ---------------------------------------------------------------------------------------------


def _held() -> list[StepRequest]:
    """Steps that this worker's processes or threads are running."""
    return [request for request in list(celery_state.active_requests) if isinstance(request, StepRequest)]


def _child_of(request: StepRequest) -> int | None:
    """Process id of the child that runs a step; None where a thread of this process does."""
    return None if request.worker_pid in (None, os.getpid()) else int(request.worker_pid)


def renew_leases() -> None:
    """Keep the attempts of this worker alive, end those of dead children, and stop those of cancelled runs."""
    held = _held()
    alive = [request for request in held if not has_exited(_child_of(request))]
    for request in set(held) - set(alive):
        # Celery's pool looks for dead children every five seconds only.
        request.give_up(WorkerLost("the process of the step died"))
    if not alive:
        return
    answers = engine().store.renew([tuple(request.args) for request in alive])
    for request, answer in zip(alive, answers, strict=True):
        if answer == "cancel":
            request.give_up(StepCancelled("the run was cancelled"))
            _stop(request, "the run was cancelled")


def _stop(request: StepRequest, reason: str) -> None:
    """End what a step is doing: nobody waits for it any more."""
    if (child := _child_of(request)) is None:
        calls().stop(tuple(request.args), StepCancelled(reason))
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def sweep() -> None:
    """Repair what is due in the whole store, unless another worker has just done so."""
    engine().scheduler.sweep(every_seconds=engine().config.beat_seconds)


_beats: list[Beat] = []
_parent = os.getpid()


def _settle_in() -> None:
    """Take what is loaded by now out of the collector's sight: full collections then come often and cost little, and
    a worker's memory stays where it is after its first steps. (Otherwise they wait for a quarter of all objects.)
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # counts what is not frozen, and by that decides when to look next


@signals.worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    never_join()
    _settle_in()
    duties: tuple[Callable[[], object], ...] = (renew_leases, calls().stop_overdue, sweep)
    if isinstance(sender.pool, TaskPool):
        adopt_orphans()
        duties += (kill_orphans,)
    beat = Beat(engine().config.beat_seconds, duties)
    _beats.append(beat)
    beat.start()


@signals.worker_process_init.connect
def _tether(**_: Any) -> None:
    tether_to(_parent)
    _settle_in()


@signals.worker_shutting_down.connect
def _limit_shutdown(**_: Any) -> None:
    """Celery waits for running steps without end; we wait `shutdown_seconds`."""
    timer = threading.Timer(engine().config.shutdown_seconds, _hand_back)
    timer.daemon = True
    timer.start()


def _hand_back() -> None:
    """What still runs has had its time: another worker takes it at once, and this process ends."""
    for request in _held():
        try:
            engine().scheduler.hand_back(*request.args)
        except OrchestratorError as error:
            logger.warning("%s: not handed back (%s); its lease will run out", request.id, error)
        _stop(request, "the worker stops")
    os._exit(0)


@signals.worker_shutdown.connect
def _end(**_: Any) -> None:
    for beat in _beats:
        beat.stop()
