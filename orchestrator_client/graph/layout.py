"""Where every edge of a graph stands once its cycles are steps with bodies: in one body, or as a way out of some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from orchestrator_client.contract.plan import Way
from orchestrator_client.graph.cycles import Cycles, Path
from orchestrator_client.graph.parts import Edge
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted


@dataclass(slots=True)
class Level:
    """One body: its steps, with cycles in the place of their nodes, and the edges among them."""

    steps: dict[str, None] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    """Edges that lead out of it, or back to where it begins."""


@dataclass(frozen=True, slots=True)
class Layout:
    """All bodies of a graph, by the cycles around them; the graph's own by ()."""

    cycles: Cycles
    levels: dict[Path, Level]

    @classmethod
    def of(cls, nodes: Iterable[str], edges: Iterable[Edge], cycles: Cycles, problems: Problems) -> Layout:
        """The layout; an edge that cannot be laid out is added to the problems, or was when the cycles were found."""
        layout = cls(cycles, {(): Level()})
        for node in nodes:
            path = cycles.paths.get(node, ())
            for depth, cycle in enumerate(path):
                layout.levels[path[:depth]].steps[cycle] = None
                layout.levels.setdefault(path[: depth + 1], Level())
            layout.levels[path].steps[node] = None
        for edge in edges:
            layout._lay(edge, problems)
        layout._refuse_mixed_ways_out(problems)
        return layout

    def target_of(self, source: str, target: str) -> str:
        """What an edge leads to, in the body in which both its ends are: its target, or the cycle that begins there."""
        return self._landing((source,), target)[1]

    def begins(self, node: str) -> bool:
        """Whether a cycle begins at the node."""
        path = self.cycles.paths.get(node, ())
        return bool(path) and self.cycles.found[path[-1]].entry == node

    def _lay(self, edge: Edge, problems: Problems) -> None:
        within, target, back = self._landing(edge.sources, edge.target)
        paths = [self.cycles.paths[source] for source in edge.sources]
        if any(path[: len(within)] != within for path in paths):
            return
        if not back and target != edge.target and any(path[: len(within) + 1] == (*within, target) for path in paths):
            message = f"the join of {', '.join(map(quoted, edge.sources))} leads into a cycle that one of them is in"
            problems.error(Code.CYCLE, message, remedy=f"join what is within the cycle apart, before {edge.target}")
            return
        for level, sources in self._ways_out(edge, len(within) - back):
            self.levels[level].ways.append(Way(target=target, sources=sources))
        if not back:
            sources = tuple(dict.fromkeys(self._standing(source, within) for source in edge.sources))
            self.levels[within].edges.append(Edge(sources, target, edge.join))

    def _refuse_mixed_ways_out(self, problems: Problems) -> None:
        """A cycle says where it leads, not by which edge: so a join with it cannot be told from another edge."""
        led: dict[tuple[str, str], list[Edge]] = {}
        for edge in (edge for level in self.levels.values() for edge in level.edges):
            for source in edge.sources:
                if source in self.cycles.found:
                    led.setdefault((source, edge.target), []).append(edge)
        for (source, target), edges in led.items():
            if len(edges) > 1 and any(edge.join for edge in edges):
                entry = self.cycles.found[source].entry
                message = f"the cycle at {quoted(entry)} leads to {quoted(target)} by a join and by another edge"
                problems.error(Code.CYCLE, message, remedy="put a node between, so that each edge has its own target")

    def _landing(self, sources: tuple[str, ...], target: str) -> tuple[Path, str, bool]:
        """The body in which an edge ends, the step there that it leads to, and whether it leads back to the entry."""
        path = self.cycles.paths.get(target, ())
        if not self.begins(target):
            return path, target, False
        if all(self.cycles.paths.get(source, ())[: len(path)] == path for source in sources):
            return path, target, True
        return path[:-1], path[-1], False

    def _ways_out(self, edge: Edge, depth: int) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """The bodies deeper than `depth` that an edge leaves, and from which of their steps."""
        left: dict[Path, dict[str, None]] = {}
        for source in edge.sources:
            path = self.cycles.paths[source]
            for end in range(depth + 1, len(path) + 1):
                left.setdefault(path[:end], {})[self._standing(source, path[:end])] = None
        yield from ((level, tuple(steps)) for level, steps in left.items())

    def _standing(self, node: str, level: Path) -> str:
        """The step of a body that a node is, or is in."""
        path = self.cycles.paths[node]
        return path[len(level)] if len(path) > len(level) else node
