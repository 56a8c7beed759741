"""What a step's result is held to: rules, what follows where they are not met, and what was found."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from orchestrator_client.contract.record import Json, Record

FEEDBACK = "quality_feedback"
"""Name by which a step's templates read what its last try was sent back for; empty in the first one."""


class RuleKind(StrEnum):
    """What a rule looks at. `asks` of a `Rule` has the form that is said here."""

    SIZE = "size"
    """Bytes: {min, max}."""
    LENGTH = "length"
    """{min, max, unit}: characters, words, lines or items."""
    FORMAT = "format"
    """A word: json, yaml, csv, markdown, html or xml."""
    FIELDS = "fields"
    """Names of what must be there and not be empty; dots lead into mappings and lists."""
    REQUIRES = "requires"
    """Texts that must appear, or patterns between slashes."""
    FORBIDS = "forbids"
    """Texts that must not appear, or patterns between slashes."""
    RESIDUE = "residue"
    """What a template or tag leaves that was not rendered; asks nothing."""
    BOILERPLATE = "boilerplate"
    """What chat models say about themselves or around their answer; asks nothing."""
    SCHEMA = "schema"
    """A JSON Schema."""
    JUDGE = "judge"
    """A model's opinion: {criteria, model, at_least}."""


class Severity(StrEnum):
    """What an unmet rule means."""

    INFO = "info"
    """It is noted."""
    WARNING = "warning"
    """It is noted, as a warning of the step."""
    ERROR = "error"
    """The step's `on_fail` follows."""
    CRITICAL = "critical"
    """The step fails, or is tried again; a warning is not enough."""


WEIGHTS = {Severity.INFO: 1, Severity.WARNING: 2, Severity.ERROR: 4, Severity.CRITICAL: 8}
"""How much a rule counts in the score."""


class OnUnmet(StrEnum):
    """What follows where a step's result is not what it is held to."""

    WARN = "warn"
    """The step succeeds with a warning."""
    FAIL = "fail"
    """The step fails."""
    RETRY = "retry"
    """It is tried again within its tries, told why; then it fails."""


class Rule(Record):
    """One thing that a result is held to."""

    kind: RuleKind
    asks: Json = None
    severity: Severity = Severity.ERROR
    name: str = ""
    file: str = ""
    """A file in the run's folder, as a template of its path; empty: what the step leaves."""

    @property
    def label(self) -> str:
        return self.name or self.kind.value


def pattern_of(word: str) -> str | None:
    """The pattern between slashes; None for a text that is meant as it stands."""
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] == "/" else None


class Quality(Record):
    """What a step is held to."""

    rules: tuple[Rule, ...]
    on_fail: OnUnmet = OnUnmet.FAIL
    threshold: float = 0.0
    """Score below which the step has not met it, whatever the severities."""

    @property
    def judges(self) -> tuple[Rule, ...]:
        """The rules that ask a model."""
        return tuple(rule for rule in self.rules if rule.kind is RuleKind.JUDGE)


class Finding(Record):
    """What one rule found."""

    rule: str
    kind: RuleKind
    severity: Severity
    met: bool
    score: float = Field(ge=0, le=1)
    """1 or 0; a judge's is what it gave."""
    message: str = ""
    """What is wrong; of a judge, its reason in any case."""


class Assessment(Record):
    """What was found of one result."""

    score: float = Field(ge=0, le=1)
    """Mean of the findings' scores, weighted by severity (1, 2, 4, 8)."""
    met: bool
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, quality: Quality, findings: tuple[Finding, ...]) -> Assessment:
        """The whole of what the rules found."""
        weight = sum(WEIGHTS[one.severity] for one in findings)
        score = sum(WEIGHTS[one.severity] * one.score for one in findings) / weight if weight else 1.0
        grave = any(not one.met and one.severity in (Severity.ERROR, Severity.CRITICAL) for one in findings)
        return cls(score=round(score, 4), met=not grave and score >= quality.threshold, findings=findings)

    @property
    def unmet(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if not one.met)

    @property
    def words(self) -> str:
        """What is wrong, for whoever tries again."""
        return "; ".join(f"{one.rule}: {one.message}" for one in self.unmet) or f"its score is only {self.score:g}"
