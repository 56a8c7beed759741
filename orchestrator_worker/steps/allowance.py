"""The tools that a plan and a run allow: asked before anything of a step is done."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.patterns import fits
from orchestrator_client.contract.plan import Plan, StepKind
from orchestrator_worker.records import OpenRun
from orchestrator_worker.steps.base import Call
from orchestrator_worker.steps.offers import registry_name


def check_allowed(run: OpenRun, plan: Plan, call: Call) -> None:
    """Refuse what one of both leaves out: the tool of a step, or one that a model is to be offered.

    Raises:
        ParametersInvalid: it is left out.
    """
    for who, patterns in (("plan", plan.allow_tools), ("run", run.allow_tools)):
        if patterns is None:
            continue
        for uses in _used_by(call):
            if not fits(uses, patterns):
                allowed = ", ".join(patterns) or "none"
                raise ParametersInvalid(f"tool '{uses}' is not one that the {who} allows; its allow_tools: {allowed}")


def _used_by(call: Call) -> Iterator[str]:
    if call.step.kind is StepKind.TOOL:
        yield call.step.uses
    offered = call.parameters.get("tools") if call.step.kind is StepKind.MODEL else None
    for written in offered if isinstance(offered, list) else ():
        if isinstance(written, str):
            yield registry_name(written)
