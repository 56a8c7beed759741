"""From nodes and edges to the steps of a plan: which edges may die, who reads what, and what can never run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from orchestrator_client.contract import caps
from orchestrator_client.contract.plan import END, Channel, Json, Plan, Step, StepKind
from orchestrator_client.loader import declarations, edges, steps
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import NOWHERE, Problems, quoted
from orchestrator_client.loader.references import Scope
from orchestrator_client.loader.text import nodes

ROUTER_TOOL = "python.route"
"""Calls a function and takes the branches that it names. Only graphs use it, so the catalog does not list it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it was added: its name, the keys of its step, and the channel that it writes."""

    name: str
    step: dict[str, Json]
    writes: str | None = None


@dataclass(frozen=True, slots=True)
class Router:
    """A router: the step that asks its function, behind `source` (None: at the start), and where answers lead."""

    name: str
    source: str | None
    step: dict[str, Json]
    routes: dict[str, str]


@dataclass(slots=True)
class Edges:
    """Edges as they were added."""

    entries: list[str] = field(default_factory=list)
    plain: list[tuple[str, str]] = field(default_factory=list)
    joins: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    routers: list[Router] = field(default_factory=list)

    def all(self) -> Iterator[tuple[str, str]]:
        """Every edge between two nodes, routers included."""
        yield from self.plain
        yield from ((source, target) for sources, target in self.joins for source in sources)
        for router in self.routers:
            if router.source is not None:
                yield router.source, router.name
            yield from ((router.name, target) for target in dict.fromkeys(router.routes.values()) if target != END)


def compiled(
    added: list[Node], given: Edges, channels: Mapping[str, Channel], outputs: Mapping[str, Json], problems: Problems
) -> Plan:
    """The plan of a graph, as far as it could be made; what is wrong is added."""
    scope = Scope(
        steps={node.name: NOWHERE for node in added} | {router.name: NOWHERE for router in given.routers},
        inputs={"state", *channels},
        state=bool(channels),
    )
    _check_names(added, given, channels, problems)
    read = [step for node in added if (step := _step(node, scope, problems))]
    read += [step for router in given.routers if (step := _router_step(router, scope, problems))]
    outline = Plan(id="graph", steps=_with_edges(read, given))
    _check_shape(outline, given, problems)
    finished = Plan(
        id="graph",
        steps=_with_reads(outline, problems),
        outputs=declarations.checked_outputs(_outputs(outputs, problems), scope, problems),
    )
    _check_writes(finished, channels, problems)
    _refuse_parallel_writes(finished, channels, problems)
    return finished


def _outputs(outputs: Mapping[str, Json], problems: Problems) -> dict[str, nodes.Node]:
    """The outputs as nodes, so that the same checks serve files and graphs."""
    found = {}
    for name, value in outputs.items():
        try:
            found[name] = nodes.of(value, name)
        except ValueError as error:
            problems.error(Code.NOT_JSON, f"output {quoted(name)}: {error}")
    return found


def _check_names(added: list[Node], given: Edges, channels: Mapping[str, Channel], problems: Problems) -> None:
    """Names must be ids, unique, apart from the channels', and known where edges use them."""
    names = [node.name for node in added]
    known = {*names, *(router.name for router in given.routers)}
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        problems.error(Code.DUPLICATE_ID, f"node {quoted(name)} is added twice", remedy="give each a name of its own")
    for name in names:
        steps.check_id(name, NOWHERE, "step", problems)
        if name in channels:
            remedy = f"rename the node, for example {name}_node"
            problems.error(Code.RESERVED_ID, f"node {quoted(name)} has the name of a channel", remedy=remedy)
    mentioned = [*given.entries, *given.ends, *(end for edge in given.all() for end in edge)]
    for name in dict.fromkeys(name for name in mentioned if name not in known):
        remedy = problems.did_you_mean(name, known) or f"add it with add_node({name!r}, …)"
        problems.error(Code.UNKNOWN_STEP, f"an edge names {quoted(name)}, which is no node", remedy=remedy)


def _step(node: Node, scope: Scope, problems: Problems) -> Step | None:
    """The step of a node, without its edges."""
    try:
        written = nodes.of({key: value for key, value in node.step.items() if value is not None}, node.name)
    except ValueError as error:
        problems.within(node.name).error(Code.NOT_JSON, f"node {quoted(node.name)}: {error}")
        return None
    step = steps.read(written, scope, steps.Defaults(), problems)
    return step and step.model_copy(update={"after": (), "writes": node.writes})


def _router_step(router: Router, scope: Scope, problems: Problems) -> Step | None:
    """The step that calls a router's function."""
    step = _step(Node(router.name, router.step), scope, problems)
    return step and step.model_copy(update={"uses": ROUTER_TOOL, "routes": router.routes})


def _with_edges(read: list[Step], given: Edges) -> tuple[Step, ...]:
    """The steps with their edges.

    A single edge behind a router may never be taken, so it is a route, as is every other single edge into the same
    step: the step runs if one of them was. The edges of a join are orders: it needs all its sources.
    """
    known = {step.id for step in read}
    single: dict[str, list[str]] = {step.id: [] for step in read}
    joined: dict[str, list[str]] = {step.id: [] for step in read}
    routed: dict[str, list[str]] = {step.id: [] for step in read}
    for source, target in given.plain:
        single.get(target, []).append(source)
    for sources, target in given.joins:
        joined.get(target, []).extend(sources)
    for router in given.routers:
        joined.get(router.name, []).extend([router.source] if router.source else [])
        for target in dict.fromkeys(router.routes.values()):
            routed.get(target, []).append(router.name)
    may_die = _may_die(given)
    finished = []
    for step in read:
        after, routes = joined[step.id], routed[step.id]
        by_route = bool(routes) or any(source in may_die for source in single[step.id])
        (routes if by_route else after).extend(single[step.id])
        edges_in = {"after": _known(after, known), "routed_from": _known(routes, known)}
        finished.append(step.model_copy(update=edges_in))
    return tuple(finished)


def _known(names: list[str], known: set[str]) -> tuple[str, ...]:
    """Names of nodes, once each; unknown ones are reported where all names are checked."""
    return tuple(name for name in dict.fromkeys(names) if name in known)


def _may_die(given: Edges) -> set[str]:
    """Nodes that a router may leave out, and all behind them."""
    reached = [target for router in given.routers for target in router.routes.values()]
    return _reached_from(reached, given)


def _reached_from(starts: list[str], given: Edges) -> set[str]:
    """The nodes themselves, and all behind them."""
    behind: dict[str, list[str]] = {}
    for source, target in given.all():
        behind.setdefault(source, []).append(target)
    reached = set(starts)
    ahead = list(reached)
    while ahead:
        for target in behind.get(ahead.pop(), ()):
            if target not in reached:
                reached.add(target)
                ahead.append(target)
    return reached


def _check_shape(outline: Plan, given: Edges, problems: Problems) -> None:
    """A way in, a way to every node, and no way back."""
    starts = [*given.entries, *(router.name for router in given.routers if router.source is None)]
    if not starts:
        problems.error(Code.NO_ENTRY, "the graph has no way in", remedy="add_edge(START, …) or set_entry_point(…)")
    else:
        reached = _reached_from(starts, given)
        for step in outline.steps:
            if step.id not in reached and step.routes is None:
                message, remedy = f"nothing leads to node {quoted(step.id)}", "add an edge to it, or remove it"
                problems.within(step.id).error(Code.UNREACHABLE, message, remedy=remedy)
    for name in given.entries:
        if (entry := outline.step_by_id.get(name)) and (before := next(iter(entry.predecessors), None)):
            message = f"node {quoted(name)} follows both START and {quoted(before)}, but runs once"
            problems.within(name).error(Code.TWO_STARTS, message, remedy="remove one of the edges")
    for cycle in edges.cycles(outline):
        spelled = " → ".join([*cycle, cycle[0]])
        problems.error(Code.NOT_YET, f"cycles of edges come in a later release: {spelled}")


def _with_reads(outline: Plan, problems: Problems) -> tuple[Step, ...]:
    """Every step reads the state, so all the writers before it, and the steps that its templates name."""
    before = _Ancestors(outline)
    writers = before.mask(step.id for step in outline.steps if step.updates_state)
    finished: list[Step] = []
    total = 0
    for step in outline.steps:
        for name in before.missing(step.id, step.reads):
            message = f"node {quoted(step.id)} reads {quoted(name)}, which may not have run"
            problems.within(step.id).error(Code.NOT_UPSTREAM, message, remedy=f"add_edge({name!r}, {step.id!r})")
        read = before.of(step.id) & (writers | before.mask(step.reads))
        total += read.bit_count()
        if total > caps.EDGES:
            problems.error(Code.TOO_LARGE, f"the nodes read more than {caps.EDGES:,} others, all told")
            break
        finished.append(step.model_copy(update={"reads": before.named(read)}))
    return tuple(finished)


class _Ancestors:
    """All steps before each step, as bits in plan order: a chain of n steps has n² / 2 of them."""

    def __init__(self, plan: Plan) -> None:
        self._order = plan.order
        self._bit = {step: 1 << number for number, step in enumerate(plan.order)}
        self._before: dict[str, int] = {}
        for step in plan.order:
            self._before[step] = 0
            for predecessor in plan.step_by_id[step].predecessors:
                self._before[step] |= self._before[predecessor] | self._bit[predecessor]

    def of(self, step: str) -> int:
        """Steps before a step; none for a step in a cycle."""
        return self._before.get(step, 0)

    def mask(self, steps: Iterable[str]) -> int:
        """Steps as bits."""
        mask = 0
        for step in steps:
            mask |= self._bit.get(step, 0)
        return mask

    def missing(self, step: str, wanted: Iterable[str]) -> list[str]:
        """Those of the wanted steps that may not have ended when the step starts."""
        return [name for name in wanted if step in self._bit and not self.of(step) & self._bit.get(name, 0)]

    def named(self, mask: int) -> tuple[str, ...]:
        """The steps of a mask, in plan order."""
        return tuple(step for step in self._order if mask & self._bit[step]) if mask else ()

    def in_order(self, one: str, other: str) -> bool:
        """Whether `one` surely ends before `other` starts."""
        return bool(self.of(other) & self._bit[one])


def _check_writes(plan: Plan, channels: Mapping[str, Channel], problems: Problems) -> None:
    """Results must have a channel to go to."""
    for step in plan.steps:
        if step.writes is not None and step.writes not in channels:
            remedy = problems.did_you_mean(step.writes, channels) or f"channels: {', '.join(channels)}"
            message = f"node {quoted(step.id)} writes {quoted(step.writes)}, which is no channel of the state"
            problems.within(step.id).error(Code.UNKNOWN_CHANNEL, message, remedy=remedy)
        elif step.writes is None and step.kind is StepKind.MODEL:
            message = f"nothing keeps the answer of node {quoted(step.id)}"
            problems.within(step.id).error(Code.NO_CHANNEL, message, remedy="say writes=… with a channel of the state")


def _refuse_parallel_writes(plan: Plan, channels: Mapping[str, Channel], problems: Problems) -> None:
    """Two steps that surely both run, in no order, cannot both set a channel that keeps the last update."""
    before = _Ancestors(plan)
    unsure = before.mask(step.id for step in plan.steps if step.routed_from)
    writers: dict[str, list[str]] = {}
    for step in (plan.step_by_id[name] for name in plan.order):
        keeps_last = step.writes in channels and channels[step.writes].reducer == "last" if step.writes else False
        if step.writes and keeps_last and not step.routed_from and not before.of(step.id) & unsure:
            writers.setdefault(step.writes, []).append(step.id)
    for channel, found in writers.items():
        # In plan order, writers that all wait for each other are those whose neighbours do.
        for one, other in pairwise(found):
            if not before.in_order(one, other):
                message = f"nodes {quoted(one)} and {quoted(other)} both write {quoted(channel)}, in no order"
                remedy = 'declare a reducer, as in Annotated[list, "append"], or add an edge between them'
                problems.error(Code.PARALLEL_WRITES, message, remedy=remedy)
