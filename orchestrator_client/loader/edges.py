"""Checks the edges of a plan: few enough, and no step that waits for itself."""

from __future__ import annotations

from orchestrator_client.contract import caps
from orchestrator_client.contract.plan import Plan, Step
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems

_SHOWN = 12
"""Steps of a cycle that a message spells out."""

_AS_ONE = "write them as the steps of one loop, where each pass reads what the last one left"
"""What loops are told that wait for each other's passes."""


def check(plan: Plan, problems: Problems) -> None:
    """Add every cycle, in the bodies of loops too, and the excess over `caps.EDGES`."""
    if (edges := _count(plan.steps)) > caps.EDGES:
        problems.error(Code.TOO_LARGE, f"{edges:,} dependencies; {caps.EDGES:,} are allowed")
        return
    _check_cycles(plan, problems)


def _count(steps: tuple[Step, ...]) -> int:
    """Dependencies of the steps and of all within them."""
    return sum(len(step.after) + (_count(step.loop.steps) if step.loop else 0) for step in steps)


def _check_cycles(plan: Plan, problems: Problems) -> None:
    """Add the cycles of one level, then those of the bodies below it."""
    for step in plan.steps:
        if step.loop is not None:
            _check_cycles(Plan(id=step.id, steps=step.loop.steps), problems)
    for cycle in cycles(plan):
        first = plan.step_by_id[cycle[0]]
        at = Place(first.line, 1) if first.line else Place()
        message = f"steps run in a circle: {_spelled(cycle)}"
        are_loops = all(plan.step_by_id[name].loop for name in cycle)
        remedy = _AS_ONE if are_loops else "remove one of these dependencies, or the template that reads the step"
        problems.within(first.id).error(Code.CYCLE, message, at, remedy)


def cycles(plan: Plan) -> list[list[str]]:
    """Cycles that share no step, each from its first step in the file, in the order in which the steps would run."""
    in_order = set(plan.order)
    # Every step that is left has a predecessor that is left, so walking back must come round.
    seen, found = set(in_order), []
    for step in plan.steps:
        path: dict[str, None] = {}
        at = step.id
        while at not in seen:
            seen.add(at)
            path[at] = None
            at = next(p for p in plan.step_by_id[at].predecessors if p in plan.step_by_id and p not in in_order)
        if at in path:
            walked = list(path)
            found.append(_from_first(walked[walked.index(at) :][::-1], plan))
    return found


def _from_first(cycle: list[str], plan: Plan) -> list[str]:
    """The same cycle, turned so that it starts where the file first meets it."""
    members = set(cycle)
    start = cycle.index(next(step.id for step in plan.steps if step.id in members))
    return cycle[start:] + cycle[:start]


def _spelled(cycle: list[str]) -> str:
    """The cycle as a person draws it; a long one is cut in its middle."""
    shown = cycle if len(cycle) <= _SHOWN else [*cycle[: _SHOWN - 1], "…"]
    return " → ".join([*shown, cycle[0]])
