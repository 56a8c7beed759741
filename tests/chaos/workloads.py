"""What a fleet does while faults strike: a chain, a fan with a join, and a mixture of all kinds of steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator_client.contract.plan import Loop, LoopKind, OnFailure, OnLost, Plan, Retry, Step, StepKind

MODEL = "gpt-4o-mini"
EFFECT = "python:tests.chaos.effects:effect"
DIE = "python:tests.chaos.effects:die"


def effect(id: str, seconds: float = 0.05, after: tuple[str, ...] = (), uses: str = EFFECT, **fields: Any) -> Step:
    """A step that writes to the ledger. Doing it twice is what is counted, so a lost one is tried again."""
    given = {"seconds": seconds} if uses == EFFECT else {}
    fields.setdefault("on_lost", OnLost.RETRY)
    fields.setdefault("reads", after)
    parameters = {**given, **fields.pop("parameters", {})}
    return Step(id=id, kind=StepKind.TOOL, uses=uses, parameters=parameters, after=after, **fields)


def chain(length: int = 20, seconds: float = 0.05) -> Plan:
    """Each step waits for the one before."""
    steps = [effect(f"c{n}", seconds, after=(f"c{n - 1}",) if n else ()) for n in range(length)]
    return Plan(id="chain", steps=tuple(steps), outputs={"last": f"{{{{ c{length - 1}.result }}}}"})


def fan(width: int = 50, seconds: float = 0.15) -> Plan:
    """One step, then all of these at once, then one that reads them."""
    middle = [f"m{n}" for n in range(width)]
    says = " ".join(f"{{{{ {name}.result }}}}" for name in middle)
    join = effect("join", 0.0, after=tuple(middle), parameters={"says": says})
    steps = (effect("first", 0.0), *(effect(name, seconds, after=("first",)) for name in middle), join)
    return Plan(id="fan", steps=steps, outputs={"said": "{{ join.result }}"})


def mixed(items: int = 6, passes: int = 3, seconds: float = 0.1) -> Plan:
    """Tools and models, a map, a loop, a condition, a failure that another step outlives, retries."""
    each = Step(
        id="each",
        kind=StepKind.CONTROL,
        uses="map",
        after=("first",),
        loop=Loop(
            kind=LoopKind.MAP,
            items=list(range(items)),
            max_parallel=3,
            steps=(effect("one", seconds), effect("two", 0.0, after=("one",))),
        ),
    )
    loop = Step(
        id="again",
        kind=StepKind.CONTROL,
        uses="loop",
        after=("first",),
        loop=Loop(
            kind=LoopKind.WHILE,
            condition=f"{{{{ iteration < {passes} }}}}",
            max_iterations=10,
            steps=(effect("pass", seconds),),
        ),
    )
    steps = (
        effect("first", 0.0),
        each,
        loop,
        _model("draft", "first"),
        _model("check", "draft"),
        effect("never", after=("first",), condition="{{ 1 > 2 }}"),
        Step(
            id="fails",
            kind=StepKind.TOOL,
            uses="python:tests.functions:fail",
            parameters={"message": "as it is meant to"},
            after=("first",),
            on_failure=OnFailure.CONTINUE,
            on_lost=OnLost.RETRY,
            retry=Retry(attempts=2, initial_seconds=0.2),
        ),
        effect("last", 0.0, after=("each", "again", "check", "never", "fails")),
    )
    return Plan(id="mixed", steps=steps)


def _model(id: str, after: str) -> Step:
    parameters = {"prompt": f"say {id} after {{{{ {after}.result }}}}", "max_tokens": 50}
    return Step(
        id=id,
        kind=StepKind.MODEL,
        uses="generate",
        model=MODEL,
        parameters=parameters,
        after=(after,),
        reads=(after,),
        retry=Retry(attempts=5, initial_seconds=0.1),
    )


WORKLOADS: Mapping[str, Callable[[], Plan]] = {"chain": chain, "fan": fan, "mixed": mixed}
EXPECTED: Mapping[str, str] = {"chain": "succeeded", "fan": "succeeded", "mixed": "failed"}
"""The state in which each ends: a step of the mixture is meant to fail."""
MEANT_TO_FAIL = frozenset({"fails"})
