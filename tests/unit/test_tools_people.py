"""The tools that ask a person: what they ask, and what they leave of the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.question import Answer, Question
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(run="r", instance="s", attempt=1, folder=tmp_path)


def asked(tool: str, context: ToolContext, **parameters: Any) -> Question:
    question = invoke(f"{tool}.execute", parameters, context)
    assert isinstance(question, Question)
    return question


def answered(tool: str, context: ToolContext, given: Any, **parameters: Any) -> dict[str, Any]:
    """What is left of an answer that was checked as a client checks it."""
    value = asked(tool, context, **parameters).checked(given)
    with_answer = replace(context, answers=(Answer(value=value, by="ada", at_ms=0),))
    result = invoke(f"{tool}.execute", parameters, with_answer)
    assert isinstance(result, ToolResult)
    left = result.value
    assert isinstance(left, dict)
    return left


RENDERED = '\n        ["by_category", "by_region"]\n        '


def test_choices_may_be_a_text_that_a_template_wrote(context: ToolContext) -> None:
    prompt = {"prompt": " Which?\n", "input_type": "choice", "choices": RENDERED, "default": "by_region\n"}
    question = asked("user-prompt", context, **prompt)
    assert question.value is not None
    assert (question.prompt, question.value.choices) == ("Which?", ("by_category", "by_region"))
    assert (question.default, question.has_default) == ("by_region", True)
    left = answered("user-prompt", context, "by_category", **prompt)
    assert (left["result"], left["value"]) == ("by_category", "by_category")
    assert (left["by"], left["used_default"]) == ("ada", False)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"input_type": "choice"}, "there are none; give choices"),
        ({"input_type": "integer", "default": "few"}, "the default does not fit: expected integer"),
        ({"input_type": "telepathy"}, "input_type"),
    ],
)
def test_a_question_that_cannot_be_asked(context: ToolContext, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ParametersInvalid, match=words):
        asked("user-prompt", context, prompt="?", **parameters)


def test_the_deadline_is_the_parameters_or_the_steps(context: ToolContext) -> None:
    limited = replace(context, timeout_seconds=20.0)
    assert asked("user-prompt", limited, prompt="?").timeout_seconds == 20
    assert asked("user-prompt", limited, prompt="?", timeout=5).timeout_seconds == 5
    assert asked("user-prompt", context, prompt="?", timeout=0).timeout_seconds is None


def test_an_approval(context: ToolContext) -> None:
    left = answered("approval-gate", context, True, title="Go?", content={"rows": 3})
    assert (left["result"], left["approved"], left["value"], left["action"]) == (True, True, True, "approve")
    assert (left["by"], left["timestamp"]) == ("ada", "1970-01-01T00:00:00+00:00")


def test_a_rejection_is_no_failure(context: ToolContext) -> None:
    given = {"approved": False, "comment": "late"}
    left = answered("approval-gate", context, given, content="x", allow_modifications=True, require_reason=True)
    assert (left["success"], left["approved"], left["rejection_reason"]) == (True, False, "late")


def test_a_changed_content_is_kept(context: ToolContext) -> None:
    given = {"action": "modify", "modified_content": "y"}
    parameters = {"content": "x", "options": ["approve", "modify", "reject"], "allow_modifications": True}
    left = answered("approval-gate", context, given, **parameters)
    assert (left["approved"], left["modified_content"]) == (True, "y")


def test_who_may_answer_and_what_counts_in_the_end(context: ToolContext) -> None:
    question = asked("approval-gate", context, title="Go?", approvers="ada, bob", default=False, require_reason=True)
    assert (question.answerers, question.default) == (("ada", "bob"), {"action": "reject"})
    with pytest.raises(ParametersInvalid, match="the default does not fit"):
        asked("approval-gate", context, title="Go?", default="perhaps")


QUESTIONS = [
    {"id": "quality", "text": "How good?", "type": "rating"},
    {"id": "ease", "text": "How easy?", "type": "rating", "scale": 10},
    {"id": "again", "text": "Again?", "type": "boolean"},
    {"id": "words", "text": "Anything else?", "type": "text"},
]


def test_a_form_and_its_summary(context: ToolContext) -> None:
    given = {"quality": "5", "ease": 8, "again": "yes"}
    parameters = {"questions": QUESTIONS, "required_questions": ["quality"], "save_to_file": "f/feedback.json"}
    for _ in range(2):
        left = answered("feedback-collection", context, given, **parameters)
    assert left["responses"] == {"quality": 5, "ease": 8, "again": True}
    assert (left["summary"]["rating_average"], left["completion_rate"]) == (6.5, 75)
    assert left["summary"]["boolean_summary"] == {"again": True}
    [line] = (context.folder / "f/feedback.json").read_text().splitlines()
    assert (json.loads(line)["responses"], json.loads(line)["by"]) == (left["responses"], "ada")


def test_an_anonymous_form_does_not_tell_who_answered(context: ToolContext) -> None:
    assert answered("feedback-collection", context, {}, questions=QUESTIONS, anonymous=True)["by"] is None
