"""Counting words, and arithmetic that can neither run code nor take for ever."""

import time
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke

CONTEXT = ToolContext(run="r", instance="s", attempt=1, folder=Path("/"))


def do(action: str, **parameters: object) -> ToolResult:
    result = invoke(f"text.{action}", parameters, CONTEXT)
    assert isinstance(result, ToolResult)
    return result


def calculated(expression: str, **variables: float) -> object:
    return do("calculate", expression=expression, variables=variables).output


def test_words_characters_and_lines_are_counted():
    value = do("count_words", text="one  two\nthree").value
    assert value == {
        "result": 3,
        "success": True,
        "error": None,
        "count": 3,
        "word_count": 3,
        "characters": 14,
        "lines": 2,
    }


@pytest.mark.parametrize(("text", "words"), [("", 0), (" \n ", 0), (2024, 1), (["a b", "c"], 3)])
def test_whatever_is_no_text_is_counted_as_json(text, words):
    assert do("count_words", text=text).output == words


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        (" -(2 ** 10) // 3 ", -342),
        ("7 % 4 + 1.5", 4.5),
        ("2 ** -1", 0.5),
        ("0 ** 5 + 1 ** 100000", 1),
        ("round(2.345, 2) + max(1, 2, 3)", 5.35),
        ("round(2.6)", 3),
        ("sqrt(16) + abs(-2) + floor(1.9) + ceil(1.1)", 9.0),
        ("floor(pi) + floor(e)", 5),
        ("log(8, 2)", 3.0),
        ("+".join(["1"] * 250), 250),
    ],
)
def test_arithmetic(expression, value):
    assert calculated(expression) == pytest.approx(value)


def test_variables_stand_for_numbers():
    result = do("calculate", expression="price * n", variables={"price": 2.5, "n": "4"})
    assert result.value == {"result": 10.0, "success": True, "error": None, "value": 10.0, "expression": "price * n"}


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1 / 0", "division by zero"),
        ("1 +", "invalid syntax"),
        ("", "invalid syntax"),
        ("x + 1", r"'x' is not known; there is pi, e, abs, ceil"),
        ("__import__('os')", r"'__import__' is not known"),
        ("(1).__class__", "is no arithmetic"),
        ("[1][0]", "is no arithmetic"),
        ("True + 1", "is no arithmetic"),
        ("'a' * 3", "is no arithmetic"),
        ("1 if 1 else 2", "is no arithmetic"),
        ("max(*[1])", "is no arithmetic"),
        ("(-8) ** 0.5", "not real"),
        ("1e308 * 10", "not finite"),
        ("9 ** 9 ** 9", "more than 4096 bits"),
        ("2 ** 4097", "more than 4096 bits"),
        ("10.0 ** 400", "cannot be worked out"),
        ("sqrt(-1)", "math domain error"),
        ("round(1, 10000000000)", "at most 300 digits"),
        ("1" * 1001, "longer than 1000 characters"),
        ("-" * 900 + "1", "cannot be worked out"),
        ("(" * 400 + "1" + ")" * 400, "cannot be worked out"),
        ("max()", "cannot be worked out"),
    ],
)
def test_what_is_no_arithmetic_is_refused_at_once(expression, reason):
    started = time.thread_time()
    with pytest.raises(ParametersInvalid, match=reason):
        calculated(expression)
    assert time.thread_time() - started < 1
