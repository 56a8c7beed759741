"""Small plans, drawn roll by roll."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from orchestrator_client.contract.plan import (
    Handler,
    Input,
    Json,
    LoopKind,
    OnFailure,
    OnLost,
    Plan,
    Retry,
    Step,
    StepKind,
)
from orchestrator_worker.steps.tool import ROUTER
from tests.fleet import python_step
from tests.fundamentals.families import child_step
from tests.integration.loops import each, loop
from tests.simulation.dice import Dice
from tests.simulation.effects import DECLARED

INPUTS: dict[str, Json] = {"n": 2, "words": ["a", "b"], "nothing": []}

FAILURES = (OnFailure.FAIL, OnFailure.CONTINUE, OnFailure.SKIP)
QUICK = {"initial_seconds": 1.0, "jitter": False}

PLAIN = ("text", "text", "text", "flaky", "fail", "map", "while", "until")
"""Kinds that the interpreter knows."""
RICH = ("text", "model", "model", "ask", "child", "route", "once", "complete", "map", "flaky", "fail")


@dataclass(frozen=True)
class Drawn:
    """A plan, and what is known of it."""

    plan: Plan
    plain: bool
    """The interpreter knows what it means."""
    models: bool = False
    children: bool = False


def drawn(dice: Dice) -> Drawn:
    """At most five steps, and those in loops."""
    kit = (PLAIN, RICH)[dice.roll(2)]
    size = 1 + dice.roll(4)
    rolls = [(dice.roll(len(kit)), dice.roll(12), dice.roll(8), dice.roll(6)) for _ in range(size)]
    return _built(kit, tuple(rolls))


@lru_cache(maxsize=4096)
def _built(kit: tuple[str, ...], rolls: tuple[tuple[int, int, int, int], ...]) -> Drawn:
    steps: list[Step] = []
    children: dict[str, Plan] = {}
    for number, (kind, behind, failure, extra) in enumerate(rolls):
        # What stands behind a router is what it leads to.
        name, before = f"s{number}", [step.id for step in steps if step.routes is None]
        after = _behind(before, behind)
        common: dict[str, Any] = {"after": after, "on_failure": FAILURES[failure % 3] if failure < 6 else FAILURES[1]}
        if extra == 5:
            common["condition"] = f"{{{{ {after[0]}.status == 'completed' }}}}" if after else "{{ n > 5 }}"
            common["reads"] = after
        steps += MAKERS[kit[kind]](name, extra, common, children)
    plan = Plan(
        id="drawn",
        inputs={name: Input(default=value) for name, value in INPUTS.items()},
        steps=tuple(steps),
        outputs={step.id: f"{{{{ {step.id}.result | default('-') }}}}" for step in steps if step.loop is None},
        children=children,
    )
    kinds = {kit[kind] for kind, *_ in rolls}
    return Drawn(plan, kinds <= set(PLAIN), bool(kinds & {"model", "complete", "child"}), "child" in kinds)


def _behind(before: list[str], roll: int) -> tuple[str, ...]:
    """Up to two of the steps before; 0: the last."""
    if not before:
        return ()
    choices = [(before[-1],), (), (before[0],), tuple(dict.fromkeys((before[0], before[-1])))]
    return choices[roll % 4] if roll < 8 else (before[roll % len(before)],)


Made = list[Step]


def _text(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
    reads = common["after"]
    template = name + "".join(f"+{{{{ {read}.result | default('-') }}}}" for read in reads)
    return [python_step(name, "builtins:str", template, **{**common, "reads": reads})]


def _fail(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
    handlers = (Handler(fallback_value="caught", has_fallback=True),) if extra < 4 else ()
    return [python_step(name, "tests.functions:fail", "no", handlers=handlers, **common)]


def _flaky(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
    retry = Retry(attempts=1 if extra == 5 else 3, **QUICK)
    return [python_step(name, "tests.functions:fail_until", name, 1 + extra % 2, retry=retry, **common)]


def _body(name: str, extra: int) -> Made:
    first = python_step(f"{name}x", "builtins:str", f"{name}{{{{ index }}}}")
    if extra % 2 == 0:
        return [first]
    if extra < 5:
        return [first, python_step(f"{name}y", "builtins:str", "y", after=(first.id,))]
    return [
        first,
        python_step(f"{name}y", "tests.functions:fail", "no", after=(first.id,), on_failure=OnFailure.CONTINUE),
    ]


def _map(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
    items = "{{ nothing }}" if extra == 4 else "{{ words }}"
    made = each(name, items, *_body(name, extra), max_parallel=1 + extra % 2)
    return [made.model_copy(update={**common, "on_failure": OnFailure.FAIL})]


def _loop(kind: LoopKind) -> Callable[..., Made]:
    def make(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
        condition = "{{ iteration < 2 }}" if kind is LoopKind.WHILE else "{{ iteration >= 2 }}"
        made = loop(name, kind, condition, *_body(name, extra), max_iterations=1 + extra % 3)
        return [made.model_copy(update={**common, "on_failure": OnFailure.FAIL})]

    return make


def _model(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
    # Two of three ask the same, for the cache.
    parameters: dict[str, Json] = {"prompt": name if extra % 3 == 0 else "the same", "max_tokens": 5}
    parameters |= {"cache": True} if extra in (1, 2) else {}
    parameters |= {"model": "sim/m", "fallback_models": ["sim/other"]} if extra == 4 else {"model": "sim/m"}
    retry = Retry(attempts=2, **QUICK)
    return [
        Step(
            id=name, kind=StepKind.MODEL, uses="generate", provider="sim", parameters=parameters, retry=retry, **common
        )
    ]


def _ask(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
    return [python_step(name, "ask", (None, 300.0, 20.0)[extra % 3], (None, None, "d")[extra % 3], **common)]


def _child(name: str, extra: int, common: dict[str, Any], children: dict[str, Plan]) -> Made:
    below = {}
    inner = [_text, _fail, _model, _ask][extra % 4]("c0", 0, {"after": ()}, below)
    if extra < 3:
        inner += _text("c1", 0, {"after": ("c0",)}, below)
    children[f"p{name}"] = Plan(id=f"p{name}", steps=tuple(inner))
    return [child_step(name, f"p{name}", **common)]


def _route(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
    takes = [["a"], ["b"], ["a", "b"], [], ["a"], ["b"]][extra]
    router = Step(
        id=name,
        kind=StepKind.TOOL,
        uses=ROUTER,
        parameters={"takes": takes},
        routes={"a": f"{name}a", "b": f"{name}b"},
        on_lost=OnLost.RETRY,
        **common,
    )
    return [
        router,
        python_step(f"{name}a", "builtins:str", "a", routed_from=(name,)),
        python_step(f"{name}b", "builtins:str", "b", routed_from=(name,)),
    ]


def _once(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
    """A tool of no catalogue, which nobody says may be done twice."""
    return [Step(id=name, kind=StepKind.TOOL, uses=DECLARED, **common)]


def _complete(name: str, extra: int, common: dict[str, Any], _: Any) -> Made:
    return [python_step(name, "complete", **common)]


MAKERS: dict[str, Callable[..., Made]] = {
    "text": _text,
    "fail": _fail,
    "flaky": _flaky,
    "map": _map,
    "while": _loop(LoopKind.WHILE),
    "until": _loop(LoopKind.UNTIL),
    "model": _model,
    "ask": _ask,
    "child": _child,
    "route": _route,
    "once": _once,
    "complete": _complete,
}
