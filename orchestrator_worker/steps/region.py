"""Parts of a graph that run more than once or apart: cycles, sub-graphs, and nodes that routers send to.

Each is a control step with a body, as a loop is. The state at the start of a pass is kept in a memo, so that a step of
the body reads what its own pass left and nothing older. The region's own memo has the updates of the passes that have
ended, which are what it leaves: they reach the state of the graph around in plan order, like those of any node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import CycleTooLong, ParametersInvalid, ToolFailed
from orchestrator_client.contract.plan import Json, Loop, LoopKind, Step
from orchestrator_client.contract.template import references
from orchestrator_worker.compiler import Graph
from orchestrator_worker.context.channels import Channels, Update, applied, shortened, updates_of
from orchestrator_worker.context.places import scope_name, state_memo
from orchestrator_worker.context.ways import taken_ways
from orchestrator_worker.records import Asked
from orchestrator_worker.steps.base import Expand, Fail, Output, Route, Want

AT_ONCE = 1_000
"""Items of one node that are read together once all have ended."""


@dataclass(frozen=True, slots=True)
class RegionCall:
    """One attempt at a region."""

    instance: str
    step: Step
    loop: Loop
    body: Graph
    memo: Json
    ended: int
    """Passes or items that have ended so far."""
    failed: int
    """Instances within it that have failed for good."""
    channels: Channels
    """Of the graph around."""
    state: Callable[[], Json]
    """Of the graph around, as the region finds it."""
    begun: Mapping[str, Json]
    """The state at the start of the pass that has ended."""
    sent: Callable[[], list[Json]]
    """What was sent to the node."""
    values: Callable[[Sequence[int]], list[dict[str, Json]]]
    """What the steps of these passes or items left, by their ids."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a region is: what its memo keeps."""

    started: int = 0
    total: int = 0
    """Of a node that was sent to: how often."""
    updates: list[Update] = field(default_factory=list)
    """Of the passes that have ended, in order."""
    taken: list[str] = field(default_factory=list)
    """Ways out of the cycle that a pass has taken."""
    sends: dict[str, list[Json]] = field(default_factory=dict)
    """What passes sent along them."""

    def memo(self) -> dict[str, Json]:
        return {name: getattr(self, name) for name in self.__slots__}


class RegionStep:
    """Performs cycles, sub-graphs and nodes that were sent to."""

    def perform(self, call: RegionCall) -> Want:
        """Start what may start; end once everything has.

        Raises:
            ParametersInvalid: too much was sent, or to a sub-graph what is no state.
            ToolFailed: an update does not fit the state.
        """
        match call.loop.kind:
            case LoopKind.SENDS:
                return _items(call)
            case _:
                return _passes(call)


def _passes(call: RegionCall) -> Want:
    if call.memo is None:
        return _expand(call, Progress(1), [0], [_state(call, applied(_channels(call), _mapping(call), ()))])
    progress = Progress(**_fields(call.memo))
    if call.ended < progress.started:
        return _expand(call, progress, [])
    (values,) = call.values([progress.started - 1])
    channels = _channels(call)
    updates = list(updates_of(channels, call.body.order, values))
    ways = taken_ways(call.body, call.loop, values)
    again = call.loop.entry in ways.targets
    passed = Progress(
        progress.started + again,
        updates=shortened(channels, [*progress.updates, *updates]),
        taken=list(dict.fromkeys([*progress.taken, *(way for way in ways.targets if way != call.loop.entry)])),
        sends=_together(progress.sends, ways.sends),
    )
    if again and progress.started >= int(call.loop.max_iterations):
        return Fail(_too_long(call))
    if not again:
        return _ended(call, passed)
    return _expand(call, passed, [progress.started], [_state(call, applied(channels, call.begun, updates))])


def _ended(call: RegionCall, progress: Progress) -> Want:
    """The last pass has ended: a cycle chooses what follows it, a sub-graph is a node like any other."""
    left = _value(call, progress.started, progress.updates)
    if not call.loop.entry:
        return Output(left)
    return Route(tuple(progress.taken), progress.sends, left)


def _items(call: RegionCall) -> Want:
    memos: list[Asked] = []
    progress = Progress(**_fields(call.memo or {}))
    if call.memo is None:
        items = _sent(call)
        progress = Progress(total=len(items))
        told = ({"item": item, "length": len(items)} for item in items)
        memos = [Asked(_scope(call, index), "", item) for index, item in enumerate(told)]
        memos.append(_state(call, _mapping(call) if _look_at_state(call, items) else {}))
    if call.ended >= progress.total:
        return Output(_value(call, progress.total, _updates_of_items(call, progress.total)))
    until = max(progress.started, min(progress.total, call.ended + int(call.loop.max_parallel)))
    started = range(progress.started, until)
    return _expand(call, Progress(until, progress.total), started, memos)


def _sent(call: RegionCall) -> list[Json]:
    items = call.sent()
    if len(items) > caps.ITEMS:
        raise ParametersInvalid(
            f"node '{call.step.id}' was sent to {len(items):,} times; at most {caps.ITEMS:,} are taken"
        )
    return items


def _look_at_state(call: RegionCall, items: Sequence[Json]) -> bool:
    """Whether any item sees more than what it was sent. A large state that none looks at is not read for each."""
    (step,) = call.body.order
    named = {reference.name for reference in references([step.parameters, step.condition])}
    return not named <= {"state"} or any("input" not in item for item in items)


def _updates_of_items(call: RegionCall, total: int) -> list[Update]:
    """What all items left, in the order in which they were sent."""
    updates: list[Update] = []
    for first in range(0, total, AT_ONCE):
        for values in call.values(range(first, min(total, first + AT_ONCE))):
            updates += updates_of(call.channels, call.body.order, values)
    return shortened(call.channels, updates)


def _expand(call: RegionCall, progress: Progress, scopes: Sequence[int], memos: Sequence[Asked] = ()) -> Expand:
    """Start the entries of these passes or items."""
    started = [
        Asked(f"{_scope(call, index)}.{step}", queue, None) for index in scopes for step, queue in call.body.entries
    ]
    is_map = call.loop.kind is LoopKind.SENDS
    known = progress.total if is_map else progress.started
    return Expand(progress.memo(), (*memos, *started), call.ended, known, all_scopes=is_map)


def _channels(call: RegionCall) -> Channels:
    return call.channels if call.loop.channels is None else call.loop.channels


def _state(call: RegionCall, state: dict[str, Json]) -> Asked:
    """The state that the steps of a pass start from, where they read it."""
    return Asked(state_memo(call.instance), "", state)


def _mapping(call: RegionCall) -> dict[str, Json]:
    state = call.state()
    if not isinstance(state, dict):
        kind = type(state).__name__
        raise ParametersInvalid(f"sub-graph '{call.step.id}' was sent {kind}; send it a mapping of its channels")
    return state


def _value(call: RegionCall, count: int, updates: Sequence[Update]) -> dict[str, Json]:
    """What the region leaves; its steps' values are read where they lie, see `LoopView`."""
    scopes = {
        "first": _scope(call, 0),
        "kind": LoopKind.MAP if call.loop.kind is LoopKind.SENDS else LoopKind.WHILE,
        "steps": [step.id for step in call.loop.steps],
        "last": next(step.id for step in reversed(call.body.order) if step.id in call.body.exits),
        "inline": False,
    }
    told = shortened(call.channels, updates)
    return {"success": call.failed == 0, "count": count, "completed": True, "scopes": scopes, "updates": told}


def _too_long(call: RegionCall) -> CycleTooLong:
    nodes = " → ".join(step.id for step in call.body.order if step.routes is None)
    return CycleTooLong(
        f"cycle '{call.step.id}' ({nodes}) went round {call.loop.max_iterations} times and would go on; let a router"
        " lead out of it, or raise max_iterations"
    )


def _together(one: Mapping[str, list[Json]], other: Mapping[str, list[Json]]) -> dict[str, list[Json]]:
    return {target: [*one.get(target, ()), *other.get(target, ())] for target in [*one, *other]}


def _fields(memo: Json) -> dict[str, Any]:
    if not isinstance(memo, dict):
        raise ToolFailed("the memo of a region is no mapping: it was written by another release")
    return memo


def _scope(call: RegionCall, index: int) -> str:
    return scope_name(call.step, call.instance, index)
