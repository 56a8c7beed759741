"""A function that a worker runs stops to ask, and is called again with the answer.

Here and not in the worker, because functions of a user's own import it: they know the client's package, and it costs
them nothing of the client.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from orchestrator_client.contract.question import AnswerField, Question, QuestionKind
from orchestrator_client.contract.record import Json

_NONE = object()


class Interrupt(BaseException):
    """Carries a question out of a function. Not an Exception, so that the function's own `except` lets it pass."""

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self.question = question


@dataclass(slots=True)
class _Answered:
    """What one call of a function knows, and how much of it the function has asked for."""

    answers: Sequence[Json]
    asked: int = 0


_CALL: ContextVar[_Answered | None] = ContextVar("orchestrator_interrupt", default=None)


def interrupt(
    payload: Json = None,
    /,
    *,
    choices: Sequence[Json] | None = None,
    timeout: float | timedelta | None = None,
    default: Any = _NONE,
) -> Any:
    """Stop the step until somebody answers, and return the answer: `run.answer(step, value)`, or on the command line
    `orchestrator answer RUN STEP VALUE`.

    The step waits in Redis and holds no worker. Once there is an answer the function is called again from its start, on
    the same state, and what it did before is done again; so put what may happen once behind the interrupt. Several in
    one function are answered in their order, which must not depend on anything but the state and earlier answers.

    `payload` is JSON for whoever answers. With a `timeout`, in seconds, the `default` counts when nobody has answered
    by then; without a default, the step fails.

    Raises:
        RuntimeError: no worker is calling this function for a step.
        TypeError, ValueError: the payload is not JSON.
    """
    call = _CALL.get()
    if call is None:
        raise RuntimeError("interrupt() was called outside of a step; call it in the function of a node or of a tool")
    call.asked += 1
    if call.asked <= len(call.answers):
        return call.answers[call.asked - 1]
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False, allow_nan=False)
    question = Question(
        kind=QuestionKind.INTERRUPT,
        prompt=text,
        payload=payload,
        value=AnswerField(choices=None if choices is None else tuple(choices)),
        timeout_seconds=timeout.total_seconds() if isinstance(timeout, timedelta) else timeout,
        default=None if default is _NONE else default,
        has_default=default is not _NONE,
    )
    raise Interrupt(question)


@contextmanager
def answering(answers: Sequence[Json]) -> Iterator[None]:
    """Within it, the first calls of `interrupt` return these."""
    token = _CALL.set(_Answered(answers))
    try:
        yield
    finally:
        _CALL.reset(token)
