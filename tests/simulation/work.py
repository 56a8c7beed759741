"""What a worker's processes do, with the product's own functions: a message, a beat, and the end of a child."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable

from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import OrchestratorError, StepCancelled, StoreUnavailable, WorkerLost
from orchestrator_worker import tasks
from tests.simulation.transport_seam import Message
from tests.simulation.world import Engine, World

TASKS = {
    names.STEP_TASK: tasks.step.run.__func__,
    names.RUN_TASK: tasks.run_pipeline.run.__func__,
    names.CLOSE_TASK: tasks.close.run.__func__,
}
"""The tasks' own functions."""


def perform_message(world: World, message: Message) -> None:
    """The task, and then what Celery does when one returns: a failed task is no part, and neither is an ignored one."""
    try:
        TASKS[message.task](types.SimpleNamespace(request=message), *message.args)
    except (Ignore, tasks.StepFailed, OrchestratorError, OperationalError):
        return
    with contextlib.suppress(OperationalError):
        world.transport.on_chord_part_return(message, "SUCCESS", None)


def beat(engine: Engine, held: list[Message], stop: Callable[[Message], None]) -> None:
    """What `process.life` does every second: renew, stop what is cancelled, sweep."""
    if held:
        answers = engine.store.renew([tuple(message.args) for message in held])
        for message, answer in zip(held, answers, strict=True):
            if answer == "cancel":
                give_up(engine, message, StepCancelled("the run was cancelled"))
                stop(message)
    engine.scheduler.sweep()


def give_up(engine: Engine, message: Message, error: OrchestratorError | None = None) -> None:
    """What `tasks.StepRequest` does: conclude an attempt from outside the process that ran it."""
    error = error or WorkerLost("the process of the step died")
    with contextlib.suppress(StoreUnavailable):
        engine.scheduler.give_up(*message.args, error, worker=engine.worker)
