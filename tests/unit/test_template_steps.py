"""What a template sees of a step."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import TemplateError, Unresolved
from orchestrator_client.contract.template import MISSING, StepView, evaluate, render

STEPS = {
    "draft": {"action": "generate_text", "result": " high \n", "model_used": "gpt-5", "success": True},
    "score": {"action": "generate_text", "result": "0.9", "model_used": "gpt-5", "success": True},
    "read": {"result": {"path": "a.txt", "content": "[1, 2]", "size": 5}, "success": True, "error": None},
    "ran": {"result": {"stdout": "out\n", "return_code": 0}, "success": True, "error": None},
    "memory": {"result": {"keys": ["k1"], "found": True}, "success": True, "error": None},
    "search": {"result": {"results": [{"title": "t"}], "total_results": 1}, "success": True, "error": None},
    "listed": {"result": ["x", "y"], "success": True, "error": None},
    "claims": {"claims": ["c"], "word_count": 7},
    "child": {"outputs": {"text": "t"}, "success": True},
    "skipped": {"status": "skipped", "reason": "condition", "success": False},
    "failed": {"status": "failed", "success": False, "error": "boom"},
    "half": {"status": "failed", "success": False, "error": "exit 1", "result": {"stdout": "partly"}},
}
SCOPE: dict[str, Any] = {step: StepView.of(value) for step, value in STEPS.items()}
SCOPE["steps"] = dict(SCOPE)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("draft", " high \n"),
        ("draft.result", " high \n"),
        ("draft.result.result", " high \n"),
        ("draft.value", " high \n"),
        ("draft.status", "completed"),
        ("draft.success", True),
        ("draft.error", None),
        ("draft == 'high'", True),
        ("draft != 'high'", False),
        ("draft in ['low', 'high']", True),
        ("'igh' in draft", True),
        ("draft | upper", " HIGH \n"),
        ("draft | length", 7),
        ("draft[1:3]", "hi"),
        ("draft.strip()", "high"),
        ("draft ~ '!'", " high \n!"),
        ("draft + '!'", " high \n!"),
        ("draft is string", True),
        ("score > 0.8 and score <= 0.9", True),
        ("score == 0.9", True),
        ("read", {"path": "a.txt", "content": "[1, 2]", "size": 5}),
        ("read.result.content", "[1, 2]"),
        ("read.size", 5),
        ("read.filepath", "a.txt"),
        ("read['path']", "a.txt"),
        ("read | from_json", [1, 2]),
        ("read | string", "[1, 2]"),
        ("read | tojson", '{"path": "a.txt", "content": "[1, 2]", "size": 5}'),
        ("'size' in read", True),
        ("read | length", 3),
        ("read | list", ["path", "content", "size"]),
        ("read.result.result.size", 5),
        ("ran ~ ''", "out\n"),
        ("ran.stdout", "out\n"),
        ("memory['keys']", ["k1"]),
        ("memory.keys", ["k1"]),
        ("memory.keys() | list", ["keys", "found"]),
        ("search.results[0].title", "t"),
        ("search.total_results", 1),
        ("listed | join", "x, y"),
        ("listed.results", ["x", "y"]),
        ("listed[1]", "y"),
        ("'x' in listed", True),
        ("claims.claims", ["c"]),
        ("claims.result.claims", ["c"]),
        ("'word_count' in claims", True),
        ("claims ~ ''", '{\n  "claims": [\n    "c"\n  ],\n  "word_count": 7\n}'),
        ("child.outputs.text", "t"),
        ("steps.draft.result", " high \n"),
        ("steps['read'].size", 5),
        ("[draft, {'r': listed}]", [" high \n", {"r": ["x", "y"]}]),
        ("[draft] | tojson", '[" high \\n"]'),
        ("skipped", ""),
        ("skipped ~ '.'", "."),
        ("skipped.status", "skipped"),
        ("'ran' if skipped else 'not'", "not"),
        ("skipped.result | default('n/a')", "n/a"),
        ("skipped.outputs.x.y | default('n/a')", "n/a"),
        ("skipped | default('n/a')", "n/a"),
        ("skipped is defined", False),
        ("failed.status", "failed"),
        ("failed.success", False),
        ("failed.error", "boom"),
        ("failed", None),
        ("half.status", "failed"),
        ("half.stdout", "partly"),
        ("half.result.stdout", "partly"),
    ],
)
def test_expression(expression: str, value: Any) -> None:
    rendered = render("{{ " + expression + " }}", SCOPE)
    assert (rendered, type(rendered)) == (value, type(value))


def test_text_of_steps_and_loops_over_them() -> None:
    assert render("{{ draft }}|{{ read }}|{{ ran }}|{{ skipped }}|{{ failed }}", SCOPE) == " high \n|[1, 2]|out\n||"
    assert render("{% for x in listed %}{{ x }}{% endfor %}", SCOPE) == "xy"
    assert render("{% for k in memory['keys'] %}- {{ k | upper }}\n{% endfor %}", SCOPE) == "- K1\n"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("skipped.result", "the step was skipped"),
        ("failed.result", "the step failed and left error, status, success"),
        ("draft.reslt", "did you mean 'result'?"),
        ("read.result.contnt", "did you mean 'content'?"),
    ],
)
def test_unresolved_field_says_what_there_is(expression: str, message: str) -> None:
    with pytest.raises(Unresolved, match="there is no") as raised:
        render("{{ " + expression + " }}", SCOPE)
    assert message in str(raised.value)


def test_an_operation_on_a_step_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(TemplateError, match="cannot be rendered"):
        render("{{ draft > 3 }}", SCOPE)


def test_a_step_without_a_value() -> None:
    view = StepView(MISSING, "cancelled")
    assert (view.json, view.text, bool(view), view.field("status")) == (None, "", False, "cancelled")
    assert view.field("result") is MISSING


def test_data_with_a_status_of_its_own_is_not_a_skipped_step() -> None:
    assert evaluate("{{ x and x.status == 'skipped' }}", {"x": StepView.of({"status": "skipped", "rows": 3})})
