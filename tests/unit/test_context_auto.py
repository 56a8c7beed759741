"""What becomes of a model's answer, which may be anything."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json, Step, StepKind
from orchestrator_worker.context.auto import AutoTag, answered, protected, tags_of


def tag_of(attributes: str = "", key: str = "text") -> AutoTag:
    (tag,) = tags_of(step(**{key: f"<AUTO {attributes}>what?</AUTO>"}))
    return tag


def step(condition: Json = None, **parameters: Json) -> Step:
    return Step(id="s", kind=StepKind.TOOL, uses="python.call", parameters=parameters, condition=condition)


@pytest.mark.parametrize(
    ("attributes", "key", "answer", "value"),
    [
        ("", "text", ' "a word" ', "a word"),
        ("", "text", "{{ 7 * 7 }}", "{{ 7 * 7 }}"),
        ('type="integer"', "text", "7", 7),
        ("type=int", "text", "about 1,200 of them", 1200),
        ("", "max_tokens", "`300`", 300),
        ("", "temperature", "0.7.", 0.7),
        ("type=number min=0 max=1", "text", "5", 1),
        ("type=integer min=3", "text", "-5", 3),
        ("type=boolean", "text", "true", True),
        ("type=bool", "text", "No", False),
        ("type=list", "text", '["a", "b"]', ["a", "b"]),
        ("type=list", "text", '```json\n["a"]\n```', ["a"]),
        ("type=array", "text", "- one\n- two", ["one", "two"]),
        ("type=array", "text", "1. one\n2) two", ["one", "two"]),
        ("type=array", "text", "one, two", ["one", "two"]),
        ("type=object", "text", '{"a": 1}', {"a": 1}),
        ('choices="fast, slow"', "text", "I would say Slow.", "slow"),
        ("choices='[fast, slow]'", "text", "fast", "fast"),
    ],
)
def test_an_answer_becomes_the_value_that_its_place_wants(attributes: str, key: str, answer: str, value: Any) -> None:
    found = tag_of(attributes, key).value(answer)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("attributes", "answer"),
    [
        ("type=integer", "many"),
        ("type=integer", "2.5"),
        ("type=boolean", "perhaps"),
        ("type=object", "[1]"),
        ("type=object", "{"),
        ("choices='a1,b2'", "neither"),
        ("choices='a1,b2'", ""),
    ],
)
def test_an_answer_that_is_no_such_value_is_refused_with_words(attributes: str, answer: str) -> None:
    with pytest.raises(ParametersInvalid, match="say more exactly what is wanted"):
        tag_of(attributes).value(answer)


def test_a_long_answer_is_not_repeated_in_full() -> None:
    with pytest.raises(ParametersInvalid) as caught:
        tag_of("type=integer").value("x" * 10_000)
    assert len(str(caught.value)) < 400


def test_a_condition_wants_true_or_false() -> None:
    (tag,) = tags_of(step(condition="<AUTO>is it?</AUTO>"))
    assert tag.value("false") is False
    assert "true or false" in tag.prompt(tag.question)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [("type=integer min=1 max=9", "a whole number from 1 to 9"), ("choices='a,b'", "one of these words: a, b")],
)
def test_a_prompt_says_what_form_the_answer_has(attributes: str, words: str) -> None:
    assert words in tag_of(attributes).prompt("what?")


def test_each_tag_counts_once_wherever_it_stands() -> None:
    one, other = "<AUTO>a</AUTO>", "<AUTO>b</AUTO>"
    assert [tag.source for tag in tags_of(step(x=[one, {"y": other}], z=f"see {one}"))] == [one, other]


def test_answers_stand_in_the_places_of_their_tags_and_are_not_read_again() -> None:
    made = step(whole="<AUTO>a</AUTO>", part="x <AUTO>a</AUTO> <AUTO>b</AUTO>")
    tags = tags_of(made)
    hidden = protected(made.parameters, tags)
    assert "AUTO" not in str(hidden)
    assert answered(hidden, [[1], "{{ b }}"]) == {"whole": [1], "part": "x [1] {{ b }}"}
