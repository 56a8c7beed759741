"""Holds what a step left to its plan's rules, and says what the step wants then."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from orchestrator_client.contract.errors import OrchestratorError, QualityTooLow
from orchestrator_client.contract.plan import Json, Step, StepKind
from orchestrator_client.contract.quality import Assessment, Finding, OnUnmet, Quality, Rule, RuleKind, Severity
from orchestrator_client.contract.template import render
from orchestrator_client.contract.usage import NO_USAGE, Usage
from orchestrator_worker.context.inspection import Inspection
from orchestrator_worker.context.sight import Sight
from orchestrator_worker.quality import judge
from orchestrator_worker.quality.rules import checked, unmet
from orchestrator_worker.quality.subject import Subject
from orchestrator_worker.records import NOTHING_SENT
from orchestrator_worker.steps.base import Call, Fail, Output, Turn, Want
from orchestrator_worker.steps.conversation import Memo
from orchestrator_worker.tools import paths
from orchestrator_worker.tools.base import ToolContext

FILE_BYTES = 16 * 1024 * 1024
"""Most of a file that is looked at."""


@dataclass(frozen=True, slots=True)
class Inspector:
    """`context` says where the files of a call's run are; `masked` takes secrets out of what stands in them."""

    context: Callable[[Call], ToolContext]
    masked: Callable[[str], str]

    def want(self, sight: Sight, call: Call, output: Output, number: int) -> Want:
        """What the step wants, of whose attempt `number` this is the output."""
        quality = call.step.quality
        if quality is None:
            return output
        found, judged = dict[int, Finding](), dict[int, tuple[Subject, str]]()
        names = sight.names({call.step.id: output.value})
        for place, rule in enumerate(quality.rules):
            try:
                subject = self._subject(rule, names, call, output.value)
                if rule.kind is RuleKind.JUDGE:
                    judged[place] = subject, str(render(rule.asks["criteria"], names))
                else:
                    found[place] = checked(rule, subject)
            except (OrchestratorError, OSError) as error:
                # The result is there, and was paid for: what cannot be looked at is not good enough, and no more.
                found[place] = unmet(rule, f"it cannot be checked: {error}")
        if not judged or _is_grave(found.values()) or not _is_json(output.value):
            # What is not good enough without them, or cannot be kept, need not be judged, and paid for.
            return _concluded(call.step, quality, [*found.values()], output, call.instance, call.memo)
        asked = []
        for judge_number, (place, (subject, criteria)) in enumerate(judged.items(), 1):
            rule = quality.rules[place]
            asked.append(judge.asked(call.instance, judge_number, len(judged), number, rule, criteria, subject))
        kept = Inspection(_reason(sight), _Held(output, number, found).to_json()).asked(call.instance)
        return Turn(call.memo, (*asked, kept), output.report or NOTHING_SENT, "quality")

    def judged(self, sight: Sight, step: Step, held: Json, memo: Json) -> Want:
        """What a step wants whose judges have answered."""
        quality, waited = step.quality, _Held.of(held)
        if quality is None:
            raise AssertionError("a step that waits for judges is held to something")
        instance = sight.place.instance
        places = [place for place in range(len(quality.rules)) if place not in waited.found]
        names = {place: judge.name(instance, k, waited.number) for k, place in enumerate(places, 1)}
        left = sight.fetch(list(names.values()))
        said = {place: judge.finding(quality.rules[place], left.get(name)) for place, name in names.items()}
        findings = [{**waited.found, **said}[place] for place in range(len(quality.rules))]
        return _concluded(step, quality, findings, waited.output, instance, memo)

    def _subject(self, rule: Rule, names: Mapping[str, Any], call: Call, left: Json) -> Subject:
        """What the rule looks at.

        Raises:
            TemplateError, ParametersInvalid, ToolFailed, OSError: it is a file that cannot be named or read.
        """
        if not rule.file:
            return Subject.of_value(left)
        place = paths.locate(str(render(rule.file, names)), self.context(call))
        with paths.parent_of(place) as (folder, name):
            file = os.fdopen(paths.open_regular(folder, name, os.O_RDONLY, place.given), "rb")
        with file:
            text = file.read(FILE_BYTES).decode(errors="replace")
            return Subject(self.masked(text), None, os.fstat(file.fileno()).st_size)


@dataclass(frozen=True, slots=True)
class _Held:
    """A result that waits for its judges."""

    output: Output
    number: int
    """The attempt that made it."""
    found: Mapping[int, Finding]
    """What the other rules found, by their places."""

    def to_json(self) -> dict[str, Json]:
        output, usage = self.output, self.output.usage
        return {
            "number": self.number,
            "found": {str(place): one.model_dump(mode="json") for place, one in self.found.items()},
            "value": output.value,
            "usage": usage.model_dump(mode="json") if usage else None,
            "model": output.model,
            "selection": output.selection,
            "cached": output.cached,
            "warnings": list(output.warnings),
        }

    @classmethod
    def of(cls, stored: Any) -> Self:
        """From `to_json`."""
        output = Output(
            stored["value"],
            usage=Usage.model_validate(stored["usage"]) if stored["usage"] else None,
            model=stored["model"],
            selection=stored["selection"],
            cached=stored["cached"],
            warnings=tuple(stored["warnings"]),
            report=NOTHING_SENT,
        )
        found = {int(place): Finding.model_validate(one) for place, one in stored["found"].items()}
        return cls(output, stored["number"], found)


def _reason(sight: Sight) -> str:
    """Why the try before was sent back."""
    return Inspection.of(sight.scopes.get(Inspection.kept_at(sight.place.instance))).reason


def _is_json(value: Json) -> bool:
    """Whether the store would take it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _is_grave(findings: Iterable[Finding]) -> bool:
    return any(not one.met and one.severity in (Severity.ERROR, Severity.CRITICAL) for one in findings)


def _concluded(
    step: Step, quality: Quality, findings: list[Finding], output: Output, instance: str, memo: Json
) -> Want:
    """What follows from all that was found."""
    assessment = Assessment.of(quality, tuple(findings))
    unmet_rules = assessment.unmet
    noted = tuple(f"quality: {one.rule}: {one.message}" for one in unmet_rules if one.severity is not Severity.INFO)
    is_critical = any(one.severity is Severity.CRITICAL for one in unmet_rules)
    if assessment.met or (quality.on_fail is OnUnmet.WARN and not is_critical):
        return replace(output, quality=assessment, warnings=(*output.warnings, *noted))
    if step.kind is StepKind.MODEL:
        # The next try starts with what the tries so far have cost.
        memo = replace(Memo.of(memo), usage=output.usage or NO_USAGE).to_json()
    return Fail(
        QualityTooLow(f"not what the plan holds it to: {assessment.words}", quality.on_fail is OnUnmet.RETRY),
        value=output.value,
        usage=output.usage,
        model=output.model,
        report=output.report,
        memo=memo,
        keeps=(Inspection(assessment.words).asked(instance),),
        quality=assessment,
    )
