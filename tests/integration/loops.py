"""Plans with maps and loops, and their delivery message by message."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.plan import Json, Loop, LoopKind, Step, StepKind
from tests.fleet import InProcessFleet, Message

MOST_MESSAGES = 5_000


def text(step: str, template: str, after: tuple[str, ...] = (), reads: tuple[str, ...] = (), **fields: Any) -> Step:
    """A step whose result is a rendered text."""
    parameters: dict[str, Json] = {"function": "builtins:str", "args": [template]}
    return Step(
        id=step, kind=StepKind.TOOL, uses="python.call", parameters=parameters, after=after, reads=reads, **fields
    )


def each(
    step: str, items: Json, *body: Step, after: tuple[str, ...] = (), reads: tuple[str, ...] = (), **loop: Any
) -> Step:
    """A map."""
    return Step(
        id=step,
        kind=StepKind.CONTROL,
        uses="map",
        after=after,
        reads=reads,
        loop=Loop(kind=LoopKind.MAP, items=items, steps=body, **loop),
    )


def loop(step: str, kind: LoopKind, condition: Json, *body: Step, after: tuple[str, ...] = (), **fields: Any) -> Step:
    """A while or an until."""
    return Step(
        id=step,
        kind=StepKind.CONTROL,
        uses="loop",
        after=after,
        loop=Loop(kind=kind, condition=condition, steps=body, **fields),
    )


def dies(seed: int | None, instance: str, attempt: int) -> bool:
    """Whether the worker that takes this attempt of a tool's step dies before it does anything."""
    return seed is not None and random.Random(f"{seed}|{instance}|{attempt}").random() < 0.06


def finish(
    fleet: InProcessFleet,
    run: Run,
    seed: int | None = None,
    deaths: bool = False,
    between: Callable[[Run], object] = lambda _: None,
) -> RunDocument:
    """Deliver all messages until there are none, in order; or, with a seed, shuffled, some twice and some never; and
    where there are deaths, some to workers that die of them. `between` two of them, something else may happen."""
    chance = random.Random(seed)
    forward_ms = 0
    for _ in range(MOST_MESSAGES):
        between(run)
        if (message := _next(fleet, chance if seed is not None else None)) is not None:
            if deaths and message.queue == names.TOOL_QUEUE and dies(seed, *message.args[1:]):
                # What a dead worker leaves behind: its claim.
                fleet.engine.store.claim(*message.args, token="dead", worker="dead", reads=())
            else:
                _deliver(fleet, run, message, chance if seed is not None else None)
        elif run.status().open:
            # What was dropped is found by sweep, once its message is overdue.
            forward_ms += 60_000
            fleet.set_clock(run, forward_ms)
            fleet.engine.scheduler.sweep()
        else:
            break
    fleet.engine.scheduler.close(run.id)
    return run.document()


def _next(fleet: InProcessFleet, chance: random.Random | None) -> Message | None:
    queues = [names.TOOL_QUEUE, names.CONTROL_QUEUE]
    if chance is not None:
        chance.shuffle(queues)
    return fleet.take(*queues)


def _deliver(fleet: InProcessFleet, run: Run, message: Message, chance: random.Random | None) -> None:
    if message.task != names.STEP_TASK:
        return
    fate = chance.random() if chance is not None else 1.0
    if fate < 0.15:
        return
    fleet.deliver(message)
    if fate < 0.3:
        fleet.deliver(message)
