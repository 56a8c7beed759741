"""Plan to graph: what follows what, and how many arrivals make a step ready. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator_client.contract.plan import Plan, Step


@dataclass(frozen=True, slots=True)
class Successor:
    """One edge out of a step."""

    step: str
    need: int
    """Edges into the successor: it is ready when that many have arrived."""
    queue: str
    route: bool
    """A route is dead when it was not taken; an order edge is dead only behind a step whose failure skips."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A plan, and what the scheduler asks of it again and again."""

    plan: Plan
    steps: Mapping[str, Step]
    entries: tuple[tuple[str, str], ...]
    """Steps without predecessors, each with its queue."""
    successors: Mapping[str, tuple[Successor, ...]]


def compile_plan(plan: Plan) -> Graph:
    """The graph of a plan. Instances of steps outside any scope go by the step's id."""
    successors: dict[str, list[Successor]] = {step.id: [] for step in plan.steps}
    for step in plan.steps:
        need = len(step.after) + len(step.routed_from)
        for predecessor in step.after:
            successors[predecessor].append(Successor(step.id, need, step.queue, route=False))
        for predecessor in step.routed_from:
            successors[predecessor].append(Successor(step.id, need, step.queue, route=True))
    return Graph(
        plan=plan,
        steps=plan.step_by_id,
        entries=tuple((step.id, step.queue) for step in plan.steps if not step.after and not step.routed_from),
        successors={step: tuple(behind) for step, behind in successors.items()},
    )
