"""Graphs drawn at random: branches, joins, ways back by routers, and a node that routers send to."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from orchestrator_client.graph import END, START, StateGraph
from tests.plans import graph_functions as functions


@dataclass
class Drawn:
    """A graph, as far as it is drawn."""

    nodes: list[str] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)
    joins: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    routers: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    """Source -> name of its function, and its path map."""
    max_iterations: int = 3

    def graph(self) -> StateGraph:
        graph = StateGraph(functions.State, id="random", max_iterations=self.max_iterations)
        for name in self.nodes:
            graph.add_node(name, functions.NODES[name], max_parallel=2)
        graph.add_edge(START, "n0")
        for source, target in self.edges:
            graph.add_edge(source, target)
        for sources, target in self.joins:
            graph.add_edge(list(sources), target)
        for source, (function, routes) in self.routers.items():
            router = (functions.ROUTERS | functions.SENDERS)[function]
            sends = ["w"] if function in functions.SENDERS else []
            graph.add_conditional_edges(source, router, routes, sends=sends)
        return graph


@st.composite
def graphs(draw: st.DrawFn) -> Drawn:
    """At most seven nodes, each behind an earlier one, and `w` behind those that send to it."""
    drawn = Drawn(max_iterations=draw(st.sampled_from([2, 8, 8])))
    size = draw(st.integers(2, functions.MOST))
    drawn.nodes = [f"n{number}" for number in range(size)]
    wanted: dict[str, list[str]] = {}
    for number in range(1, size):
        name, before = f"n{number}", drawn.nodes[:number]
        kind = draw(st.sampled_from(["edge", "edge", "edges", "route", "route", "route", "join"]))
        sources = draw(st.lists(st.sampled_from(before), min_size=1, max_size=2, unique=True))
        if kind == "join" and len(sources) == 2:
            drawn.joins.append((tuple(sources), name))
        elif kind == "route":
            wanted.setdefault(sources[0], []).append(name)
        else:
            drawn.edges += [(source, name) for source in (sources if kind == "edges" else sources[:1])]
    _add_routers(draw, drawn, wanted)
    return drawn


def _add_routers(draw: st.DrawFn, drawn: Drawn, wanted: dict[str, list[str]]) -> None:
    """A router behind each node that needs one, and behind some others, which may lead back."""
    joined = {target for _, target in drawn.joins}
    for number, source in enumerate(tuple(drawn.nodes)):
        targets = wanted.get(source, [])[:3]
        drawn.edges += [(source, target) for target in wanted.get(source, [])[3:]]
        if not targets and draw(st.integers(0, 2)):
            continue
        back = [name for name in drawn.nodes[: number + 1] if name not in joined]
        while len(targets) < 3:
            targets.append(draw(st.sampled_from([END, END, draw(st.sampled_from(back))])) if back else END)
        sends = draw(st.integers(0, 3)) == 0
        routes = dict(zip("012", targets, strict=True)) | ({"w": "w"} if sends else {})
        drawn.routers[source] = (f"{'s' if sends else 'r'}{number}", routes)
        if sends and "w" not in drawn.nodes:
            drawn.nodes.append("w")
