"""Plan to graph: what follows what, and how many arrivals make a step ready. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator_client.contract.plan import Plan, Step
from orchestrator_client.contract.reading import names_read_by
from orchestrator_worker.context.auto import AutoTag, tags_of


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
    """The steps of a plan, or of one loop's body, and what the scheduler asks of them again and again."""

    plan: Plan
    steps: Mapping[str, Step]
    entries: tuple[tuple[str, str], ...]
    """Steps without predecessors, each with its queue."""
    successors: Mapping[str, tuple[Successor, ...]]
    exits: tuple[str, ...]
    """Steps without followers: a body has ended when all of them have."""
    bodies: Mapping[str, Graph]
    """The bodies of those steps that are loops."""
    tags: Mapping[str, tuple[AutoTag, ...]]
    """What steps leave to a model; without those that leave nothing."""
    order: tuple[Step, ...] = ()
    """Of a pipeline with a state: its steps, each behind its predecessors. Updates are folded in this order."""
    _names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def names(self, step: Step) -> tuple[str, ...]:
        """The names that a step's templates read; worked out when it is first asked for."""
        if (known := self._names.get(step.id)) is None:
            known = self._names[step.id] = names_read_by(step, self.plan)
        return known


def compile_plan(plan: Plan) -> Graph:
    """The graph of a plan, with those of its loops' bodies within."""
    return _compiled(plan, plan.steps)


def _compiled(plan: Plan, steps: Sequence[Step]) -> Graph:
    successors: dict[str, list[Successor]] = {step.id: [] for step in steps}
    for step in steps:
        need = len(step.after) + len(step.routed_from)
        for predecessor in step.after:
            successors[predecessor].append(Successor(step.id, need, step.queue, route=False))
        for predecessor in step.routed_from:
            successors[predecessor].append(Successor(step.id, need, step.queue, route=True))
    return Graph(
        plan=plan,
        steps={step.id: step for step in steps},
        entries=tuple((step.id, step.queue) for step in steps if not step.after and not step.routed_from),
        successors={step: tuple(behind) for step, behind in successors.items()},
        exits=tuple(step for step, behind in successors.items() if not behind),
        bodies={step.id: _compiled(plan, step.loop.steps) for step in steps if step.loop is not None},
        tags={step.id: tags for step in steps if (tags := tags_of(step))},
        order=_in_order(plan, steps) if plan.channels is not None else (),
    )


def _in_order(plan: Plan, steps: Sequence[Step]) -> tuple[Step, ...]:
    level = plan.model_copy(update={"steps": tuple(steps)})
    return tuple(level.step_by_id[name] for name in level.order)
