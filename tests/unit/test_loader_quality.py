"""What results are held to, as files say it."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.quality import OnUnmet, RuleKind, Severity
from orchestrator_client.loader import loads

TERMINAL = "tool: terminal, parameters: {command: date}"


def file(quality: str, top: str = "[]") -> str:
    """Two steps, of which the first, on the third line, has this quality."""
    head = f"quality: {top}\n" if top != "[]" else "name: x\n"
    return f"{head}steps:\n- {{id: a, {TERMINAL}, quality: {quality}}}\n- {{id: b, {TERMINAL}}}\n"


def kinds(plan: Plan, step: str) -> list[str]:
    quality = plan.step_by_id[step].quality
    return [rule.kind.value for rule in quality.rules] if quality else []


def test_all_that_a_step_may_say() -> None:
    plan = loads(
        file(
            "{on_fail: retry, threshold: 0.5, rules: [residue, boilerplate, {length: {min: 3, unit: words}, name: long,"
            " severity: warning}, {size: {max: 2 MB}, file: 'out/{{ b.stdout }}'}, {forbids: ['{{', '/x+/']},"
            " {judge: {criteria: 'kind to {{ b.stdout }}?', model: gpt-5, at_least: 0.9}}, {schema: {type: object}}]}"
        )
    ).plan
    step = plan.step_by_id["a"]
    assert step.quality is not None
    assert (step.quality.on_fail, step.quality.threshold) == (OnUnmet.RETRY, 0.5)
    assert kinds(plan, "a") == ["residue", "boilerplate", "length", "size", "forbids", "judge", "schema"]
    length, size = step.quality.rules[2:4]
    assert (length.label, length.severity, length.asks) == ("long", Severity.WARNING, {"min": 3, "unit": "words"})
    assert (size.asks, size.file) == ({"max": 2_000_000}, "out/{{ b.stdout }}")
    assert [rule.kind for rule in step.quality.judges] == [RuleKind.JUDGE]
    assert step.after == ("b",)
    assert Plan.from_json(plan.to_json()) == plan


def test_the_files_rules_come_before_the_steps_and_it_may_go_without() -> None:
    plan = loads(file("{rules: [boilerplate], on_fail: warn}", "{rules: [residue], on_fail: retry}")).plan
    assert (kinds(plan, "a"), kinds(plan, "b")) == (["residue", "boilerplate"], ["residue"])
    a, b = plan.step_by_id["a"].quality, plan.step_by_id["b"].quality
    assert a is not None
    assert b is not None
    assert (a.on_fail, b.on_fail) == (OnUnmet.WARN, OnUnmet.RETRY)
    assert kinds(loads(file("false", "[residue]")).plan, "a") == []
    assert kinds(loads(file("[boilerplate]", "{rules: [residue], steps: [b]}")).plan, "a") == ["boilerplate"]


def test_steps_in_loops_are_held_to_it_and_loops_are_not() -> None:
    text = f"quality: [residue]\nsteps:\n- {{id: each, for_each: [1], steps: [{{id: b, {TERMINAL}}}]}}\n"
    loop = loads(text).plan.step_by_id["each"]
    assert loop.quality is None
    assert loop.loop is not None
    assert loop.loop.steps[0].quality is not None
    warned = loads(text.replace("for_each", "quality: [residue], for_each")).warnings
    assert [(one.code, one.line) for one in warned] == [("no-effect", 3)]


@pytest.mark.parametrize(
    ("quality", "code", "words"),
    [
        ("5", "wrong-type", "found the number 5; write quality: {rules:"),
        ("{on_fail: warn}", "wrong-type", "must have a list of rules"),
        ("[residu]", "wrong-value", "did you mean 'residue'?"),
        ("[{lenght: {min: 1}}]", "wrong-value", "did you mean 'length'?"),
        ("[{length: {min: 1}, size: {min: 1}}]", "wrong-value", "found 2 of them"),
        ("[{length: 5}]", "wrong-type", "length must be {min"),
        ("[{length: {min: 5, max: 3}}]", "out-of-range", "min 5 is more than max 3"),
        ("[{length: {min: x}}]", "wrong-type", "write a whole number"),
        ("[{length: {min: 1, unit: word}}]", "wrong-value", "did you mean 'words'?"),
        ("[{size: {max: 2 pounds}}]", "wrong-type", "a size such as 2 MB"),
        ("[{format: docx}]", "wrong-type", "one of json, yaml"),
        ("[{fields: []}]", "wrong-type", "a text or a list of texts"),
        ("[{forbids: '/(a+)+$/'}]", "wrong-value", "would never end"),
        ("[{requires: '/(/'}]", "wrong-value", "pattern '/(/'"),
        ("[{schema: x}]", "wrong-type", "a JSON Schema"),
        ("[{judge: {model: gpt-5}}]", "wrong-type", "what is to be judged"),
        ("[{judge: {criteria: x, at_least: 7}}]", "out-of-range", "0 to 1"),
        ("[{judge: '{{ steps.bb.x }}'}]", "unknown-step", "did you mean 'b'?"),
        ("[{residue: 3}]", "wrong-type", "residue must be true"),
        ("[{residue: true, severity: bad}]", "wrong-value", "info, warning, error, critical"),
        ("[{residue: true, file: '{{ 1 +'}]", "template", "does not parse"),
        ("{rules: [residue], on_fail: rety}", "wrong-value", "did you mean 'retry'?"),
        ("{rules: [residue], treshold: 1}", "unknown-key", "did you mean 'threshold'?"),
        ("{rules: [residue], threshold: 7}", "out-of-range", "0 to 1"),
    ],
)
def test_mistakes_have_their_line_and_a_remedy(quality: str, code: str, words: str) -> None:
    with pytest.raises(PlanInvalid) as caught:
        loads(file(quality))
    (problem,) = caught.value.problems
    assert (problem.code, problem.line, problem.step) == (code, 3, "a")
    assert words in problem.render("f")


@pytest.mark.parametrize(
    ("top", "code", "words"),
    [
        ("{rules: [residue], steps: [bb]}", "unknown-step", "did you mean 'b'?"),
        ("{rules: [{judge: 'like {{ b.stdout }}?'}]}", "wrong-value", "reads step 'b'; set the rule on a step"),
        ("text", "wrong-type", "must have a list of rules"),
    ],
)
def test_mistakes_at_the_top(top: str, code: str, words: str) -> None:
    with pytest.raises(PlanInvalid) as caught:
        loads(file("[residue]", top))
    (problem,) = caught.value.problems
    assert (problem.code, problem.line) == (code, 1)
    assert words in problem.render("f")
