"""From nodes and edges to the steps of a plan: which edges may die, what is a body of its own, what can never run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.plan import Channel, Json, Loop, LoopKind, Plan, Step, StepKind
from orchestrator_client.graph import writers
from orchestrator_client.graph.cycles import DEEPEST, Bound, Path, Search, followers
from orchestrator_client.graph.layout import Layout
from orchestrator_client.graph.parts import Edge, Edges, Node, Router
from orchestrator_client.loader import declarations, steps
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import NOWHERE, Problems, quoted
from orchestrator_client.loader.references import Scope
from orchestrator_client.loader.text import nodes

ROUTER_TOOL = "python.route"
"""Calls a function and takes the branches that it names. Only graphs use it, so the catalog does not list it."""


@dataclass(frozen=True, slots=True)
class Given:
    """A graph as it was added."""

    nodes: list[Node]
    edges: Edges
    channels: Mapping[str, Channel]
    bounds: Mapping[str, Bound]
    max_iterations: int

    @property
    def names(self) -> list[str]:
        """Of all its nodes and routers."""
        return [*(node.name for node in self.nodes), *(router.name for router in self.edges.routers)]


def compiled(given: Given, outputs: Mapping[str, Json], problems: Problems) -> Plan:
    """The plan of a graph, as far as it could be made; what is wrong is added."""
    scope = Scope(
        steps=dict.fromkeys(given.names, NOWHERE),
        inputs={"state", *given.channels},
        state=bool(given.channels),
    )
    _check_names(given, problems)
    _check_reached(given, problems)
    layout = _layout(given, problems)
    _check_cycle_names(given, layout, problems)
    outline = _Outline(given, layout, _read(given, scope, problems), problems)
    level = Plan(id="graph", steps=outline.steps(()))
    _check_starts(level, given.edges, problems)
    _check_depth(level.steps, problems)
    finished = Plan(
        id="graph",
        steps=writers.with_reads(level, problems),
        outputs=declarations.checked_outputs(_outputs(outputs, problems), scope, problems),
    )
    writers.check(finished, given.channels, problems)
    return finished


def _layout(given: Given, problems: Problems) -> Layout:
    known = set(given.names)
    edges = [edge for edge in given.edges.all() if {*edge.sources, edge.target} <= known]
    arcs = [(source, edge.target) for edge in edges for source in edge.sources]
    search = Search(set(given.edges.plain), given.bounds, given.max_iterations, problems)
    cycles = search.run(dict.fromkeys(given.names), arcs, given.edges.starts())
    return Layout.of(dict.fromkeys(given.names), edges, cycles, problems)


def _outputs(outputs: Mapping[str, Json], problems: Problems) -> dict[str, nodes.Node]:
    """The outputs as nodes, so that the same checks serve files and graphs."""
    found = {}
    for name, value in outputs.items():
        try:
            found[name] = nodes.of(value, name)
        except ValueError as error:
            problems.error(Code.NOT_JSON, f"output {quoted(name)}: {error}")
    return found


def _check_names(given: Given, problems: Problems) -> None:
    """Names must be ids, unique, apart from the channels', and known where edges use them."""
    names = [node.name for node in given.nodes]
    routers = {router.name for router in given.edges.routers}
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        problems.error(Code.DUPLICATE_ID, f"node {quoted(name)} is added twice", remedy="give each a name of its own")
    for name in names:
        steps.check_id(name, NOWHERE, "step", problems)
        if name in given.channels:
            remedy = f"rename the node, for example {name}_node"
            problems.error(Code.RESERVED_ID, f"node {quoted(name)} has the name of a channel", remedy=remedy)
    edges = given.edges
    mentioned = [*edges.entries, *edges.ends, *(end for arc in edges.arcs() for end in arc)]
    known = {*names, *routers}
    for name in dict.fromkeys(name for name in mentioned if name not in known):
        remedy = problems.did_you_mean(name, known) or f"add it with add_node({name!r}, …)"
        problems.error(Code.UNKNOWN_STEP, f"an edge names {quoted(name)}, which is no node", remedy=remedy)
    added = [*(source for source, _ in edges.plain), *(source for sources, _ in edges.joins for source in sources)]
    for name in dict.fromkeys(name for name in added if name in routers):
        message = f"an edge leads out of {quoted(name)}, which is a router"
        problems.error(Code.UNKNOWN_STEP, message, remedy="its path map says where it leads")


def _check_reached(given: Given, problems: Problems) -> None:
    """A way in, and a way to every node."""
    if not (starts := given.edges.starts()):
        problems.error(Code.NO_ENTRY, "the graph has no way in", remedy="add_edge(START, …) or set_entry_point(…)")
        return
    reached = _reached_from(starts, followers(given.edges.arcs()))
    for node in given.nodes:
        if node.name not in reached:
            message, remedy = f"nothing leads to node {quoted(node.name)}", "add an edge to it, or remove it"
            problems.within(node.name).error(Code.UNREACHABLE, message, remedy=remedy)


def _check_cycle_names(given: Given, layout: Layout, problems: Problems) -> None:
    taken = [*given.names, *given.channels, *layout.cycles.found]
    for cycle in layout.cycles.found.values():
        steps.check_id(cycle.id, NOWHERE, "step", problems)
        if taken.count(cycle.id) > 1:
            message = f"cycle {quoted(cycle.id)} has the name of something else"
            problems.error(Code.DUPLICATE_ID, message, remedy=f"set_cycle({cycle.entry!r}, name=…)")


def _check_starts(level: Plan, edges: Edges, problems: Problems) -> None:
    """A node behind START waits for nothing else."""
    for name in edges.entries:
        inside = (step for step in level.steps if step.loop is not None and step.loop.entry == name)
        entry = level.step_by_id.get(name) or next(inside, None)
        if entry and (before := next(iter(entry.predecessors), None)):
            message = f"node {quoted(name)} follows both START and {quoted(before)}, but runs once"
            problems.within(name).error(Code.TWO_STARTS, message, remedy="remove one of the edges")


def _check_depth(body: Iterable[Step], problems: Problems, around: int = 0) -> None:
    for step in body:
        if step.loop is not None and around == DEEPEST:
            message = f"cycles and sub-graphs nest deeper than {DEEPEST} levels at {quoted(step.id)}"
            problems.error(Code.TOO_DEEP, message, remedy="part the graph")
        elif step.loop is not None:
            _check_depth(step.loop.steps, problems, around + 1)


def _read(given: Given, scope: Scope, problems: Problems) -> dict[str, Step]:
    """The steps of nodes and routers, without their edges; of two with one name, the first."""
    read: dict[str, Step] = {}
    for node in given.nodes:
        if step := _sub_graph(node, given.channels, problems) if node.graph else _step(node, scope, problems):
            read.setdefault(node.name, step)
    for router in given.edges.routers:
        if step := _step(Node(router.name, router.step), scope, problems):
            read[router.name] = step.model_copy(update={"uses": ROUTER_TOOL})
    return read


def _step(node: Node, scope: Scope, problems: Problems) -> Step | None:
    """The step of a node, without its edges."""
    try:
        written = nodes.of({key: value for key, value in node.step.items() if value is not None}, node.name)
    except ValueError as error:
        problems.within(node.name).error(Code.NOT_JSON, f"node {quoted(node.name)}: {error}")
        return None
    step = steps.read(written, scope, steps.Defaults(), problems)
    return step and step.model_copy(update={"after": (), "writes": node.writes})


def _sub_graph(node: Node, channels: Mapping[str, Channel], problems: Problems) -> Step | None:
    """A control step whose body is another graph, which shares the channels of the same name."""
    problems = problems.within(node.name)
    plan = _plan_of(node, problems)
    if plan is None:
        return None
    if plan.channels is None:
        message = f"node {quoted(node.name)} is the plan of a file, which has no state"
        problems.error(Code.BAD_STATE, message, remedy="give it a StateGraph")
        return None
    if not plan.channels.keys() & channels.keys():
        message = f"sub-graph {quoted(node.name)} shares no channel with the graph around it"
        remedy = f"name one as outside: {', '.join(channels)}"
        problems.error(Code.NO_CHANNEL, message, remedy=remedy)
    refused = [key for key, value in node.step.items() if value is not None and key not in ("id", "condition")]
    if refused or node.writes:
        message = f"sub-graph {quoted(node.name)} takes a condition only, no {', '.join(refused or ['writes'])}"
        problems.error(Code.WRONG_VALUE, message, remedy="set it on the nodes within")
    loop = Loop(kind=LoopKind.GRAPH, steps=plan.steps, channels=dict(plan.channels), max_iterations=1)
    return _control(node.name, loop, condition=node.step.get("condition"))


def _plan_of(node: Node, problems: Problems) -> Plan | None:
    """The plan of a sub-graph; its mistakes are those of the graph around too."""
    try:
        return node.graph() if node.graph else None
    except PlanInvalid as invalid:
        for problem in invalid.problems:
            problems.error(
                Code(problem.code), f"in sub-graph {quoted(node.name)}: {problem.message}", remedy=problem.remedy
            )
        return None


def _control(name: str, loop: Loop, condition: Json = None) -> Step:
    return Step(id=name, kind=StepKind.CONTROL, uses=loop.kind, loop=loop, condition=condition)


def _reached_from(starts: Iterable[str], behind: Mapping[str, Collection[str]]) -> set[str]:
    """The nodes themselves, and all behind them."""
    reached = set(starts)
    ahead = list(reached)
    while ahead:
        for target in behind.get(ahead.pop(), ()):
            if target not in reached:
                reached.add(target)
                ahead.append(target)
    return reached


class _Outline:
    """The steps of a graph with their edges, body by body."""

    def __init__(self, given: Given, layout: Layout, read: Mapping[str, Step], problems: Problems) -> None:
        self._layout, self._read = layout, read
        self._routers = {router.name: router for router in given.edges.routers}
        self._nodes = {node.name: node for node in given.nodes}
        self._sent = set(_sent_to(given, layout, problems))

    def steps(self, path: Path) -> tuple[Step, ...]:
        """The steps of one body, with the bodies of its cycles.

        A single edge behind a router may never be taken, so it is a route, as is every other single edge into the same
        step: the step runs if one of them was. The edges of a join are orders: it needs all its sources.
        """
        level = self._layout.levels[path]
        edges: dict[str, list[Edge]] = {}
        for edge in level.edges:
            edges.setdefault(edge.target, []).append(edge)
        chooses = {*self._routers, *self._layout.cycles.found}
        chosen = [edge.target for edge in level.edges if chooses & set(edge.sources)]
        arcs = [(source, edge.target) for edge in level.edges for source in edge.sources]
        may_die = _reached_from(chosen, followers(arcs))
        return tuple(
            self._with_edges(step, edges.get(step.id, []), may_die | chooses)
            for name in level.steps
            if (step := self._step(name, path)) is not None
        )

    def _step(self, name: str, path: Path) -> Step | None:
        if name in self._layout.cycles.found:
            return self._cycle(name, (*path, name))
        step = self._read.get(name)
        if step is not None and (router := self._routers.get(name)):
            routes = {label: self._layout.target_of(name, target) for label, target in router.routes.items()}
            sends = tuple(dict.fromkeys(target for target in routes.values() if target in self._sent))
            return step.model_copy(update={"routes": routes, "sends": sends})
        if step is not None and name in self._sent:
            most = self._nodes[name].max_parallel
            return _control(name, Loop(kind=LoopKind.SENDS, steps=(step,), max_parallel=most))
        return step

    def _cycle(self, name: str, inner: Path) -> Step:
        cycle, ways = self._layout.cycles.found[name], tuple(self._layout.levels[inner].ways)
        body = self.steps(inner)
        most = cycle.max_iterations
        return _control(name, Loop(kind=LoopKind.GRAPH, steps=body, entry=cycle.entry, ways=ways, max_iterations=most))

    def _with_edges(self, step: Step, edges: list[Edge], may_die: Collection[str]) -> Step:
        single = [edge.sources[0] for edge in edges if not edge.join]
        joined = [source for edge in edges if edge.join for source in edge.sources]
        by_route = any(source in may_die for source in single)
        after, routes = ([], single) if by_route else (single, [])
        found = {"after": tuple(dict.fromkeys([*joined, *after])), "routed_from": tuple(dict.fromkeys(routes))}
        return step.model_copy(update=found)


def _sent_to(given: Given, layout: Layout, problems: Problems) -> Iterator[str]:
    """Nodes that routers may send to. Only routers lead to them, and no cycle begins there."""
    otherwise = {target for _, target in given.edges.plain} | {target for _, target in given.edges.joins}
    otherwise |= set(given.edges.entries)
    for router in given.edges.routers:
        targets = set(router.routes.values())
        for name in router.sends:
            if name not in targets:
                message = f"{_router(router)} has no route to {quoted(name)}, which it sends to"
                problems.error(Code.UNKNOWN_STEP, message, remedy="name it in the path map too")
            elif layout.begins(name):
                message = f"{_router(router)} sends to {quoted(name)}, where a cycle begins"
                problems.error(Code.CYCLE, message, remedy="make the cycle a sub-graph, and send to that")
            elif name in otherwise:
                message = f"{_router(router)} sends to {quoted(name)}, to which another edge leads too"
                problems.error(Code.WRONG_VALUE, message, remedy="let only routers lead to it")
            else:
                yield name
        if router.may_send:
            yield from (name for name in targets - otherwise if name in layout.cycles.paths and not layout.begins(name))


def _router(router: Router) -> str:
    return f"the router of {quoted(router.source or 'START')}"
