"""What can be submitted, and the plan that it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from orchestrator_client.contract.plan import Plan


class Compilable(Protocol):
    """A StateGraph, or anything else that becomes a plan."""

    def compile(self) -> Plan: ...


Pipeline = str | Path | Plan | Compilable
"""A path to a YAML file, a plan, or a graph."""


def plan_of(pipeline: Pipeline) -> Plan:
    """The plan of a pipeline.

    Raises:
        PlanInvalid: it cannot run; carries every problem that was found.
    """
    if isinstance(pipeline, Plan):
        return pipeline
    if isinstance(pipeline, str | Path):
        from orchestrator_client.loader import load

        return load(pipeline).plan
    return pipeline.compile()
