"""Runs that start runs, driven message by message: what a worker of all queues would do, in this process."""

from __future__ import annotations

from typing import Any

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Plan, Step, StepKind
from tests.fleet import InProcessFleet, Message


def child_step(step: str, child: str, after: tuple[str, ...] = (), **parameters: Any) -> Step:
    """A step that runs one of its plan's children."""
    fields = {name: parameters.pop(name) for name in ("on_failure", "retry", "reads") if name in parameters}
    return Step(
        id=step,
        kind=StepKind.CONTROL,
        uses="pipeline-executor.execute",
        child=child,
        parameters=parameters,
        after=after,
        **fields,
    )


def family(*steps: Step, outputs: dict[str, Any] | None = None, **children: Plan) -> Plan:
    """A plan that runs these children."""
    return Plan(id="parent", steps=steps, outputs=outputs or {}, children=children)


def start(fleet: InProcessFleet, plan: Plan, **options: Any) -> Run:
    """A run that is recorded and opened; its entry messages are in the queues."""
    inputs = options.pop("inputs", {})
    run = fleet.client.submit(plan, inputs, **options)
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.engine.scheduler.start(run.id)
    return run


def take(fleet: InProcessFleet) -> Message | None:
    """The next message of any queue; what closes a run is left to `close_ended`, as its chord would."""
    while (message := fleet.take()) is not None:
        if message.task != names.CLOSE_TASK:
            return message
    return None


def deliver(fleet: InProcessFleet, message: Message) -> None:
    """Do what a worker does with a message."""
    if message.task == names.RUN_TASK:
        fleet.engine.scheduler.start(message.args[0])
    else:
        fleet.deliver(message)


def close_ended(fleet: InProcessFleet) -> bool:
    """Close every run of which nothing is open, as its chord does; whether there was one."""
    open_runs = [record for record in fleet.client.runs() if record.state == "running" and record.open == 0]
    closed = [fleet.engine.scheduler.close(record.run) for record in open_runs]
    return any(record is not None for record in closed)


def drive(fleet: InProcessFleet) -> None:
    """Deliver messages and close runs until nothing is left to do."""
    while True:
        message = take(fleet)
        if message is not None:
            deliver(fleet, message)
        elif not close_ended(fleet):
            return
