"""A plan before it runs: its steps by level, what they wait for, where they go. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from orchestrator_client.cli.show.text import one_line, plural
from orchestrator_client.contract.plan import END, Plan, Step, StepKind

NAMES_SHOWN = 8
"""Steps that are named in one list; the rest are counted."""


def lines(plan: Plan) -> Iterator[str]:
    """The outline for a person: totals, the critical path, the queues, then the steps by level.

    The critical path is the least number of steps that run one after the other, however many workers there are.
    """
    path = critical_path(plan)
    yield (
        f"{one_line(plan.id)}: {plural(len(plan.steps), 'step')} in {plural(len(plan.levels), 'level')};"
        f" critical path {plural(len(path), 'step')}: {_names(path, ' → ')}"
    )
    yield f"queues: {', '.join(f'{one_line(queue)} {count:,}' for queue, count in queues(plan).items())}"
    widest = max((len(one_line(step.id)) for step in plan.steps), default=0)
    for number, level in enumerate(plan.levels, 1):
        yield f"level {number}"
        yield from (_line(plan.step_by_id[step], widest) for step in level)


def as_dict(plan: Plan) -> dict[str, Any]:
    """The same for programs, with nothing left out."""
    level_of = {step: number for number, level in enumerate(plan.levels, 1) for step in level}
    return {
        "pipeline": plan.id,
        "hash": plan.hash,
        "inputs": {name: declared.model_dump(mode="json") for name, declared in plan.inputs.items()},
        "steps": [_step_dict(step, level_of.get(step.id)) for step in plan.steps],
        "levels": [list(level) for level in plan.levels],
        "critical_path": critical_path(plan),
        "queues": queues(plan),
        "outputs": list(plan.outputs),
    }


def queues(plan: Plan) -> dict[str, int]:
    """Queue -> how many steps go to it, the fullest first."""
    return dict(Counter(step.queue for step in plan.steps).most_common())


def critical_path(plan: Plan) -> list[str]:
    """One of the longest chains of steps each of which waits for the one before.

    A step on a level has a predecessor on the level above, or it would stand higher: walking up never gets stuck.
    """
    path: list[str] = []
    wanted: set[str] | None = None
    for level in reversed(plan.levels):
        step = next(step for step in level if wanted is None or step in wanted)
        path.append(step)
        wanted = set(plan.step_by_id[step].predecessors)
    return path[::-1]


def what(step: Step) -> str:
    """The tool that a step calls, or its model."""
    if step.kind is not StepKind.MODEL:
        return step.uses
    return f"{step.uses} with {step.model}" if step.model else f"{step.uses} with the worker's default model"


def _line(step: Step, widest: int) -> str:
    """One step: its id in a column of its own, what it calls, its queue, and what decides when and whether it runs."""
    parts = [f"  {one_line(step.id):<{widest}}", one_line(what(step), 60), f"[{one_line(step.queue)}]"]
    if step.after:
        parts.append(f"{'joins' if len(step.after) > 1 else 'after'} {_names(step.after, ', ')}")
    if step.routed_from:
        parts.append(f"if chosen by {_names(step.routed_from, ', ')}")
    if step.routes:
        parts.append(f"chooses {_names(['the end' if to == END else to for to in step.routes.values()], ' or ')}")
    if step.condition is not None:
        parts.append(f"if {one_line(str(step.condition), 60)}")
    return "  ".join(parts)


def _names(names: list[str] | tuple[str, ...], separator: str) -> str:
    """The first names of a list, and the number of the rest: a join of a thousand steps stays one line."""
    shown = [one_line(name) for name in names[:NAMES_SHOWN]]
    if len(names) > NAMES_SHOWN:
        shown.append(f"{len(names) - NAMES_SHOWN:,} more")
    return separator.join(shown)


def _step_dict(step: Step, level: int | None) -> dict[str, Any]:
    """One step for programs.

    `level` counts from 1 and is None for a step of a cycle, which has none. `timeout_seconds` is None where the plan
    leaves it open, and `line` 0 where the plan was not read from a file. Parameters are left out: they are in the
    file, and may be long.
    """
    return {
        "id": step.id,
        "level": level,
        "kind": str(step.kind),
        "uses": step.uses,
        "model": step.model,
        "queue": step.queue,
        "after": list(step.after),
        "routed_from": list(step.routed_from),
        "routes": step.routes,
        "condition": step.condition,
        "on_failure": str(step.on_failure),
        "timeout_seconds": step.timeout_seconds,
        "line": step.line,
    }
