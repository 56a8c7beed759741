"""Maps and loops: a control step that starts its body, item by item or pass by pass, and ends with the last of them.

Each attempt decides what is to be started next, and leaves; it comes back when a scope of it has ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json, Loop, LoopKind, Step
from orchestrator_client.contract.template import evaluate, render
from orchestrator_worker.compiler import Graph
from orchestrator_worker.context.places import scope_name
from orchestrator_worker.records import Asked
from orchestrator_worker.steps.base import Expand, Output, Want


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a loop is: what its memo keeps."""

    started: int = 0
    """Scopes."""
    total: int | None = None
    """Map: items. None before they are known, and for loops."""
    at_a_time: int = 1
    most: int = 0
    """While and until: passes."""

    @classmethod
    def of(cls, memo: Json) -> Progress:
        return cls(**memo) if memo else cls()

    def memo(self, started: int) -> dict[str, Json]:
        return {"started": started, "total": self.total, "at_a_time": self.at_a_time, "most": self.most}


@dataclass(frozen=True, slots=True)
class LoopCall:
    """One attempt at a loop."""

    instance: str
    step: Step
    body: Graph
    memo: Json
    ended: int
    """Scopes that have ended so far."""
    failed: int
    """Instances within it that have failed for good."""
    scope: Callable[[int | None], Mapping[str, Any]]
    """What templates see: of the loop itself, or after the pass with that index."""
    rendered: Callable[[Json, Mapping[str, Any]], Any]
    """A value with its templates rendered, and what it leaves to a model answered."""


class LoopStep:
    """Performs maps and loops."""

    def perform(self, call: LoopCall) -> Want:
        """Start what may start; end once everything has.

        Raises:
            ParametersInvalid: there is nothing to run over, or too much of it.
            TemplateError: items, a condition or a number cannot be rendered.
        """
        loop = _loop(call)
        progress = Progress.of(call.memo)
        first = not call.memo
        if loop.kind is LoopKind.MAP:
            return self._map(call, loop, progress, first)
        return self._passes(call, loop, progress, first)

    def _map(self, call: LoopCall, loop: Loop, progress: Progress, first: bool) -> Want:
        items: list[Json] = []
        if first:
            scope = call.scope(None)
            items = items_of(call.rendered(loop.items, scope), call.step.id)
            progress = Progress(0, len(items), _number(loop.max_parallel, scope, "max_parallel", 10_000))
        total = progress.total or 0
        if call.ended >= total:
            return Output(_value(call, total, completed=True))
        until = min(total, call.ended + progress.at_a_time)
        memos = [
            Asked(scope_name(call.step, call.instance, index), "", {"item": item, "length": total})
            for index, item in enumerate(items)
        ]
        started = [entry for index in range(progress.started, until) for entry in _entries(call, index)]
        return Expand(
            progress.memo(max(until, progress.started)), (*memos, *started), call.ended, total, all_scopes=True
        )

    def _passes(self, call: LoopCall, loop: Loop, progress: Progress, first: bool) -> Want:
        if first:
            most = _number(loop.max_iterations, call.scope(None), "max_iterations", caps.PASSES)
            progress = Progress(most=most)
        if call.ended < progress.started:
            return Expand(progress.memo(progress.started), (), call.ended, progress.started, all_scopes=False)
        passes = progress.started
        scope = call.scope(passes - 1 if passes else None)
        holds = (passes > 0 or loop.kind is LoopKind.WHILE) and evaluate(loop.condition, scope)
        done = holds if loop.kind is LoopKind.UNTIL else not holds
        if done or passes >= progress.most:
            return Output(_value(call, passes, completed=done))
        return Expand(
            progress.memo(passes + 1), tuple(_entries(call, passes)), call.ended, passes + 1, all_scopes=False
        )


def items_of(given: Json, step: str) -> list[Json]:
    """What a map runs over: a list, a mapping, or JSON text of either; other text is split at commas or lines.

    Raises:
        ParametersInvalid: it is none of these, or has too many items.
    """
    if isinstance(given, str):
        given = _parsed(given)
    if isinstance(given, dict):
        found = next(
            (given[name] for name in ("results", "items", "result") if isinstance(given.get(name), list)), None
        )
        given = found if found is not None else [{"key": key, "value": value} for key, value in given.items()]
    if given is None:
        given = []
    if not isinstance(given, list):
        raise ParametersInvalid(f"step '{step}' runs over {type(given).__name__}; give it a list")
    if len(given) > caps.ITEMS:
        raise ParametersInvalid(f"step '{step}' runs over {len(given):,} items; at most {caps.ITEMS:,} are taken")
    return given


def _parsed(text: str) -> Json:
    try:
        parsed: Json = json.loads(text)
    except (ValueError, RecursionError):
        parts = text.split("\n") if "\n" in text.strip() else text.split(",")
        return [part.strip() for part in parts if part.strip()]
    return parsed if isinstance(parsed, list | dict) else [parsed]


def _number(given: Json, scope: Mapping[str, Any], name: str, most: int) -> int:
    value = render(given, scope)
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ParametersInvalid(f"{name} is {value!r}; give a whole number") from None
    if not 1 <= number <= most:
        raise ParametersInvalid(f"{name} is {number}; give 1 to {most:,}")
    return number


def _entries(call: LoopCall, index: int) -> list[Asked]:
    scope = scope_name(call.step, call.instance, index)
    return [Asked(f"{scope}.{step}", queue, None) for step, queue in call.body.entries]


def _loop(call: LoopCall) -> Loop:
    if call.step.loop is None:
        raise ParametersInvalid(f"step '{call.step.id}' has no body; give it steps")
    return call.step.loop


def _value(call: LoopCall, count: int, completed: bool) -> dict[str, Json]:
    """What the loop leaves. Its results are read where they lie, when somebody asks for them; see `LoopView`."""
    loop = _loop(call)
    ids = [step.id for step in loop.steps]
    last = next(step for step in reversed(ids) if step in call.body.exits)
    scopes = {
        "first": scope_name(call.step, call.instance, 0),
        "kind": loop.kind,
        "steps": ids,
        "last": last,
        "inline": loop.inline,
    }
    return {"success": call.failed == 0, "count": count, "completed": completed, "scopes": scopes}
