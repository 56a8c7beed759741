"""Which handler takes a failure, and what it makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import (
    OrchestratorError,
    ParametersInvalid,
    StepCancelled,
    StepTimeout,
    ToolFailed,
)
from orchestrator_client.contract.plan import Handler, Step, StepKind
from orchestrator_worker.recovery import PATTERN_CHARACTERS, backoff_seconds, fallback_for, handled_tries


def step(*handlers: Handler) -> Step:
    return Step(id="s", kind=StepKind.TOOL, uses="python.call", handlers=handlers)


def falls_back(**fields: Any) -> Handler:
    return Handler(has_fallback=True, **fields)


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
        (Handler(), ToolFailed("x"), False),
        (Handler(step="rescue"), ToolFailed("x"), False),
    ],
)
def test_a_handler_takes_the_failures_that_it_names(handler: Handler, error: OrchestratorError, fits: bool) -> None:
    assert (fallback_for(step(handler), error) is handler) is fits


def test_the_first_that_fits_takes_it() -> None:
    handlers = (falls_back(error_codes=("404",)), falls_back(fallback_value=2), falls_back(fallback_value=3))
    assert fallback_for(step(*handlers), ToolFailed("x")) is handlers[1]


def test_a_handler_that_retries_leaves_the_fallback_to_those_behind_it() -> None:
    handlers = (Handler(action="retry", max_retries=1), falls_back(fallback_value=2))
    assert handled_tries(step(*handlers), ToolFailed("x")) == 1
    assert fallback_for(step(*handlers), ToolFailed("x")) is handlers[1]


def test_only_a_handler_that_retries_gives_tries() -> None:
    assert handled_tries(step(Handler(action="retry", max_retries=4)), ToolFailed("x")) == 4
    assert handled_tries(step(falls_back(max_retries=4)), ToolFailed("x")) == 0
    assert handled_tries(step(), ToolFailed("x")) == 0


def test_a_value_stands_behind_the_handler_that_retries_first() -> None:
    again, value = Handler(action="retry", max_retries=2), falls_back(fallback_value=1)
    assert handled_tries(step(again, value), ToolFailed("x")) == 2
    assert fallback_for(step(again, value), ToolFailed("x")) is value


def test_its_waits_grow_up_to_ten_seconds() -> None:
    assert [backoff_seconds(tries) for tries in (1, 2, 3, 4, 50)] == [2, 4, 8, 10, 10]
