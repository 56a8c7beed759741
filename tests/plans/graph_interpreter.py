"""Graphs run the plain way, one node after the other, from what docs/graphs.md says of them and nothing of the engine.

A level is the graph, or one pass of a cycle. Its parts are nodes, routers and cycles; they run in plan order, and each
sees the state at the start of its level and, on it, the updates of the parts before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestrator_client.contract.control import Send
from orchestrator_client.graph import END
from tests.plans import graph_functions as functions
from tests.plans.random_graphs import Drawn

Update = tuple[str, Any]


class TooLong(Exception):
    """A cycle passed its bound."""


@dataclass
class Ran:
    """How one part of a level ended."""

    alive: bool = True
    updates: list[Update] = field(default_factory=list)
    taken: list[tuple[int, list[Any]]] = field(default_factory=list)
    """Edges, by number, and what was sent along them."""


class Interpreter:
    """One run of one graph."""

    def __init__(self, drawn: Drawn, seed: int) -> None:
        self.drawn, self.receipts = drawn, dict[str, str]()
        self.routers = {f"{source}__route": (source, *rest) for source, rest in drawn.routers.items()}
        self.vertices = [*drawn.nodes, *self.routers]
        self.edges: list[tuple[tuple[str, ...], str, bool]] = []
        for name, (source, _, _) in self.routers.items():
            self.edges.append(((source,), name, True))
        self.edges += [(sources, target, True) for sources, target in drawn.joins]
        for name, (_, _, routes) in self.routers.items():
            self.edges += [((name,), target, False) for target in dict.fromkeys(routes.values()) if target != END]
        self.edges += [((source,), target, False) for source, target in drawn.edges]
        self.start = {**functions.EMPTY, "seed": seed}

    def run(self) -> dict[str, Any]:
        """The state at the end.

        Raises:
            TooLong: a cycle passed its bound.
        """
        ran = self._level(self.vertices, range(len(self.edges)), "n0", self.start, "")
        return folded(self.start, [update for part in ran.values() for update in part.updates])

    def _level(
        self, vertices: list[str], edges: Any, entry: str, state: dict[str, Any], prefix: str
    ) -> dict[tuple[str, ...], Ran]:
        """Run the parts of one level; `edges` are those within it that do not lead back to its entry."""
        parts = self._parts(vertices, edges)
        part_of = {vertex: part for part in parts for vertex in part}
        between = [e for e in edges if any(part_of[s] is not part_of[self.edges[e][1]] for s in self.edges[e][0])]
        ran: dict[tuple[str, ...], Ran] = {}
        before: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for part in self._in_order(parts, part_of, between):
            into = [e for e in between if part_of[self.edges[e][1]] is part]
            sources = {part_of[s] for e in into for s in self.edges[e][0]}
            before[part] = sources.union(*(before[source] for source in sources))
            seen = folded(state, [u for one, end in ran.items() if one in before[part] for u in end.updates])
            singles = [e for e in into if not self.edges[e][2]]
            alive = all(self._arrives(e, part_of, ran) for e in into if self.edges[e][2])
            alive = alive and (not singles or any(self._arrives(e, part_of, ran) for e in singles))
            ran[part] = self._run(part, edges, into, alive, seen, prefix, ran)
        return ran

    def _run(self, part: Any, edges: Any, into: Any, alive: bool, seen: Any, prefix: str, ran: Any) -> Ran:
        inner = [e for e in edges if self.edges[e][1] in part and set(self.edges[e][0]) <= set(part)]
        if inner:
            entries = {self.edges[e][1] for e in into} or {"n0"}
            return self._cycle(part, inner, entries.pop(), alive, seen, prefix)
        (name,) = part
        self.receipts[prefix + name] = "completed" if alive else "skipped"
        if not alive:
            return Ran(alive=False)
        if name == "w":
            return self._items(into, ran, seen, prefix)
        if name in self.routers:
            _, function, routes = self.routers[name]
            return Ran(taken=self._taken(name, routes, self._answer(function, seen)))
        return Ran(updates=list(functions.said(name, seen).items()))

    @staticmethod
    def _answer(function: str, seen: Any) -> list[Any]:
        return functions.choice(function, seen) if function[0] == "r" else functions.sends(function, seen)

    def _taken(self, name: str, routes: dict[str, str], answer: list[Any]) -> list[tuple[int, list[Any]]]:
        taken: dict[int, list[Any]] = {}
        for one in answer:
            target = one.node if isinstance(one, Send) else routes[one]
            if target != END:
                taken.setdefault(self.edges.index(((name,), target, False)), []).append(one)
        return list(taken.items())

    def _items(self, into: Any, ran: Any, seen: Any, prefix: str) -> Ran:
        """The node that is sent to: once for each send, in the order of the edges, and of the passes they come from."""
        sent = [(e, one) for part in ran.values() for e, sends in part.taken if e in into for one in sends]
        sources = list(dict.fromkeys(next(p for p in ran if set(self.edges[e][0]) <= set(p)) for e in into))
        of = {e: next(n for n, p in enumerate(sources) if set(self.edges[e][0]) <= set(p)) for e in into}
        updates: list[Update] = []
        for number, (_, one) in enumerate(sorted(sent, key=lambda pair: of[pair[0]])):
            self.receipts[f"{prefix}w[{number}].w"] = "completed"
            updates += functions.said("w", one.arg if isinstance(one, Send) else seen).items()
        return Ran(updates=updates)

    def _cycle(self, part: Any, inner: Any, entry: str, alive: bool, state: Any, prefix: str) -> Ran:
        name = f"{prefix}{entry}__cycle"
        self.receipts[name] = "completed" if alive else "skipped"
        if not alive:
            return Ran(alive=False)
        within = [e for e in inner if self.edges[e][1] != entry]
        whole = Ran()
        for number in range(self.drawn.max_iterations):
            ran = self._level(list(part), within, entry, state, f"{name}#{number}.")
            updates = [update for one in ran.values() for update in one.updates]
            whole.updates += updates
            state = folded(state, updates)
            part_of = {vertex: one for one in ran for vertex in one}
            left = [e for e in range(len(self.edges)) if e not in within and set(self.edges[e][0]) & set(part)]
            taken = [e for e in left if self._arrives(e, part_of, ran)]
            sent: dict[int, list[Any]] = {}
            for e, sends in (edge for one in ran.values() for edge in one.taken):
                sent.setdefault(e, []).extend(sends)  # a cycle within may have taken one edge in several passes
            whole.taken += [(e, sent.get(e, [])) for e in taken]
            if not any(self.edges[e][1] == entry for e in taken):
                return whole
        raise TooLong(name)

    def _arrives(self, edge: int, part_of: Any, ran: Any) -> bool:
        """Whether an edge is taken, as far as its sources are in this level."""
        for source in self.edges[edge][0]:
            if source not in part_of:
                continue
            part = ran[part_of[source]]
            chooses = len(part_of[source]) > 1 or source in self.routers or part.taken
            if not part.alive or (chooses and edge not in [taken for taken, _ in part.taken]):
                return False
        return True

    def _parts(self, vertices: list[str], edges: Any) -> list[tuple[str, ...]]:
        """Vertices that lead to each other, together."""
        reach = {vertex: {vertex} for vertex in vertices}
        arcs = [(source, self.edges[e][1]) for e in edges for source in self.edges[e][0]]
        for _ in vertices:
            for source, target in arcs:
                reach[source] |= reach[target]
        parts = [tuple(w for w in vertices if w in reach[v] and v in reach[w]) for v in vertices]
        return list(dict.fromkeys(parts))

    def _in_order(self, parts: Any, part_of: Any, between: Any) -> list[tuple[str, ...]]:
        """Each behind all that lead to it; those that could go together, as they come."""
        into = {part: {part_of[s] for e in between if part_of[self.edges[e][1]] is part for s in self.edges[e][0]}
                for part in parts}  # fmt: skip
        order = [part for part in parts if not into[part]]
        for number, part in enumerate(order):
            behind = [one for one in parts if part in into[one] and one not in order]
            order += [one for one in behind if into[one] <= {*order[: number + 1]}]
        return order


def folded(state: dict[str, Any], updates: list[Update]) -> dict[str, Any]:
    """The state with these updates, one after the other."""
    state = dict(state)
    for name, update in updates:
        match name:
            case "trace" | "count":
                state[name] = state[name] + update
            case "said":
                state[name] = [*state[name], update]
            case "by":
                state[name] = {**state[name], **update}
            case "last":
                state[name] = update
    return state
