"""The life of one worker: it takes up its work, beats, hears of cancellations, and hands back what it cannot end."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.worker import state as celery_state

from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import KEY_VARIABLE
from orchestrator_client.contract.errors import OrchestratorError, StepCancelled, WorkerLost
from orchestrator_client.contract.project import load_project
from orchestrator_client.contract.worker import WorkerInfo
from orchestrator_worker import meters, traces
from orchestrator_worker.calendar import Calendar
from orchestrator_worker.canvas import never_join
from orchestrator_worker.process.beat import Beat
from orchestrator_worker.process.calls import STOP_SIGNAL, calls
from orchestrator_worker.process.courier import Courier
from orchestrator_worker.process.daemon import Daemon
from orchestrator_worker.process.pool import TaskPool
from orchestrator_worker.process.presence import Presence
from orchestrator_worker.process.proof import Proof, file_of
from orchestrator_worker.process.pulse import Pulse
from orchestrator_worker.process.pump import Pump
from orchestrator_worker.process.remote import take_no_orders
from orchestrator_worker.process.tether import adopt_orphans, has_exited, is_stopped, kill_orphans, tether_to
from orchestrator_worker.process.tidying import Tidying
from orchestrator_worker.settings import metrics_port
from orchestrator_worker.tasks import StepRequest, engine
from orchestrator_worker.tools import registry
from orchestrator_worker.tools.base import Reach
from orchestrator_worker.tools.mcp import servers
from orchestrator_worker.transport.gate import Letter

logger = logging.getLogger(__name__)

HANG_UP_SECONDS = 2.0
"""For connections to end in order; the end of the process ends them too."""


HAND_BACK_SECONDS = 5.0
"""For steps that are handed back; those that are not are found once their leases have run out."""


def _held() -> list[StepRequest]:
    """Steps that this worker's processes or threads are running."""
    return [request for request in list(celery_state.active_requests) if isinstance(request, StepRequest)]


def _child_of(request: StepRequest) -> int | None:
    """Process id of the child that runs a step; None where a thread of this process does."""
    return None if request.worker_pid in (None, os.getpid()) else int(request.worker_pid)


def renew_leases() -> None:
    """Keep the attempts of this worker alive, end those of dead children, and stop those of cancelled runs."""
    held = _held()
    _kill_deaf(held)
    _kill_frozen(held)
    alive = [request for request in held if not has_exited(_child_of(request))]
    for request in set(held) - set(alive):
        # Celery's pool looks for dead children every five seconds only.
        request.give_up(WorkerLost("the process of the step died"))
    if not alive:
        return
    answers = engine().store.renew([tuple(request.args) for request in alive])
    for request, answer in zip(alive, answers, strict=True):
        if answer == "lost":
            meters.lease_lost()
        if answer == "cancel":
            request.give_up(StepCancelled("the run was cancelled"))
            _stop(request, "the run was cancelled", STOP_SIGNAL)


_told: set[StepRequest] = set()
"""Steps whose processes have been asked to stop them."""


def _stop(request: StepRequest, reason: str, number: signal.Signals) -> None:
    """End what a step is doing: nobody waits for it any more. A process that is only asked lives on, with the sessions
    that it keeps, and can tell whomever it had called."""
    if (child := _child_of(request)) is None:
        calls().stop(tuple(request.args), StepCancelled(reason))
    else:
        _told.add(request)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)


def _kill_deaf(held: list[StepRequest]) -> None:
    """Kill the processes that were asked to stop a step at an earlier beat, and are at it still."""
    _told.intersection_update(held)
    for request in _told:
        _stop(request, "", signal.SIGKILL)


_frozen_since: dict[int, float] = {}
"""Processes of steps that a signal has stopped, and when that was seen first (s of the monotonic clock)."""


def _kill_frozen(held: list[StepRequest]) -> None:
    """Kill the processes that have been stopped for as long as a lease. Nobody else would miss them: their leases are
    renewed from here.
    """
    frozen = {child for request in held if (child := _child_of(request)) is not None and is_stopped(child)}
    for child in _frozen_since.keys() - frozen:
        del _frozen_since[child]
    for child in frozen:
        since = _frozen_since.setdefault(child, time.monotonic())
        if time.monotonic() - since >= engine().config.lease_seconds:
            logger.warning("process %d was stopped by a signal and did not go on; it is killed", child)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def fire_schedules() -> None:
    """Have run what is due, unless another worker has just looked."""
    Calendar(engine().store, engine().canvas).fire(every_seconds=engine().config.beat_seconds)


def sweep() -> None:
    """Repair what is due in the whole store, unless another worker has just done so."""
    found = engine().scheduler.sweep(every_seconds=engine().config.beat_seconds)
    meters.swept(due.repair for due in found)


@signals.celeryd_after_setup.connect
def _warm(instance: Any, **_: Any) -> None:
    """Import the SDKs before the first message is taken: it takes a second each, and two threads that import parts of
    them at once may each meet what the other has only half imported. And what each child would import for itself.
    """
    engine().providers.warm(_providers_of(instance))
    if names.TOOL_QUEUE in instance.app.amqp.queues.consume_from:
        servers.warm()
        registry.warm()


def _providers_of(sender: Any) -> list[str]:
    """The providers whose queues the worker serves."""
    queues = sender.app.amqp.queues.consume_from
    return [queue.removeprefix(names.MODEL_QUEUES) for queue in queues if queue.startswith(names.MODEL_QUEUES)]


_daemons: list[Daemon] = []
_parent = os.getpid()


def _settle_in() -> None:
    """Take what is loaded by now out of the collector's sight: full collections then come often and cost little, and
    a worker's memory stays where it is after its first steps. (Otherwise they wait for a quarter of all objects.)
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # counts what is not frozen, and by that decides when to look next


def _bury(letter: Letter) -> None:
    """Keep a message that was refused, without any secret in it, and say so."""
    vault = engine().vault
    reason = vault.masked_end(letter.reason)
    logger.warning("a message in queue %s was refused: %s; see orchestrator dead list", letter.queue, reason)
    engine().store.bury(engine().worker, letter.queue, letter.raw, vault.masked_bytes(letter.raw), reason)


@signals.worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    never_join()
    _settle_in()
    gate, proof = sender.app.conf.broker_transport_options["gate"], Proof(file_of(os.getpid()))
    gate.bury, gate.answered = _bury, proof.renew
    # With every place taken by a message that has begun, a worker may be silent for as long as that takes.
    gate.full = lambda: proof.renew() if celery_state.active_requests else None
    take_no_orders()
    if not sender.app.conf.fleet_keys:
        logger.warning("messages are neither signed nor checked: give the fleet a key, %s", KEY_VARIABLE)
    tidying = Tidying(engine().store, engine().config)
    duties: tuple[Callable[[], object], ...] = (renew_leases, calls().stop_overdue, sweep, tidying.beat, fire_schedules)
    if isinstance(sender.pool, TaskPool):
        adopt_orphans()
        duties += (kill_orphans,)
    beat = Beat(engine().config.beat_seconds, (*duties, _presence(sender).report))
    _daemons.append(beat)
    _daemons.append(Pulse(proof, engine().store.answers))
    if _providers_of(sender):
        _daemons.append(Pump(engine().store, engine().scheduler.promote))
    if names.TOOL_QUEUE in sender.app.amqp.queues.consume_from:
        reach = Reach((*load_project().tools.allow_hosts, *engine().config.allow_hosts))
        _daemons.append(Courier(engine().store, engine().vault, reach, engine().config.beat_seconds))
    for daemon in _daemons:
        daemon.start()


_present: list[Presence] = []


def _presence(sender: Any) -> Presence:
    """What this worker tells of itself, and to Prometheus where that is configured."""
    project = load_project()
    info = WorkerInfo(
        name=sender.hostname,
        version="",
        queues=tuple(sender.app.amqp.queues.consume_from),
        pool="prefork" if isinstance(sender.pool, TaskPool) else "threads",
        slots=sender.controller.concurrency,
        missing_keys=tuple(engine().providers.missing_keys(_providers_of(sender))),
    )
    presence = Presence(engine().store, info, lambda: len(_held()))
    if (port := metrics_port(engine().config, project)) is not None:
        presence.answer_prometheus(project.metrics.address, port)
    _present.append(presence)
    return presence


@signals.worker_process_init.connect
def _tether(**_: Any) -> None:
    tether_to(_parent)
    signal.signal(STOP_SIGNAL, signal.SIG_IGN)  # between calls it is late
    _settle_in()


@signals.worker_shutting_down.connect
def _limit_shutdown(**_: Any) -> None:
    """Celery waits for running steps without end; we wait `shutdown_seconds`."""
    _later(engine().config.shutdown_seconds, _hand_back)


def _later(seconds: float, call: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


def _hand_back() -> None:
    """What still runs has had its time: another worker takes it at once, and this process ends."""
    # A store that is away would have it wait for ever. From now on, for a worker may have been frozen until now.
    _later(HAND_BACK_SECONDS, lambda: os._exit(0))
    for request in _held():
        try:
            engine().scheduler.hand_back(*request.args)
        except OrchestratorError as error:
            logger.warning("%s: not handed back (%s); its lease will run out", request.id, error)
        _stop(request, "the worker stops", signal.SIGKILL)
    meters.end()
    os._exit(0)


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def _hang_up(**_: Any) -> None:
    """End the connections that tools keep between calls, if any were made."""
    if (http := sys.modules.get("orchestrator_worker.tools.http")) is not None:
        calls().run(http.close_client(), HANG_UP_SECONDS)
    traces.end()


@signals.worker_shutdown.connect
def _end(**_: Any) -> None:
    for daemon in _daemons:
        daemon.stop()
    for presence in _present:
        presence.leave()
    meters.end()
