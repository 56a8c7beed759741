"""What a graph is made of, as it was added."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from orchestrator_client.contract.plan import END, Json, Plan


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its name, the keys of its step, and the channel that it writes."""

    name: str
    step: dict[str, Json]
    writes: str | None = None
    graph: Callable[[], Plan] | None = None
    """Of a sub-graph: what gives its plan."""
    max_parallel: int = 1_000
    """Of a node that is sent to: how many run at a time."""


@dataclass(frozen=True, slots=True)
class Router:
    """A router: the step that asks its function, behind `source` (None: at the start), and where answers lead."""

    name: str
    source: str | None
    step: dict[str, Json]
    routes: dict[str, str]
    sends: tuple[str, ...] = ()
    """Targets to which it may return a `Send`."""
    may_send: bool = False
    """Its function speaks of `Send`, and does not say to which targets."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge; with several sources, a join on all of them."""

    sources: tuple[str, ...]
    target: str
    join: bool = False


@dataclass(slots=True)
class Edges:
    """Edges as they were added."""

    entries: list[str] = field(default_factory=list)
    plain: list[tuple[str, str]] = field(default_factory=list)
    joins: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    routers: list[Router] = field(default_factory=list)

    def all(self) -> Iterator[Edge]:
        """Every edge between two nodes, routers included."""
        for router in self.routers:
            if router.source is not None:
                yield Edge((router.source,), router.name, join=True)
        yield from (Edge(sources, target, join=True) for sources, target in self.joins)
        yield from (
            Edge((router.name,), target)
            for router in self.routers
            for target in dict.fromkeys(router.routes.values())
            if target != END
        )
        yield from (Edge((source,), target) for source, target in self.plain)

    def arcs(self) -> Iterator[tuple[str, str]]:
        """The same, each source by itself."""
        yield from ((source, edge.target) for edge in self.all() for source in edge.sources)

    def starts(self) -> list[str]:
        """Nodes and routers at which a run begins."""
        return [*self.entries, *(router.name for router in self.routers if router.source is None)]
