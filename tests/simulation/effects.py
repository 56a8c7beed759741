"""What steps do to the world: tools and a model that only write down that they were called, and say what they are told.

What a tool says depends on its instance and attempt alone, so that it is known what a run must come to, whoever dies.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import greenlet

from orchestrator_client.contract.errors import FailureKind, ModelFailed
from orchestrator_client.contract.question import AnswerField, Question, QuestionKind
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.base import ModelReply, ModelRequest, OnText
from orchestrator_worker.steps.base import Call, Output, Route, StepPerformer, Wait, Want
from orchestrator_worker.steps.tool import ROUTER
from orchestrator_worker.tools.base import Complete, Declined
from tests.simulation.seam import Operation, ask

DECLARED = "python:sim.tools:send"
"""A tool of no catalogue, which may not be done twice."""

INPUT_USD, OUTPUT_USD = 1_000, 2_000
"""Billionths of a dollar a token."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One call of a tool or a model that was begun."""

    run: str
    instance: str
    attempt: int
    at_ms: int
    nano_usd: int = 0
    parameters: Any = None


class Ledger:
    """All effects of a schedule, whatever the store says of them."""

    def __init__(self, now_ms: Callable[[], int], calls_by: Callable[[str, str, int], int]) -> None:
        self.now_ms, self.calls_by = now_ms, calls_by
        self.begun: list[Effect] = []

    def begin(self, call: Call, nano_usd: int = 0) -> None:
        self.begun.append(Effect(call.run, call.instance, call.attempt, self.now_ms(), nano_usd, call.parameters))
        ask(Operation("effect", call.instance, lambda: None))


class SimCalls:
    """In the place of `process.calls`: one thread, and no alarms."""

    @contextmanager
    def under_way(self, key: object, seconds: float | None) -> Iterator[None]:
        yield

    def run(self, coroutine: Coroutine[Any, Any, Any], seconds: float | None = None) -> Any:
        """All that it waits for, it waits for at the seam, so that it never gives up control in any other way."""
        try:
            coroutine.send(None)
        except StopIteration as ended:
            return ended.value
        raise AssertionError("a coroutine waited for something that is not simulated")


class SimTool:
    """In the place of `steps.tool`."""

    def __init__(self, ledger: Ledger, calls: SimCalls, complete: Callable[[Call], Complete]) -> None:
        self._ledger, self._calls, self._complete = ledger, calls, complete

    def perform(self, call: Call) -> Want:
        step = call.step
        if call.on_call is not None and step.uses == DECLARED:
            call.on_call(False)
        self._ledger.begin(call)
        if step.uses == ROUTER:
            return Route(tuple(step.routes[label] for label in call.parameters["takes"]))
        function, args = call.parameters.get("function", "builtins:str"), call.parameters.get("args", [""])
        match function:
            case "builtins:str":
                return _left(str(args[0]))
            case "tests.functions:fail":
                raise ValueError("no")
            case "tests.functions:fail_until":
                done = self._ledger.calls_by(call.run, call.instance, call.attempt)
                if done <= args[1]:
                    raise ValueError("not yet")
                return _left(done)
            case "ask":
                return self._asked(call, args)
            case "complete":
                return self._completed(call)
        raise AssertionError(f"no such function here: {function}")

    @staticmethod
    def _asked(call: Call, args: list[Any]) -> Want:
        if call.answers:
            return _left(str(call.answers[0].value))
        seconds, default = args
        return Wait(
            Question(
                kind=QuestionKind.INPUT,
                prompt="?",
                value=AnswerField(),
                timeout_seconds=seconds,
                default=default,
                has_default=default is not None,
            )
        )

    def _completed(self, call: Call) -> Want:
        try:
            answer = self._calls.run(self._complete(call)({"prompt": "in the middle", "max_tokens": 5}))
        except Declined as declined:
            raise ValueError(str(declined)) from None
        return _left(answer.text)


def _left(result: Any) -> Output:
    return Output({"result": result, "success": True})


class SimModel:
    """The real model step, which says to the provider whose call it is."""

    def __init__(self, real: StepPerformer) -> None:
        self._real = real

    def perform(self, call: Call) -> Want:
        greenlet.getcurrent().call = call
        return self._real.perform(call)


class SimProvider:
    """A vendor whose calls end as the dice say."""

    name = "sim"

    def __init__(self, ledger: Ledger, roll: Callable[[], int]) -> None:
        self._ledger, self._roll = ledger, roll

    def warm(self) -> None:
        """There is no SDK."""

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        outcome = self._roll()
        output = min(request.max_tokens or 5, 5)
        nano = 10 * INPUT_USD + output * OUTPUT_USD
        self._ledger.begin(greenlet.getcurrent().call, nano if outcome < 13 else 0)
        if outcome == 13:
            raise ModelFailed("slow down", True, 1.0, FailureKind.RATE_LIMIT)
        if outcome == 14:
            raise ModelFailed("too long", False, None, FailureKind.CONTEXT_LENGTH)
        if outcome == 15:
            raise ModelFailed("overloaded", True, None, FailureKind.OVERLOAD)
        usage = Usage(input_tokens=10, output_tokens=output)
        return ModelReply(text="said", model=request.model, finish_reason="stop", usage=usage)
