"""Steps that wait for a person: what an attempt knows when it comes back, and what a run was told beforehand. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import InputsInvalid, ParametersInvalid, StepTimeout
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.question import Answer, AskedQuestion, GivenAnswers
from orchestrator_worker.steps.base import Call, Fail, Wait, Want


@dataclass(frozen=True, slots=True)
class Waited:
    """What the attempts before have asked: what the memo of a step that waits keeps."""

    answers: tuple[Answer, ...] = ()
    number: int = 0
    """Questions so far."""
    expired: bool = False
    """The last of them was not answered in time, and the attempt failed for it: it is asked anew."""

    @classmethod
    def of(cls, memo: Json) -> Self:
        if not memo:
            return cls()
        return cls(tuple(map(Answer.model_validate, memo["answers"])), memo["number"], memo.get("expired", False))

    def memo(self) -> dict[str, Json]:
        answers = [answer.model_dump(mode="json") for answer in self.answers]
        return {"answers": answers, "number": self.number, "expired": self.expired}


def resumed(memo: Json, asked: AskedQuestion | None, now_ms: int) -> Waited | Wait | Fail:
    """What an attempt begins with: all that was answered, or a question that still stands, or one that nobody answered.

    Whoever wakes a step too early does no harm: it waits on, for the same question and until the same deadline.
    """
    waited = Waited.of(memo)
    if waited.expired or asked is None or asked.number != waited.number:
        return waited
    if asked.answer is not None:
        return replace(waited, answers=(*waited.answers, asked.answer))
    question = asked.question
    if asked.deadline_ms is None or now_ms < asked.deadline_ms:
        left = None if asked.deadline_ms is None else (asked.deadline_ms - now_ms) / 1000
        return Wait(question.model_copy(update={"timeout_seconds": left}), waited.answers, waited.number)
    if question.has_default:
        default = Answer(value=question.default, at_ms=asked.deadline_ms, defaulted=True)
        return replace(waited, answers=(*waited.answers, default))
    seconds = (asked.deadline_ms - asked.asked_ms) / 1000
    nobody = StepTimeout(f"nobody answered its question within {seconds:g} s, and it has no default")
    return Fail(nobody, memo=replace(waited, expired=True).memo())


def performed(call: Call, perform: Callable[[Call], Want], waited: Waited, given: GivenAnswers, now_ms: int) -> Want:
    """What a step wants that has these answers; a question that the run was told the answer to is not asked.

    Raises:
        ParametersInvalid: what the run was told does not fit the question, or the question is too large.
    """
    while True:
        want = perform(replace(call, answers=waited.answers))
        if not isinstance(want, Wait):
            return want
        if (size := len(want.question.model_dump_json())) > caps.QUESTION_BYTES:
            raise ParametersInvalid(
                f"its question has {size:,} bytes, and {caps.QUESTION_BYTES:,} are taken; shorten it"
            )
        want = replace(want, answers=waited.answers, number=waited.number + 1)
        if (answer := _told(want, call.instance, given, now_ms)) is None:
            return want
        waited = Waited((*waited.answers, answer), want.number)


def _told(want: Wait, instance: str, given: GivenAnswers, now_ms: int) -> Answer | None:
    """The answer that the run was given when it was submitted."""
    known, value = given.to(instance, want.number)
    if known:
        try:
            return Answer(value=want.question.checked(value), by="submission", at_ms=now_ms)
        except InputsInvalid as error:
            words = "; ".join(error.problems)
            raise ParametersInvalid(f"the answer that was given with the submission does not fit: {words}") from None
    if given.defaults and want.question.has_default:
        return Answer(value=want.question.default, at_ms=now_ms, defaulted=True)
    return None
