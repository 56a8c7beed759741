"""Says where a plan lets strangers' words meet private data and a way out, or decide what is done."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.project import RuleOfTwo, load_project
from orchestrator_client.loader import taint
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted

_ARROW = " → "


def check(plan: Plan, children: Mapping[str, Plan], problems: Problems) -> None:
    """Add what is doubtful in the steps of a plan; `children` are the plans that they run."""
    for doubt in taint.found(plan, children):
        within = problems.within(doubt.step.id)
        at = Place(doubt.step.line, 1) if doubt.step.line else Place()
        step = quoted(doubt.step.id)
        if isinstance(doubt, taint.Decision):
            message = f"untrusted content decides {doubt.what} of step {step}: {_ARROW.join(doubt.untrusted)}"
            remedy = "let the plan say it, or write accepts: [untrusted] on the step"
            within.warn(Code.UNTRUSTED_CONTENT, message, at, remedy)
        elif (rule := _rule()) is not RuleOfTwo.OFF:
            ways = f"{_ARROW.join(doubt.untrusted)}) and private data ({_ARROW.join(doubt.private)}"
            message = f"untrusted content ({ways}) meet in step {step}, which can send them out or cannot be undone"
            remedy = "let an approval-gate that shows them stand in its condition, or write accepts: [untrusted] on it"
            add = within.error if rule is RuleOfTwo.ENFORCE else within.warn
            add(Code.RULE_OF_TWO, message, at, remedy)


def _rule() -> RuleOfTwo:
    """What the configuration here says. One that cannot be read is reported by who submits."""
    try:
        return load_project().security.rule_of_two
    except ConfigInvalid:
        return RuleOfTwo.WARN
