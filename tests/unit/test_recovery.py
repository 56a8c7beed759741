"""Which handler takes a failure, and what it makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import (
    HandlerFailed,
    OrchestratorError,
    ParametersInvalid,
    StepCancelled,
    StepTimeout,
    ToolFailed,
    UnknownAction,
)
from orchestrator_client.contract.plan import Handler, Step, StepKind
from orchestrator_worker.recovery import PATTERN_CHARACTERS, Fault, Recovery, explained, fallback_for, next_turn

FAILED = ToolFailed("x")


def step(*handlers: Handler) -> Step:
    return Step(id="s", kind=StepKind.TOOL, uses="python.call", handlers=handlers)


def falls_back(**fields: Any) -> Handler:
    return Handler(has_fallback=True, **fields)


def turns(of: Step, *errors: OrchestratorError) -> list[int | None]:
    """The handlers that have their turn after these failures, by place; None where none has."""
    known: Recovery | None = None
    found: list[int | None] = []
    for error in errors:
        turn = next_turn(of, error, known)
        found.append(None if turn is None else turn.handler)
        # As it is kept between attempts.
        known = Recovery.of(turn.to_json()) if turn is not None else known
    return found


@pytest.mark.parametrize(
    ("handler", "error", "fits"),
    [
        (falls_back(), ToolFailed("x"), True),
        (falls_back(error_types=("ToolFailed",)), ToolFailed("x"), True),
        (falls_back(error_types=("OrchestratorError",)), ToolFailed("x"), True),
        (falls_back(error_types=("ConnectionError",)), ToolFailed("x"), True),
        (falls_back(error_types=("TimeoutError",)), StepTimeout("x"), True),
        (falls_back(error_types=("TimeoutError",)), ToolFailed("x"), False),
        (falls_back(error_types=("KeyError",)), ToolFailed("f raised KeyError: 'k'"), True),
        (falls_back(error_types=("ValueError",)), ParametersInvalid("x"), True),
        (falls_back(error_patterns=("NOT found",)), ToolFailed("was not Found"), True),
        (falls_back(error_patterns=(r"line \d+",)), ToolFailed("at line 12"), True),
        (falls_back(error_patterns=("[",)), ToolFailed("x"), False),
        (falls_back(error_patterns=("[",)), ToolFailed("a [ b"), True),
        (falls_back(error_patterns=("other",)), ToolFailed("x"), False),
        (falls_back(error_patterns=("x" * PATTERN_CHARACTERS + ".",)), ToolFailed("x" * 300), False),
        (falls_back(error_codes=("404",)), ToolFailed("HTTP 404: gone"), True),
        (falls_back(error_codes=("404",)), ToolFailed("HTTP 4040"), False),
        (falls_back(error_types=("ToolFailed",), error_codes=("404",)), ToolFailed("x"), True),
        (falls_back(), StepCancelled("the run was cancelled"), False),
        (falls_back(error_types=("UnknownActionError",)), UnknownAction("x"), True),
    ],
)
def test_a_handler_takes_the_failures_that_it_names(handler: Handler, error: OrchestratorError, fits: bool) -> None:
    assert (fallback_for(step(handler), error) is handler) is fits


def test_the_first_that_fits_takes_it() -> None:
    handlers = (falls_back(error_codes=("404",)), falls_back(fallback_value=2), falls_back(fallback_value=3))
    assert fallback_for(step(*handlers), ToolFailed("x")) is handlers[1]


def test_a_value_stands_behind_the_handler_that_retries() -> None:
    tried = step(Handler(action="retry", max_retries=2), falls_back(fallback_value=2))
    assert turns(tried, FAILED, FAILED, FAILED) == [0, 0, None]
    assert fallback_for(tried, FAILED) is tried.handlers[1]


def test_a_value_before_it_takes_the_failure() -> None:
    assert turns(step(falls_back(), Handler(action="retry")), FAILED) == [None]


def test_each_is_asked_as_often_as_it_says() -> None:
    asked = step(Handler(step="a", max_retries=2), Handler(action="Say so", max_retries=0), Handler(step="c"))
    assert turns(asked, *[FAILED] * 5) == [0, 0, 1, 2, None]


def test_only_those_that_fit_are_asked() -> None:
    asked = step(Handler(step="a", error_types=("KeyError",)), Handler(step="b", error_codes=("404",)))
    assert turns(asked, ToolFailed("404"), ToolFailed("KeyError: k"), ToolFailed("403")) == [1, 0, None]


@pytest.mark.parametrize(("proceeds", "then"), [(True, [0, 1]), (False, [0, None])])
def test_one_that_fails_gives_way_only_if_it_says_so(proceeds: bool, then: list[int | None]) -> None:
    asked = step(Handler(step="a", proceed=proceeds), Handler(step="b"))
    assert turns(asked, FAILED, HandlerFailed("no")) == then


def test_one_that_fails_is_asked_again_while_it_may() -> None:
    assert turns(step(Handler(step="a", max_retries=2)), FAILED, HandlerFailed("no"), HandlerFailed("no")) == [
        0,
        0,
        None,
    ]


def test_a_failure_for_good_leads_to_the_value_all_the_same() -> None:
    asked = step(Handler(step="a"), Handler(step="b"), falls_back(fallback_value=1))
    known = next_turn(asked, FAILED, None)
    assert next_turn(asked, HandlerFailed("no"), known) is None
    assert fallback_for(asked, HandlerFailed("no"), known) is asked.handlers[2]


def test_a_value_with_templates_is_rendered_once() -> None:
    asked = step(falls_back(fallback_value={"a": "{{ b }}"}))
    turn = next_turn(asked, FAILED, None)
    assert turn is not None
    assert (turn.falls_back, turn.handler) == (True, 0)
    assert next_turn(asked, HandlerFailed("b is missing"), turn) is None
    assert fallback_for(asked, HandlerFailed("b is missing"), turn) is None


def test_what_can_only_fail_is_not_tried_again() -> None:
    tried = step(Handler(action="retry"), Handler(action="Do it"))
    assert turns(tried, UnknownAction("no such action")) == [1]


def test_who_cancels_a_run_wants_no_recovery() -> None:
    assert turns(step(Handler(step="a")), StepCancelled("the run was cancelled")) == [None]


def test_the_first_failure_is_told_first() -> None:
    asked = step(Handler(step="a", proceed=True), Handler(step="b"))
    known = next_turn(asked, ToolFailed("first"), None)
    known = next_turn(asked, HandlerFailed("a is away"), known)
    told = explained(HandlerFailed("b is away"), known)
    assert (told.type, told.message) == ("ToolFailed", "first; then a is away; then b is away")


def test_waits_grow_up_to_ten_seconds() -> None:
    fault = Fault.of(FAILED)
    waits = [Recovery(fault, fault, 0, {0: calls}).wait_seconds for calls in (1, 2, 3, 4, 50)]
    assert waits == [2, 4, 8, 10, 10]
