"""A conversation as attempts hand it on: what comes back from the store, and what the model is shown of it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract.usage import NO_USAGE, Usage
from orchestrator_worker.providers.base import Message, ToolCall
from orchestrator_worker.steps.conversation import RETURN_CHARACTERS, AskedCall, Memo, PastTurn, turn_of
from tests.unit.asking import saying

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CALLS = st.builds(
    AskedCall,
    id=st.text(max_size=8),
    name=st.text(max_size=8),
    arguments=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    instance=st.text(max_size=8),
    refusal=st.text(max_size=8),
)
TURNS = st.builds(
    PastTurn,
    text=st.text(max_size=8),
    native=JSON,
    calls=st.lists(CALLS, max_size=3).map(tuple),
    told=st.text(max_size=8),
)
COUNTS = st.integers(0, 10**9)
USAGES = st.builds(
    Usage,
    requests=COUNTS,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cached_input_tokens=COUNTS,
    reasoning_tokens=COUNTS,
    cost_usd=st.none() | st.decimals(0, 10**6, places=12),
)
MEMOS = st.builds(
    Memo,
    model=st.integers(0, 9),
    turns=st.lists(TURNS, max_size=3).map(tuple),
    usage=USAGES,
    earlier=st.integers(0, 100),
)

ASKED = AskedCall("c1", "add", {"a": 1}, instance="ask#1.1")


@settings(max_examples=150)
@given(MEMOS)
def test_a_memo_comes_back_from_the_store_as_it_was(memo: Memo) -> None:
    assert Memo.of(json.loads(json.dumps(memo.to_json()))) == memo


def test_the_first_attempt_has_an_empty_memo() -> None:
    assert Memo.of(None) == Memo()
    assert Memo().usage == NO_USAGE


def test_a_memo_of_an_older_worker_is_read_by_what_it_says() -> None:
    stored = {"model": 0, "turns": [{"text": "x"}], "usage": {"requests": 1}}
    assert Memo.of(stored) == Memo(turns=(PastTurn("x"),), usage=Usage())


def test_a_turn_adds_what_it_cost() -> None:
    half = Usage(input_tokens=2, cost_usd=Decimal("0.5"))
    memo = Memo().with_turn(PastTurn("a"), half).with_turn(PastTurn("b"), half)
    assert [turn.text for turn in memo.turns] == ["a", "b"]
    assert (memo.usage.requests, memo.usage.input_tokens, memo.usage.cost_usd) == (2, 4, Decimal(1))


def test_one_call_of_unknown_price_makes_the_sum_unknown() -> None:
    assert Memo().with_turn(PastTurn("a"), Usage()).usage.cost_usd is None


def test_another_model_begins_anew_but_what_was_spent_stays_spent() -> None:
    memo = Memo(turns=(PastTurn("a"), PastTurn("b")), usage=Usage(input_tokens=3)).for_model(1)
    assert (memo.model, memo.turns, memo.usage.input_tokens) == (1, (), 3)


def test_turns_are_counted_on_when_another_model_is_asked() -> None:
    """The steps that a model asked for go by the turn: another model's must have other names."""
    memo = Memo(turns=(PastTurn("a"), PastTurn("b")))
    assert memo.number == 3
    assert memo.for_model(1).number == 3
    assert memo.for_model(1).with_turn(PastTurn("c"), Usage()).for_model(2).number == 4


def test_a_conversation_needs_the_values_of_all_that_it_asked_for() -> None:
    refused = AskedCall("c2", "nope", {}, refusal="there is no tool 'nope'")
    turns = (PastTurn("", calls=(ASKED, refused)), PastTurn("", calls=(replace(ASKED, instance="ask#2.1"),)))
    assert Memo(turns=turns).asked == ["ask#1.1", "ask#2.1"]


def test_a_model_is_repaired_once_it_was_told_what_is_wrong() -> None:
    assert not Memo(turns=(PastTurn("", calls=(ASKED,)),)).repaired
    assert Memo(turns=(PastTurn("no", told="no JSON"), PastTurn("", calls=(ASKED,)))).repaired


def test_a_reply_as_a_past_turn() -> None:
    reply = saying("Let me see.", native=[{"type": "reasoning"}])
    assert turn_of(reply, (ASKED,)) == PastTurn("Let me see.", [{"type": "reasoning"}], (ASKED,))
    assert turn_of(reply, told="no JSON").told == "no JSON"


# --- as messages -----------------------------------------------------------------------------------------------------


def messages(*turns: PastTurn, **returned: Any) -> list[Message]:
    return list(Memo(turns=turns).messages({name.replace("_", "#1."): value for name, value in returned.items()}))


def shown(value: Any) -> tuple[str, bool]:
    """What the model is shown of a tool's value, and whether as a failure."""
    given = messages(PastTurn("", calls=(ASKED,)), ask_1=value)[1].returns[0]
    assert (given.id, given.name) == ("c1", "add")
    return given.content, given.failed


def test_a_turn_is_what_the_model_said_and_what_came_back() -> None:
    said, given = messages(
        PastTurn("Let me add.", [{"type": "reasoning"}], (ASKED,)), ask_1={"success": True, "result": 3}
    )
    assert (said.role, said.text, said.native) == ("assistant", "Let me add.", [{"type": "reasoning"}])
    assert said.calls == (ToolCall("c1", "add", {"a": 1}),)
    assert (given.role, given.parts) == ("tool", ())


def test_a_turn_without_words_has_no_part() -> None:
    assert messages(PastTurn("", calls=(ASKED,)), ask_1={})[0].parts == ()


def test_an_unfit_answer_is_followed_by_what_is_wrong_with_it() -> None:
    said, told = messages(PastTurn("no", told="It is not JSON."))
    assert (said.role, said.text) == ("assistant", "no")
    assert told == Message.of("user", "It is not JSON.")


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"success": True, "result": "text"}, "text"),
        ({"success": True, "result": {"ü": [1]}}, '{"ü": [1]}'),
        ({"success": True, "result": None}, "null"),
        ({"success": True, "result": 0}, "0"),
    ],
)
def test_a_result_is_shown_as_text_or_json(value: Any, content: str) -> None:
    assert shown(value) == (content, False)


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"success": False, "error": "no such file", "result": None}, "no such file"),
        ({"status": "skipped", "success": False}, "the tool failed"),
        ({"success": False, "error": None}, "the tool failed"),
        (None, "the tool left nothing"),
    ],
)
def test_a_failure_is_told_as_one(value: Any, content: str) -> None:
    assert shown(value) == (content, True)


def test_a_long_result_is_cut_and_says_so() -> None:
    content, failed = shown({"success": True, "result": "x" * (RETURN_CHARACTERS + 1)})
    assert content.startswith("x" * RETURN_CHARACTERS)
    assert content.endswith(f"[cut: {RETURN_CHARACTERS + 1:,} characters in all]")
    assert not failed
    assert shown({"success": True, "result": "x" * RETURN_CHARACTERS})[0] == "x" * RETURN_CHARACTERS


def test_a_refused_call_comes_back_as_a_failure_beside_the_others() -> None:
    refused = AskedCall("c2", "nope", {}, refusal="there is no tool 'nope'")
    given = messages(PastTurn("", calls=(ASKED, refused)), ask_1={"success": True, "result": 3})[1].returns
    assert [(one.id, one.content, one.failed) for one in given] == [
        ("c1", "3", False),
        ("c2", "there is no tool 'nope'", True),
    ]
