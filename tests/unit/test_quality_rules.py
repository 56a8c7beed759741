"""Each kind of rule on what it accepts and what it refuses, and the score of several."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from orchestrator_client.contract.quality import Assessment, Finding, OnUnmet, Quality, Rule, RuleKind, Severity
from orchestrator_worker.quality import judge
from orchestrator_worker.quality.rules import CHECKS, checked
from orchestrator_worker.quality.subject import Subject

ROWS = [{"name": "Ada", "born": {"year": 1815}}, {"name": "Alan", "born": {"year": 1912}}]
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}

MET: list[tuple[str, Any, Any]] = [
    ("size", {"max": 5}, "héll"),
    ("size", {"min": 5}, "héll"),
    ("length", {"min": 4, "max": 4}, "héll"),
    ("length", {"max": 2, "unit": "words"}, "two words"),
    ("length", {"min": 2, "unit": "lines"}, "a\nb\n"),
    ("length", {"min": 2, "unit": "items"}, ROWS),
    ("length", {"max": 3, "unit": "items"}, "[1, 2, 3]"),
    ("format", "json", '{"a": 1}'),
    ("format", "json", {"a": 1}),
    ("format", "yaml", "a: [1, 2]\n"),
    ("format", "csv", "a,b\n1,2\n"),
    ("format", "markdown", "# Title\n\ntext"),
    ("format", "html", "<p>text</p>"),
    ("format", "xml", "<a><b/></a>"),
    ("fields", ["name", "born.year"], ROWS),
    ("fields", ["0.name"], ROWS),
    ("fields", ["a"], '```json\n{"a": 0}\n```'),
    ("requires", ["Summary", r"/\d{4}/"], "A summary of 1815"),
    ("forbids", ["TODO", r"/lorem\s+ipsum/"], "all done"),
    ("residue", None, "a { b } and $100, f(x) = {x | x > 0}"),
    ("boilerplate", None, "The certainly surprising report says that models of AI work."),
    ("schema", SCHEMA, {"age": 36}),
    ("schema", SCHEMA, 'Here: ```json\n{"age": 36}\n```'),
]

UNMET: list[tuple[str, Any, Any, str]] = [
    ("size", {"max": 4}, "héll", "5 bytes, at most 4"),
    ("length", {"min": 1000}, "short", "5 characters, at least 1,000"),
    ("length", {"min": 3, "unit": "words"}, "two words", "2 words"),
    ("length", {"max": 1, "unit": "items"}, ROWS, "2 items, at most 1"),
    ("length", {"max": 1, "unit": "items"}, "7", "no items, it is a number"),
    ("length", {"max": 1, "unit": "items"}, "prose", "it is not JSON"),
    ("format", "json", "{'a': 1}", "it is not JSON"),
    ("format", "json", '```json\n{"a": 1}\n```', "it is not JSON"),
    ("format", "yaml", "a: [1", "it is not YAML"),
    ("format", "yaml", "a: &x [1]\nb: *x", "aliases"),
    ("format", "csv", "a,b\n1\n", "different numbers of fields"),
    ("format", "csv", "", "no rows"),
    ("format", "markdown", "plain text", "none of Markdown's marks"),
    ("format", "html", "plain text", "no HTML tag"),
    ("format", "xml", "<a>", "it is not XML"),
    ("format", "xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "which is not read"),
    ("fields", ["name", "died"], ROWS, "missing or empty: died"),
    ("fields", ["a"], {"a": ""}, "missing or empty: a"),
    ("requires", ["Summary", "Sources"], "a summary", "it does not have 'Sources'"),
    ("forbids", [r"/to-?do/", "x"], "a to-do", "it has 'to-do'"),
    ("residue", None, "Dear {{ name }},", "'{{ name }}', which was not rendered"),
    ("residue", None, "{% if x %}", "which was not rendered"),
    ("residue", None, "{{ x | default({}) }}", "'{{ x |'"),
    ("residue", None, "{{\n  name\n}}", "which was not rendered"),
    ("residue", None, "Hello ${user.name}", "${user.name}"),
    ("residue", None, "[INSERT DATE]", "[INSERT DATE]"),
    ("residue", None, "<AUTO>pick</AUTO>", "<AUTO"),
    ("boilerplate", None, "As an AI language model, I think", "As an AI language model"),
    ("boilerplate", None, "Certainly! Here is the text", "Certainly!"),
    ("boilerplate", None, "Text.\n\nI hope this helps", "I hope this helps"),
    ("boilerplate", None, "Here is your report:\n\n# Report", "Here is your report:"),
    ("schema", SCHEMA, {"age": "old"}, "age"),
    ("schema", SCHEMA, "prose", "it is not JSON"),
    ("schema", {"type": "no-type"}, {}, "no JSON Schema"),
]


def found(kind: str, asks: Any, left: Any) -> Finding:
    return checked(Rule(kind=RuleKind(kind), asks=asks), Subject.of_value({"result": left, "success": True}))


@pytest.mark.parametrize(("kind", "asks", "left"), MET)
def test_what_is_good_enough(kind: str, asks: Any, left: Any) -> None:
    assert found(kind, asks, left) == Finding(
        rule=kind, kind=RuleKind(kind), severity=Severity.ERROR, met=True, score=1.0
    )


@pytest.mark.parametrize(("kind", "asks", "left", "words"), UNMET)
def test_what_is_not(kind: str, asks: Any, left: Any, words: str) -> None:
    finding = found(kind, asks, left)
    assert (finding.met, finding.score) == (False, 0.0)
    assert words in finding.message


def test_every_kind_has_a_check_but_the_judge_who_is_asked() -> None:
    assert CHECKS.keys() | {RuleKind.JUDGE} == set(RuleKind)
    assert {kind for kind, *_ in MET} == {kind for kind, *_ in UNMET} == set(CHECKS)


def test_a_value_without_a_result_is_looked_at_as_it_is() -> None:
    rule = Rule(kind=RuleKind.FIELDS, asks=["path"])
    assert checked(rule, Subject.of_value({"path": "x", "success": True})).met


@pytest.mark.parametrize("kind", ["residue", "boilerplate", "format"])
@pytest.mark.parametrize("text", ["{", "[", "<a ", "{%", "<<A", "here is a", "[INSERT ", "${", "**", " \n"])
def test_large_texts_take_time_by_their_size_alone(kind: str, text: str) -> None:
    """In a few seconds of the processor at most, also on a slow one."""
    before = time.process_time()
    found(kind, "markdown", text * (1_000_000 // len(text)))
    assert time.process_time() - before < 30


class TestScore:
    @staticmethod
    def of(*rules: tuple[Severity, bool], threshold: float = 0.0) -> Assessment:
        findings = tuple(
            Finding(rule=f"r{place}", kind=RuleKind.SIZE, severity=severity, met=met, score=float(met), message="no")
            for place, (severity, met) in enumerate(rules)
        )
        return Assessment.of(Quality(rules=(), on_fail=OnUnmet.FAIL, threshold=threshold), findings)

    def test_is_weighted_by_severity(self) -> None:
        assessment = self.of((Severity.CRITICAL, True), (Severity.INFO, False), (Severity.WARNING, True))
        assert assessment.score == pytest.approx(10 / 11, abs=1e-4)
        assert assessment.met
        assert assessment.words == "r1: no"

    @pytest.mark.parametrize(("severity", "met"), [("info", True), ("warning", True), ("error", False)])
    def test_is_enough_unless_something_grave_is_unmet(self, severity: str, met: bool) -> None:
        assert self.of((Severity(severity), False), (Severity.CRITICAL, True)).met == met

    def test_must_reach_the_threshold(self) -> None:
        assert not self.of((Severity.WARNING, False), (Severity.WARNING, True), threshold=0.6).met

    def test_of_no_rules_is_full(self) -> None:
        assert self.of() == Assessment(score=1.0, met=True, findings=())


class TestJudge:
    RULE = Rule(kind=RuleKind.JUDGE, asks={"criteria": "Is it kind?", "at_least": 0.8})

    @pytest.mark.parametrize(
        ("left", "met", "score", "words"),
        [
            ({"success": True, "result": {"score": 0.9, "reason": "kind"}}, True, 0.9, "kind"),
            ({"success": True, "result": {"score": 0.7, "reason": "curt"}}, False, 0.7, "curt"),
            ({"success": True, "result": {"score": 7, "reason": "x"}}, True, 1.0, "x"),
            ({"success": True, "result": "prose"}, False, 0.0, "gave no score"),
            ({"success": False, "error": "away"}, False, 0.0, "gave no score: away"),
            (None, False, 0.0, "it left nothing"),
        ],
    )
    def test_what_its_answer_means(self, left: Any, met: bool, score: float, words: str) -> None:
        finding = judge.finding(self.RULE, left)
        assert (finding.met, finding.score) == (met, score)
        assert words in finding.message

    def test_is_asked_as_a_step_of_its_own(self) -> None:
        asked = judge.asked("draft", 1, 2, 3, self.RULE, "Is it kind?", Subject.of_value({"result": "Go away"}))
        assert (asked.instance, asked.queue) == ("draft#30003.1", "model.auto")
        assert (asked.memo["by"], asked.memo["turn"], asked.memo["of"]) == ("draft", 30_003, 2)
        assert "Go away" in asked.memo["arguments"]["prompt"]
        assert json.dumps(asked.memo)
