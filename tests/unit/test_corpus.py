"""The corpus of bad input: every row is there, every case is met as it says, and every test that it names exists."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.corpus.judged import ROWS, Judged, judge_all
from tests.corpus.row import RUNS, Row

TESTS = Path(__file__).parent.parent

MOST_MEGABYTES = 64
MOST_SECONDS = 20.0
"""Of the processor, for one case: tells a bomb that went off from a slow machine."""


@cache
def judged() -> tuple[Judged, ...]:
    return tuple(judge_all())


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the tests in a file."""
    found = ast.walk(ast.parse((TESTS / file).read_text()))
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_there_are_85_rows_and_each_is_shown() -> None:
    assert [row.id for row in ROWS] == [f"B{number}" for number in range(1, 86)]
    assert [row.id for row in ROWS if not row.cases and not row.shown_by] == []


@pytest.mark.parametrize("row", [row for row in ROWS if row.shown_by], ids=lambda row: row.id)
def test_the_tests_that_show_a_row_are_there(row: Row) -> None:
    for test in row.shown_by:
        file, _, name = test.partition("::")
        assert name in names_in(file), test


@pytest.mark.xdist_group("corpus")
@pytest.mark.parametrize("row", [row for row in ROWS if row.cases], ids=lambda row: row.id)
def test_each_case_of_a_row_is_met_as_it_says(row: Row) -> None:
    for one in judged():
        if one.row != row.id:
            continue
        case, problems = one.case, one.verdict["problems"]
        assert one.seconds < MOST_SECONDS
        assert one.megabytes < MOST_MEGABYTES
        assert one.verdict["valid"] == (case.code == RUNS or case.warning), problems
        if case.code == RUNS:
            assert [problem["code"] for problem in problems if not problem["warning"]] == []
            continue
        met = [problem for problem in problems if problem["code"] == case.code]
        assert [(met[0]["line"], met[0]["column"]), met[0]["warning"]] == [case.at, case.warning], problems[:3]
        assert case.words in f"{met[0]['message']}; {met[0]['remedy']}"
        assert met[0]["message"].isprintable()
