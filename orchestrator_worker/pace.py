"""What a run is expected to take, from its plan and from what earlier runs of its pipeline took. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator_client.contract.plan import Plan, Step

UNKNOWN_MS = 1000.0
"""A step of a pipeline that has never run: all that counts is that its steps weigh the same."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a run is expected to take."""

    work_ms: float
    """Of all its steps, as if one ran after the other."""
    run_ms: float | None
    """From its start to its end; None where no run of the pipeline is known."""
    work: Mapping[str, float] = field(default_factory=dict)
    """The parts of it, as `progress.lua` keeps them."""


def expectation(plan: Plan, past: Mapping[str, float]) -> Expectation:
    """`past` is as `pace.lua` keeps it."""
    known = [past[path] for path, step in _leaves(plan.steps, "") if path in past and not step.on_call]
    other = sum(known) / len(known) if known else UNKNOWN_MS
    work = {"": other}
    total = _reckon(plan.steps, "", 1.0, past, work)
    return Expectation(total, past.get(""), work)


def _leaves(steps: Sequence[Step], prefix: str) -> Iterator[tuple[str, Step]]:
    for step in steps:
        if step.loop is None:
            yield f"{prefix}{step.id}", step
        else:
            yield from _leaves(step.loop.steps, f"{prefix}{step.id}.")


def _reckon(
    steps: Sequence[Step], prefix: str, scopes: float, past: Mapping[str, float], work: dict[str, float]
) -> float:
    """Milliseconds of one scope, of which a run has so many; its parts go into `work`."""
    total = 0.0
    for step in steps:
        path = f"{prefix}{step.id}"
        if step.loop is not None:
            total += _reckon_loop(step.loop.steps, path, past, work)
        elif step.on_call:
            # It runs only if another step fails.
            work[path] = 0.0
        elif path in past:
            # One that most runs skip weighs little.
            work[path] = past[path] * min(1.0, past.get(f"{path}#", 1.0) / scopes)
            total += work[path]
        else:
            total += work[""]
    return total


def _reckon_loop(body: Sequence[Step], path: str, past: Mapping[str, float], work: dict[str, float]) -> float:
    """Milliseconds of all scopes of one instance of a loop, which itself takes none."""
    instances = past.get(f"{path}#", 0.0)
    inner = max((past.get(f"{path}.{step.id}#", 0.0) for step in body), default=0.0)
    expected = inner / instances if instances and inner else 1.0
    work[path], work[f"{path}[]"] = 0.0, expected
    work[f"{path}*"] = _reckon(body, f"{path}.", max(inner, 1.0) if inner else 1.0, past, work)
    return work[f"{path}[]"] * work[f"{path}*"]
