"""What an answer may be: coerced to what was asked, complete, and refused in words that say what would fit."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.inputs import InputType
from orchestrator_client.contract.question import (
    Answer,
    AnswerField,
    AskedQuestion,
    GivenAnswers,
    Question,
    QuestionKind,
)


def one(**field: Any) -> Question:
    return Question(kind=QuestionKind.INPUT, prompt="?", value=AnswerField(**field))


def form(**fields: AnswerField) -> Question:
    return Question(kind=QuestionKind.FEEDBACK, prompt="?", fields=fields)


def gate(*options: str, reason: str = "") -> Question:
    action = AnswerField(type=InputType.STRING, choices=options or ("approve", "reject"), required=True)
    comment = AnswerField(type=InputType.STRING, required_unless=reason)
    return Question(kind=QuestionKind.APPROVAL, prompt="?", fields={"action": action, "comment": comment})


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        ({"type": "integer"}, "3", 3),
        ({"type": "boolean"}, "yes", True),
        ({"type": "string"}, 3, "3"),
        ({"type": "string", "choices": ("a", "b")}, "b", "b"),
        ({"type": "integer", "minimum": 1, "maximum": 5}, 5, 5),
        ({"type": "string", "pattern": "[a-z]+-"}, "ab-1", "ab-1"),
        ({"type": "string"}, "<script>alert(1)</script>{{ x }}", "<script>alert(1)</script>{{ x }}"),
        ({}, {"any": ["thing"]}, {"any": ["thing"]}),
    ],
)
def test_a_value_is_coerced(field: dict[str, Any], given: Any, value: Any) -> None:
    assert one(**field).checked(given) == value


@pytest.mark.parametrize(
    ("field", "given", "words"),
    [
        ({"type": "integer"}, "three", "expected integer, found 'three'"),
        ({"type": "string", "choices": ("a", "b")}, "c", "'c' is none of 'a', 'b'"),
        ({"type": "integer", "minimum": 1}, 0, "0 is less than 1"),
        ({"type": "number", "maximum": 5}, 5.5, "5.5 is more than 5"),
        ({"type": "string", "pattern": "[a-z]+$"}, "A", "'A' does not match [a-z]+$"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(field: dict[str, Any], given: Any, words: str) -> None:
    with pytest.raises(InputsInvalid) as caught:
        one(**field).checked(given)
    assert caught.value.problems == [words]


RATED = form(
    stars=AnswerField(type=InputType.INTEGER, required=True, maximum=5),
    why=AnswerField(type=InputType.STRING, default="no reason"),
    more=AnswerField(type=InputType.STRING),
)


@pytest.mark.parametrize("given", [{"stars": "4"}, 4, '{"stars": 4}', {"stars": 4, "more": None}])
def test_a_form_is_complete_with_its_defaults(given: Any) -> None:
    assert RATED.checked(given) == {"stars": 4, "why": "no reason"}


def test_all_that_is_wrong_with_a_form_is_told() -> None:
    with pytest.raises(InputsInvalid) as caught:
        RATED.checked({"why": ["x"], "colour": "red"})
    assert caught.value.problems == [
        "no field 'colour'; it has stars, why, more",
        "'stars' (integer) is required",
        "'why': expected string, found ['x']",
    ]
    with pytest.raises(InputsInvalid, match="expected the fields of a form as JSON"):
        RATED.checked("{stars")


@pytest.mark.parametrize(
    ("question", "given", "action"),
    [
        (gate(), True, "approve"),
        (gate(), "no", "reject"),
        (gate(), {"approved": False}, "reject"),
        (gate(), "approve", "approve"),
        (gate("publish", "discard"), True, "publish"),
        (gate("publish", "discard"), "discard", "discard"),
        (gate("ok", "revise"), {"approved": "false"}, "revise"),
    ],
)
def test_an_approval_is_one_of_its_options(question: Question, given: Any, action: str) -> None:
    assert question.checked(given)["action"] == action


def test_an_approval_may_want_a_reason_to_reject() -> None:
    question = gate(reason="action")
    assert question.checked(question.decision(True)) == {"action": "approve"}
    with pytest.raises(InputsInvalid, match=r"'comment' \(string\) is required"):
        question.checked(question.decision(False))
    assert question.checked(question.decision(False, "late"))["comment"] == "late"


def test_what_cannot_be_decided_says_so() -> None:
    with pytest.raises(InputsInvalid, match="it asks for input, not for an approval"):
        one().decision(True)
    with pytest.raises(InputsInvalid, match="none of 'yes' means rejecting"):
        gate("yes").decision(False)


def test_an_answer_belongs_to_the_question_of_its_number() -> None:
    asked = '2 1000 5000 {"kind":"input","prompt":"?"}'
    mine = AskedQuestion.from_stored("r", "s", asked, '2 3000 {"value":1,"by":"ada"}')
    assert mine.answer == Answer(value=1, by="ada", at_ms=3000)
    assert (mine.asked_ms, mine.deadline_ms) == (1000, 5000)
    assert AskedQuestion.from_stored("r", "s", asked, '1 500 {"value":1}').answer is None
    assert [mine.expired(now) for now in (4999, 5000)] == [False, True]


@pytest.mark.parametrize(
    ("instance", "number", "found"),
    [("ask", 1, (True, 1)), ("each[2].ask", 1, (True, 3)), ("each[0].ask", 1, (True, 1)), ("ask", 2, (True, 2))],
)
def test_what_a_run_was_told_is_found_by_instance_then_by_step(instance: str, number: int, found: Any) -> None:
    told = GivenAnswers(values={"ask": 1, "ask#2": 2, "each[2].ask": 3})
    assert told.to(instance, number) == found
    assert told.to("other", number) == (False, None)
