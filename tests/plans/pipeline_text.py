"""A plan written as a pipeline file, the way that a person would write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]

from orchestrator_client.contract.plan import Json, LoopKind, Plan, Step


def text_of(plan: Plan) -> str:
    """The file. Plans with jumps have none: what a jump skips follows from where its target stands."""
    inputs = {name: {"default": declared.default} for name, declared in plan.inputs.items()}
    # An id makes the plan's; unknown inputs are declared, because a file may name only what it declares.
    document = {
        "id": plan.id,
        "inputs": {**inputs, "folder": {"type": "string"}},
        "steps": [_step(step) for step in plan.steps],
        "outputs": dict(plan.outputs),
    }
    return str(yaml.safe_dump(document, sort_keys=False))


def _step(step: Step) -> Mapping[str, Json]:
    written: dict[str, Any] = {"id": step.id, "on_failure": str(step.on_failure)}
    if step.on_lost is not None:
        written["on_lost"] = str(step.on_lost)
    if step.after:
        written["dependencies"] = list(step.after)
    if step.condition is not None:
        written["condition"] = step.condition
    if step.retry.attempts is not None:
        written["max_retries"] = step.retry.attempts
    if step.handlers:
        written["on_error"] = {"fallback_value": step.handlers[0].fallback_value, "retry_with_handler": False}
    if (loop := step.loop) is None:
        return {**written, "tool": "python", "action": "call", "parameters": dict(step.parameters)}
    if loop.kind is LoopKind.MAP:
        written |= {"for_each": loop.items, "max_parallel": loop.max_parallel}
    else:
        written |= {str(loop.kind): loop.condition, "max_iterations": loop.max_iterations}
    return {**written, "steps": [_step(inner) for inner in loop.steps]}
