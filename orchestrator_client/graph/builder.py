"""Pipelines written in Python: a graph of nodes over a shared state.

A node is a function of the state, a call of a tool or a call of a model. Edges say what follows what, routers choose
among branches, and `compile` gives the same plan that a YAML file would. Functions run on the workers, so they are
passed by name: a worker must be able to import them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

from orchestrator_client.contract import caps
from orchestrator_client.contract.control import Send
from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.contract.plan import END, Channel, Json, Plan, Retry
from orchestrator_client.graph import state as states
from orchestrator_client.graph.cycles import Bound
from orchestrator_client.graph.flow import Given, compiled
from orchestrator_client.graph.parts import Edges, Node, Router
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted

START = "__start__"
"""Source of the edges that lead into a graph."""

_FUNCTION_TOOL = "python.call"
_STATE_TEMPLATE = "{{ state }}"


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """What a node does: the keys `tool`, `action`, `model` and `parameters` of a step, and the channel it writes."""

    step: dict[str, Json]
    writes: str | None = None


def tool(uses: str, /, writes: str | None = None, **parameters: Json) -> Call:
    """A call of a tool, such as `tool("filesystem.read", path="{{ folder }}/in.txt", writes="text")`.

    Templates in the parameters read the state's channels. `writes` names the channel that gets the result.
    """
    return Call({"tool": uses, "parameters": parameters}, writes)


def model(name: str | None = None, /, *, prompt: str = "", writes: str | None = None, **parameters: Json) -> Call:
    """A call of a model; without a name, of the workers' default. `writes` names the channel that gets the text."""
    asked = {"prompt": prompt} if prompt else {}
    return Call({"action": "generate", "model": name, "parameters": {**asked, **parameters}}, writes)


class StateGraph:
    """A graph under construction. Mistakes are collected, and raised together by `compile`."""

    def __init__(self, state: type | None = None, id: str = "graph", *, max_iterations: int = 25) -> None:
        """`state` is a TypedDict, dataclass or pydantic model of channels; `max_iterations` bounds every cycle."""
        self._state, self._id, self._max_iterations = state, id, max_iterations
        self._nodes: list[Node] = []
        self._bounds: dict[str, Bound] = {}
        self._compiling = False
        self._edges = Edges()
        self._problems = Problems(f"graph {id}")

    def add_node(
        self,
        name: str | Callable[..., Any],
        node: Callable[..., Any] | Call | StateGraph | Plan | None = None,
        *,
        condition: str | bool | None = None,
        timeout: float | timedelta | None = None,
        retry: int | Retry | None = None,
        on_failure: str | None = None,
        writes: str | None = None,
        max_parallel: int = 1_000,
    ) -> StateGraph:
        """Add a node: a function, what `tool` or `model` returned, or another graph.

        A function is called with the state and returns a mapping of channels to updates; with `writes`, it returns
        that channel's update alone. `timeout` is in seconds, `retry` the number of extra attempts, and `on_failure`
        one of fail, continue and skip. Of a node that routers send to, at most `max_parallel` run at a time.

        A graph as a node begins with the values of those of its channels that this graph has too, and the updates of
        those are its updates. It takes a `condition` and no other setting.
        """
        label = name if isinstance(name, str) else getattr(name, "__name__", "node")
        if not 1 <= max_parallel <= caps.ITEMS:
            message = f"max_parallel of node {quoted(label)} is {max_parallel}"
            self._problems.error(Code.OUT_OF_RANGE, message, remedy=f"give 1 to {caps.ITEMS:,}")
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        settings = {
            "condition": condition,
            "timeout": seconds,
            "retry": retry.model_dump(exclude_none=True) if isinstance(retry, Retry) else retry,
            "on_failure": on_failure,
        }
        if isinstance(node, StateGraph | Plan):
            plan = node.compile if isinstance(node, StateGraph) else partial(Plan.model_copy, node)
            added = Node(label, {**settings, "id": label}, writes, plan, max_parallel)
        else:
            call = self._call(label, name if node is None else node)
            step = {**call.step, **settings, "id": label}
            added = Node(label, step, writes or call.writes, max_parallel=max_parallel)
        self._nodes.append(added)
        return self

    def add_edge(self, source: str | Iterable[str], target: str) -> StateGraph:
        """Let `target` follow `source`. A list of sources is a join: the target waits for, and needs, all of them."""
        if not isinstance(source, str):
            self._edges.joins.append((tuple(source), target))
        elif source == START:
            self._edges.entries.append(target)
        elif target == END:
            self._edges.ends.append(source)
        else:
            self._edges.plain.append((source, target))
        return self

    def add_conditional_edges(
        self,
        source: str,
        router: Callable[..., Any],
        path_map: Mapping[Any, str] | list[str] | None = None,
        *,
        sends: Iterable[str] = (),
    ) -> StateGraph:
        """Let `router`, a function of the state, choose what follows `source`: one label of `path_map`, or a list.

        `path_map` maps labels to nodes or `END`; a list of nodes labels each by itself; without one, the router's
        return type must be a `Literal` of the nodes. A way back to a node that leads here makes a cycle.

        `sends` are the nodes that the router may return a `Send` to. They need no naming where the router's return
        type, or its own code, names `Send`.
        """
        label = f"router of {quoted(source)}"
        step = {"tool": _FUNCTION_TOOL, "parameters": self._function(label, router)}
        sends = tuple(sends)
        routes = _routes(path_map) or _annotated_routes(router) or _routes([*sends])
        if not routes:
            message = f"{label} may return anything"
            self._problems.error(Code.NO_PATH_MAP, message, remedy="give a path_map, or annotate it -> Literal[…]")
        origin = None if source == START else source
        taken = sum(other.source == origin for other in self._edges.routers)
        name = f"{origin or 'start'}__route{f'_{taken + 1}' if taken else ''}"
        may_send = not sends and _speaks_of_send(router)
        self._edges.routers.append(Router(name, origin, {**step, "id": name}, routes, sends, may_send))
        return self

    def set_cycle(self, entry: str, *, max_iterations: int | None = None, name: str | None = None) -> StateGraph:
        """Bound the cycle that begins at `entry`, and name it; else it is `<entry>__cycle`, bounded as the graph says.

        Each return to the entry is a new pass, whose steps go by `<name>#<pass>.<node>`. A run whose cycle would go
        round more often than `max_iterations` times fails.
        """
        self._bounds[entry] = Bound(name, max_iterations)
        return self

    def set_entry_point(self, name: str) -> StateGraph:
        """The same as an edge from START."""
        return self.add_edge(START, name)

    def set_finish_point(self, name: str) -> StateGraph:
        """The same as an edge to END. A node without followers ends its branch by itself."""
        return self.add_edge(name, END)

    def compile(self, outputs: Mapping[str, Json] | None = None) -> Plan:
        """The plan. Its outputs are the whole state, unless other templates are given.

        Raises:
            PlanInvalid: with every mistake that was made.
        """
        if self._compiling:
            raise PlanInvalid([Problem(Code.CYCLE, f"graph {quoted(self._id)} has itself as a node, in the end")])
        self._compiling = True
        try:
            return self._compiled(outputs or {"state": _STATE_TEMPLATE})
        finally:
            self._compiling = False

    def _compiled(self, outputs: Mapping[str, Json]) -> Plan:
        problems = self._problems.copy()
        channels = states.channels(self._state, problems)
        if self._state is None:
            written = dict.fromkeys(node.writes for node in self._nodes if node.writes)
            channels = {name: Channel() for name in written}
        given = Given(self._nodes, self._edges, channels, self._bounds, self._max_iterations)
        plan = compiled(given, outputs, problems)
        inputs = states.inputs(self._state, channels) if self._state is not None else {}
        problems.raise_if_any()
        return plan.model_copy(update={"id": self._id, "channels": channels, "inputs": inputs})

    def _call(self, name: str, node: str | Callable[..., Any] | Call) -> Call:
        """What a node does; a function becomes a call of itself with the state."""
        if isinstance(node, Call):
            return node
        return Call({"tool": _FUNCTION_TOOL, "parameters": self._function(f"node {quoted(name)}", node)})

    def _function(self, what: str, function: Any) -> dict[str, Json]:
        """Parameters of a call with the state; the reason why it cannot be made is added."""
        try:
            path = states.import_path(function)
        except states.NotImportableError as error:
            self._problems.error(Code.NOT_IMPORTABLE, f"{what}: {error}")
            path = "nowhere:nothing"
        return {"function": path, "args": [_STATE_TEMPLATE]}


def _routes(path_map: Mapping[Any, str] | list[str] | None) -> dict[str, str]:
    """Labels as the worker will compare them: as text."""
    if isinstance(path_map, Mapping):
        return {str(label): target for label, target in path_map.items()}
    return {target: target for target in path_map or ()}


def _annotated_routes(router: Any) -> dict[str, str]:
    """Routes of a router whose return type is a `Literal` of nodes."""
    try:
        returned = get_type_hints(router).get("return")
    except (NameError, TypeError, AttributeError):
        return {}
    return {str(name): str(name) for name in get_args(returned)} if get_origin(returned) is Literal else {}


def _speaks_of_send(router: Any) -> bool:
    """Whether a router's code or return type names `Send`, by whatever name its module imports it."""
    code, module = getattr(router, "__code__", None), getattr(router, "__globals__", {})
    if code is not None and any(module.get(name) is Send or name == Send.__name__ for name in code.co_names):
        return True
    return Send.__name__ in str(getattr(router, "__annotations__", {}).get("return", ""))
