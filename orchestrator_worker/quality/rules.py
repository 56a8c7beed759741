"""Which check looks at a subject for which kind of rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.quality import Finding, Rule, RuleKind
from orchestrator_worker.quality.extent import check_length, check_size
from orchestrator_worker.quality.form import check_fields, check_format, check_schema
from orchestrator_worker.quality.subject import Subject, Unmet
from orchestrator_worker.quality.wording import check_boilerplate, check_forbids, check_requires, check_residue

CHECKS: Mapping[RuleKind, Callable[[Json, Subject], None]] = {
    RuleKind.SIZE: check_size,
    RuleKind.LENGTH: check_length,
    RuleKind.FORMAT: check_format,
    RuleKind.FIELDS: check_fields,
    RuleKind.SCHEMA: check_schema,
    RuleKind.REQUIRES: check_requires,
    RuleKind.FORBIDS: check_forbids,
    RuleKind.RESIDUE: check_residue,
    RuleKind.BOILERPLATE: check_boilerplate,
}
"""All kinds but the judge, who is asked."""


def checked(rule: Rule, subject: Subject) -> Finding:
    """What the rule finds."""
    words = ""
    try:
        CHECKS[rule.kind](rule.asks, subject)
    except Unmet as error:
        words = str(error)
    except RecursionError:
        words = "it is nested too deep to be checked"
    return unmet(rule, words) if words else _found(rule, True, "")


def unmet(rule: Rule, words: str) -> Finding:
    """A rule that is not met, or cannot be checked."""
    return _found(rule, False, words)


def _found(rule: Rule, met: bool, words: str) -> Finding:
    score = 1.0 if met else 0.0
    return Finding(rule=rule.label, kind=rule.kind, severity=rule.severity, met=met, score=score, message=words[:1000])
