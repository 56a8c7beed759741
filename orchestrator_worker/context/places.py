"""Where an instance stands: which step of which body, in which scopes, and whose values it can see. Pure.

An instance's name is its path: `draft`; `translate[2].validate`, of item 2 of a map; `refine#3.draft`, of pass 3 of a
loop (both count from 0); `ask#1.2`, the second tool that a model asked for in turn 1; and `fetch#10001.1`, what handles
its first failure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator_client.contract.bindings import bound_by
from orchestrator_client.contract.plan import Channel, Json, LoopKind, Step
from orchestrator_worker.compiler import Graph
from orchestrator_worker.context.auto import TURN

HANDLERS, MODEL_HANDLERS, JUDGES = 10_000, 20_000, 30_000
"""Turns from here on ask for what handles a failure, the first of a tool, the second of a model, or for a judge of a
result: a conversation has no so many."""

_PART = re.compile(r"([A-Za-z][\w-]*)(?:\[(\d+)\]|#(\d+))?")
_ASKED = re.compile(r"#(\d+)\.\d+$")


@dataclass(frozen=True, slots=True)
class Scope:
    """One item of a map, or one pass of a loop."""

    loop: Step
    name: str
    """`each[2]`, `refine#3`."""
    index: int

    @property
    def instance(self) -> str:
        """The loop's own."""
        return self.name.rpartition("[" if _is_map(self.loop) else "#")[0]

    def sibling(self, index: int) -> str:
        """The name of another item or pass of the same loop."""
        return scope_name(self.loop, self.instance, index)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one instance stands."""

    instance: str
    graph: Graph
    """The plan's, or that of the body it is in."""
    step: Step | None
    """None where a model asked for it: no plan has it."""
    scopes: tuple[Scope, ...] = ()
    """Those around it, outermost first."""
    outer: Place | None = None
    """The loop whose body it is in."""

    @property
    def prefix(self) -> str:
        """What stands before the names of its neighbours."""
        return f"{self.scopes[-1].name}." if self.scopes else ""

    @property
    def channels(self) -> Mapping[str, Channel] | None:
        """Of a graph: its state, or that of the sub-graph around."""
        inner = (scope.loop.loop.channels for scope in reversed(self.scopes) if scope.loop.loop)
        return next((channels for channels in inner if channels is not None), self.graph.plan.channels)

    @property
    def reads_once(self) -> bool:
        """Whether only its first attempt reads what other steps left: that of a loop whose memo has the rest."""
        return self.step is not None and self.step.loop is not None and not _in_passes(self.step)

    def memos(self) -> list[str]:
        """The memos of the scopes around it, and in a graph those with the state at their start, and at its own."""
        named = [scope.name for scope in self.scopes]
        if self.graph.plan.channels is not None:
            named += [state_memo(self.scopes[-1].instance)] if self.scopes else []
            named += [state_memo(self.instance)] if self.step is not None and _is_graph(self.step) else []
        return named

    def reads(self) -> dict[str, str]:
        """The steps whose values its templates name, each with the instance that it means here."""
        names = self.step.reads if self.step else ()
        return {name: instance for name in names if (instance := self.resolved(name)) is not None}

    def neighbor(self, name: str) -> Place | None:
        """The same place with another step in it, of this body or of one around it."""
        if name in self.graph.steps:
            return replace(self, step=self.graph.steps[name])
        return self.outer.neighbor(name) if self.outer else None

    def resolved(self, name: str) -> str | None:
        """The instance that a step's name means here: its own body's first, then those around it.

        Within a loop a step that comes later, or the step itself, means the pass before; None in the first one. In a
        graph steps read none that comes later.
        """
        if name not in self.graph.steps:
            return self.outer.resolved(name) if self.outer else None
        scope = self.scopes[-1] if self.scopes else None
        if scope is None or self.step is None or not _in_passes(scope.loop) or name in _before(self.graph, self.step):
            return f"{self.prefix}{name}"
        return f"{scope.sibling(scope.index - 1)}.{name}" if scope.index > 0 else None


def place_of(graph: Graph, instance: str) -> Place:
    """The place of an instance.

    Raises:
        KeyError: the graph has no such step.
    """
    # Most instances stand in no loop, and go by their step's own name.
    if (step := graph.steps.get(instance)) is not None:
        return Place(instance, graph, step)
    asked = _ASKED.search(instance)
    *around, leaf = (instance[: asked.start()] if asked else instance).split(".")
    place = Place(instance, graph, None)
    path = ""
    for part in around:
        found = _PART.fullmatch(part)
        if found is None:
            raise KeyError(instance)
        step, path = place.graph.steps[found[1]], f"{path}{part}"
        scope = Scope(step, path, int(found[2] or found[3]))
        outer = Place(path, place.graph, step, place.scopes, place.outer)
        place = Place(instance, place.graph.bodies[step.id], None, (*place.scopes, scope), outer)
        path += "."
    step_of_leaf = place.graph.steps[leaf]
    return Place(instance, place.graph, None if asked else step_of_leaf, place.scopes, place.outer)


def asks_model(instance: str) -> bool:
    """Whether an instance that no plan has calls a model, for a value, a failure or a judgement; else a tool."""
    found = _ASKED.search(instance)
    return found is not None and (int(found[1]) == TURN or int(found[1]) > MODEL_HANDLERS)


def state_memo(region: str) -> str:
    """Where the state is kept that the steps of a region of a graph start from."""
    return f"{region}#"


def scope_name(loop: Step, instance: str, index: int) -> str:
    """The name of one item or pass of a loop that goes by `instance`."""
    return f"{instance}[{index}]" if _is_map(loop) else f"{instance}#{index}"


def bindings(place: Place, memos: Mapping[str, Json]) -> dict[str, Any]:
    """What loops bind for the steps of their bodies; inner ones hide outer ones, which `loops.<name>` still gives."""
    bound: dict[str, Any] = {}
    loops: dict[str, Any] = {}
    for scope in place.scopes:
        own = bound_by(scope.loop, scope.index, memos.get(scope.name) or {})
        loops[scope.loop.loop.name or scope.loop.id if scope.loop.loop else scope.loop.id] = own
        loops[scope.loop.id] = own
        bound |= {**own, scope.loop.id: own}
    return {**bound, "loops": loops} if loops else {}


def pass_bindings(loop: Step, index: int) -> dict[str, Any]:
    """What the conditions of a loop see of the pass that they are about, also under the loop's own name."""
    own = bound_by(loop, index, {})
    return {**own, loop.id: own}


def _is_map(step: Step) -> bool:
    return step.loop is not None and step.loop.kind in (LoopKind.MAP, LoopKind.SENDS)


def _is_graph(step: Step) -> bool:
    return step.loop is not None and step.loop.kind is LoopKind.GRAPH


def _in_passes(step: Step) -> bool:
    return step.loop is not None and step.loop.kind in (LoopKind.WHILE, LoopKind.UNTIL)


def _before(graph: Graph, step: Step) -> set[str]:
    """All steps of the body that have ended when this one starts."""
    before: set[str] = set()
    waiting = list(step.after)
    while waiting:
        name = waiting.pop()
        if name not in before:
            before.add(name)
            waiting += graph.steps[name].after
    return before
