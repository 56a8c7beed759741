"""The cycles of a graph, and those within them: each has one entry, at which all edges into it arrive."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator_client.contract import caps
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted

DEEPEST = 8
"""Cycles and sub-graphs within one another."""

Arc = tuple[str, str]
Path = tuple[str, ...]
"""Ids of the cycles around a node, outermost first."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cycle, or several that share their entry."""

    id: str
    entry: str
    nodes: tuple[str, ...]
    max_iterations: int


@dataclass(frozen=True, slots=True)
class Bound:
    """What is said of the cycle that begins at a node."""

    name: str | None
    max_iterations: int | None


@dataclass(slots=True)
class Cycles:
    """All cycles of a graph, by id, and where each node stands in them."""

    found: dict[str, Cycle] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """What the search for cycles knows of its graph."""

    sure: Collection[Arc]
    """Edges that are taken whenever their source has run."""
    bounds: Mapping[str, Bound]
    """By entry."""
    max_iterations: int
    """Of cycles of which nothing else is said."""
    problems: Problems

    def run(self, nodes: Iterable[str], arcs: list[Arc], starts: Collection[str]) -> Cycles:
        """Find all cycles; what cannot be compiled of them is added to the problems."""
        cycles = Cycles()
        self._part(list(nodes), arcs, starts, (), cycles)
        entries = {cycle.entry for cycle in cycles.found.values()}
        for entry in self.bounds.keys() - entries:
            remedy = f"entries: {', '.join(sorted(entries))}" if entries else "the graph has no cycle"
            self.problems.error(Code.CYCLE, f"set_cycle: no cycle begins at {quoted(entry)}", remedy=remedy)
        return cycles

    def _part(self, nodes: list[str], arcs: list[Arc], starts: Collection[str], around: Path, cycles: Cycles) -> None:
        """Part the nodes of one level into those in cycles, whose own levels follow, and those in none."""
        if len(around) > DEEPEST:
            message = f"cycles nest deeper than {DEEPEST} levels: {' → '.join(around)}"
            self.problems.error(Code.TOO_DEEP, message, remedy="make a sub-graph of the inner ones, or part the graph")
            return
        parts = list(components(nodes, arcs))
        part_of = {node: number for number, part in enumerate(parts) for node in part}
        into: dict[int, list[Arc]] = {}
        for arc in arcs:
            into.setdefault(part_of[arc[1]], []).append(arc)
        for number, part in enumerate(parts):
            inner = [arc for arc in into.get(number, ()) if part_of[arc[0]] == number]
            if not inner:
                cycles.paths[part[0]] = around
                continue
            cycle = self._cycle(part, into[number], starts)
            cycles.found[cycle.id] = cycle
            self._refuse_endless(cycle, inner)
            onward = [arc for arc in inner if arc[1] != cycle.entry]
            self._part(part, onward, {cycle.entry}, (*around, cycle.id), cycles)

    def _cycle(self, component: list[str], arcs: list[Arc], starts: Collection[str]) -> Cycle:
        """The cycle, with its entry: the one node that edges from outside lead to."""
        members = set(component)
        entered = {target for source, target in arcs if source not in members} | (members & set(starts))
        entries = [node for node in component if node in entered] or component[:1]
        if len(entries) > 1:
            message = (
                f"the cycle of {_listed(component)} is entered at {_listed(entries)}, but a pass has one beginning"
            )
            remedy = "add a node in front through which all edges into the cycle lead, also those that lead back"
            self.problems.error(Code.CYCLE, message, remedy=remedy)
        entry = entries[0]
        bound = self.bounds.get(entry, Bound(None, None))
        most = self.max_iterations if bound.max_iterations is None else bound.max_iterations
        if not 1 <= most <= caps.PASSES:
            message = f"max_iterations of the cycle at {quoted(entry)} is {most}"
            self.problems.error(Code.OUT_OF_RANGE, message, remedy=f"give 1 to {caps.PASSES:,}")
        return Cycle(bound.name or f"{entry}__cycle", entry, tuple(component), most)

    def _refuse_endless(self, cycle: Cycle, arcs: list[Arc]) -> None:
        """A way round on which no router decides is taken again and again."""
        if way := _way(cycle.entry, [arc for arc in arcs if arc in self.sure]):
            message = f"the cycle {' → '.join(way)} never ends: no router decides on the way"
            self.problems.error(Code.CYCLE, message, remedy="lead back by add_conditional_edges, with a way out")


def _way(node: str, arcs: list[Arc]) -> list[str]:
    """The shortest way from a node back to itself; empty if there is none."""
    behind = followers(arcs)
    came_from: dict[str, str] = {}
    ahead = [node]
    for at in ahead:
        for target in behind.get(at, ()):
            if target not in came_from:
                came_from[target] = at
                ahead.append(target)
    if node not in came_from:
        return []
    way = [node]
    while len(way) == 1 or way[-1] != node:
        way.append(came_from[way[-1]])
    return way[::-1]


def components(nodes: list[str], arcs: list[Arc]) -> Iterator[list[str]]:
    """Sets of nodes each of which leads to all others of its set, in the order of their first nodes (Kosaraju)."""
    behind, before = followers(arcs), followers([(target, source) for source, target in arcs])
    ended: list[str] = []
    seen: set[str] = set()
    for node in nodes:
        ended += _walked(node, behind, seen)
    found: list[set[str]] = []
    seen = set()
    for node in reversed(ended):
        if reached := _walked(node, before, seen):
            found.append(set(reached))
    place = {node: number for number, node in enumerate(nodes)}
    yield from sorted((sorted(one, key=place.__getitem__) for one in found), key=lambda one: place[one[0]])


def _walked(node: str, behind: Mapping[str, list[str]], seen: set[str]) -> list[str]:
    """The nodes behind this one that nobody has seen, each behind all those that are behind it."""
    if node in seen:
        return []
    seen.add(node)
    ended: list[str] = []
    path = [(node, iter(behind.get(node, ())))]
    while path:
        at, ahead = path[-1]
        onward = next((target for target in ahead if target not in seen), None)
        if onward is None:
            ended.append(at)
            path.pop()
        else:
            seen.add(onward)
            path.append((onward, iter(behind.get(onward, ()))))
    return ended


def followers(arcs: Iterable[Arc]) -> dict[str, list[str]]:
    """Node -> the nodes behind it."""
    behind: dict[str, list[str]] = {}
    for source, target in arcs:
        behind.setdefault(source, []).append(target)
    return behind


def _listed(names: Iterable[str]) -> str:
    shown = [quoted(name) for name in names]
    return ", ".join(shown if len(shown) <= 12 else [*shown[:11], "…"])
