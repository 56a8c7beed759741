"""`allow_tools`: the tools that a plan allows itself, and the steps that use others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator_client.contract.patterns import fits
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.loader import policy, uses
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.text.nodes import Mapping


def read(root: Mapping, plan: Plan, problems: Problems) -> Plan:
    """The plan with the patterns of its file, which hold for the pipelines that it runs as well.

    Every step that uses something else is a problem.
    """
    node = root.get("allow_tools")
    if node is None:
        return plan
    patterns = policy.texts(node, "allow_tools", problems)
    children = plan.children
    below = (used for child in children.values() for used in _used_by(child.steps))
    for step, used in (*_used_by(plan.steps), *below):
        if not fits(used, patterns):
            at = Place(step.line, 1) if step.line else Place()
            remedy = "add it to allow_tools, or use another tool"
            problems.within(step.id).error(
                Code.NOT_ALLOWED, f"{quoted(used)} is not among the tools that the plan allows", at, remedy
            )
    unsaid = {name: child for name, child in children.items() if child.allow_tools is None}
    told = {name: child.model_copy(update={"allow_tools": patterns}) for name, child in unsaid.items()}
    return plan.model_copy(update={"allow_tools": patterns, "children": {**children, **told}})


def _used_by(steps: Iterable[Step]) -> Iterator[tuple[Step, str]]:
    """Every tool that a step uses or offers to its model, as far as the file says; the rest is refused at run time."""
    for step in steps:
        if step.kind is StepKind.TOOL:
            yield step, step.uses
        offered = step.parameters.get("tools") if step.kind is StepKind.MODEL else None
        for written in offered if isinstance(offered, list) else ():
            if isinstance(written, str) and (name := uses.tool_named(written)):
                yield step, name
        if step.loop is not None:
            yield from _used_by(step.loop.steps)
