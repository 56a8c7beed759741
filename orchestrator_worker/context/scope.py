"""What a template sees: the run's inputs, the steps before it, and the constants of the run."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from orchestrator_client.contract.bindings import bound_by_run
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.reading import namespaces_of
from orchestrator_client.contract.template import Fetch, references, render, view_of
from orchestrator_worker.records import OpenRun
from orchestrator_worker.settings import settings


def scope_of(
    run: OpenRun,
    plan: Plan,
    values: Mapping[str, Json],
    fetch: Fetch,
    bound: Mapping[str, Any] | None = None,
    variables: Mapping[str, Json] | None = None,
) -> dict[str, Any]:
    """The names that a step's templates may use. A step's id hides what is bound around it, and that an input.

    `values` are those of the steps it reads, by id; `fetch` reads what a loop left, when a template asks for it.
    `variables` were set since the run was submitted, and stand where inputs do.
    """
    inputs = {**run.inputs(), **(variables or {})}
    views = {step: view_of(_with(bound, step, value), fetch) for step, value in values.items()}
    environment = settings().environment
    constants = {**bound_by_run(run.run, plan.id, run.submitted_ms), "env": environment}
    spaces = namespaces_of(plan)
    named = render(spaces, {**constants, **inputs}) if spaces else {}
    if isinstance(of_file := named.get("env"), dict):
        constants["env"] = {**of_file, **environment}
    scope = {**named, **constants, **inputs, "parameters": inputs, "inputs": inputs}
    scope.setdefault("output_path", f"outputs/{plan.id}")
    return {**scope, **(bound or {}), **views, "steps": views}


def _with(bound: Mapping[str, Any] | None, step: str, value: Json) -> Json:
    """What a step left. With what a loop binds under the same name: a step that is a loop of itself reads both."""
    own = bound.get(step) if bound else None
    if not isinstance(own, dict) or own.get("loop_id") != step:
        return value
    return {**(value if isinstance(value, dict) else {"result": value}), **own}


def in_order_of_reference(outputs: Mapping[str, Json]) -> list[str]:
    """Names of outputs so that each stands behind those that it reads; in a circle, all as they were written."""
    reads: dict[str, list[str]] = {
        name: [str(r.field) for r in references(template) if r.name == "outputs" and r.field in outputs]
        for name, template in outputs.items()
    }
    try:
        return list(TopologicalSorter(reads).static_order())
    except CycleError:
        return list(outputs)
