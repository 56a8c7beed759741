"""Answer what runs ask: find the question that stands, check the answer against it, record it, and tell the fleet."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping

from orchestrator_client.actor import user
from orchestrator_client.announce import Announcer
from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import InputsInvalid, NoQuestion
from orchestrator_client.contract.message import Hint
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.question import Answer, AskedQuestion, GivenAnswers, Question, QuestionKind
from orchestrator_client.contract.run import InstanceState, asked_for
from orchestrator_client.store import Stores
from orchestrator_client.store.questions import Answered
from orchestrator_client.story import time_of_day


class Questions:
    """What the runs of one fleet ask."""

    def __init__(self, stores: Stores, announcer: Announcer) -> None:
        self._stores, self._announcer = stores, announcer

    def standing(self, runs: list[str]) -> list[AskedQuestion]:
        """The questions of these runs that wait for an answer, oldest first."""
        found = [asked for asked in self._stores.questions.questions(runs) if asked.answer is None]
        now_ms = self._stores.runs.now_ms() if found else 0
        opened = {run: self._stores.runs.open_instances(run) for run in {asked.run for asked in found}}
        parked = InstanceState.PARKED
        waiting = [
            asked
            for asked in found
            if (instance := opened[asked.run].get(asked.instance)) is not None
            and instance.state is parked
            and not (asked.expired(now_ms) and asked.expired(self._stores.runs.record(asked.run).clock_ms(now_ms)))
        ]
        return sorted(waiting, key=lambda asked: (asked.asked_ms, asked.run, asked.instance))

    def answer(self, run: str, step: str, value: Callable[[Question], Json], by: str = "") -> AskedQuestion:
        """Answer the question of a step; `value` makes the answer from the question. The first answer counts.

        Raises:
            RunNotFound: the store has no such run.
            NoQuestion: the step asks nothing, or was answered (the message says by whom and when), or it is too late.
            InputsInvalid: the answer does not fit the question, or `by` may not answer it; nothing was recorded.
        """
        asked = next((each for each in self._stores.questions.questions([run]) if each.instance == step), None)
        if asked is None:
            raise self._nothing_asked(run, step)
        by = by or user()
        checked = _checked(asked, value, by)
        event = json.dumps({"number": asked.number, "by": by})
        answer = Answer(value=checked, by=by, token=secrets.token_hex(8))
        answered = self._stores.questions.answer(asked, answer, event, _audited(asked, answer))
        if answered.verdict != "answered":
            raise NoQuestion(run, step, _refusal(answered))
        if answered.attempt:
            self._announcer.hint(self._hint(asked, answered))
        return asked.model_copy(update={"answer": answer})

    def _hint(self, asked: AskedQuestion, answered: Answered) -> Hint:
        step = self._stores.runs.plan(asked.run).step_at(asked.instance) or asked_for(asked.instance, None)
        return Hint(asked.run, asked.instance, answered.attempt, answered.queue, step.label, step.timeout_seconds)

    def _nothing_asked(self, run: str, step: str) -> NoQuestion:
        """Why there is nothing to answer.

        Raises:
            RunNotFound: the store has no such run.
        """
        self._stores.runs.record(run)
        others = [asked.instance for asked in self.standing([run])]
        waits = f"; {', '.join(others)} do" if others else "; nothing in the run does"
        return NoQuestion(run, step, f"it asks nothing{waits}")


def told(plan: Plan, values: Mapping[str, Json], defaults: bool) -> GivenAnswers:
    """What a run is told when it is submitted.

    Raises:
        InputsInvalid: the plan has none of these steps.
    """
    unknown = [key for key in values if not _names_a_step(plan, re.sub(r"#\d+$", "", key))]
    if unknown:
        raise InputsInvalid([f"answer to '{key}': the plan has no such step" for key in unknown])
    return GivenAnswers(values=dict(values), defaults=defaults)


def _names_a_step(plan: Plan, name: str) -> bool:
    """Whether it is an instance of the plan, or a step of whatever body."""
    return plan.step_at(name) is not None or any(step.id == name for step in plan.all_steps())


def _checked(asked: AskedQuestion, value: Callable[[Question], Json], by: str) -> Json:
    """The answer as it is recorded.

    Raises:
        InputsInvalid: it does not fit, or is not this caller's to give.
    """
    question = asked.question
    if question.answerers and by not in question.answerers:
        raise InputsInvalid([f"step '{asked.instance}': '{by}' may not answer; {', '.join(question.answerers)} may"])
    try:
        checked = question.checked(value(question))
        size = len(json.dumps(checked, allow_nan=False).encode())
    except InputsInvalid as error:
        raise InputsInvalid([f"step '{asked.instance}': {problem}" for problem in error.problems]) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InputsInvalid([f"step '{asked.instance}': the answer is not JSON: {error}"]) from None
    if size > caps.ANSWER_BYTES:
        raise InputsInvalid(
            [f"step '{asked.instance}': the answer has {size:,} bytes; {caps.ANSWER_BYTES:,} are taken"]
        )
    return checked


def _audited(asked: AskedQuestion, answer: Answer) -> str:
    """What the audit log says of an answer: of an approval what was decided, and of no other what it was."""
    said: dict[str, Json] = {"step": asked.instance, "number": asked.number, "by": answer.by}
    if asked.question.kind is QuestionKind.APPROVAL and isinstance(answer.value, dict):
        action = answer.value.get("action")
        said |= {"action": action, "approved": asked.question.approves(action)}
    return json.dumps(said)


def _refusal(answered: Answered) -> str:
    """Why an answer was not recorded."""
    match answered.verdict:
        case "before" if answered.before is not None:
            by = answered.before.by or "nobody in particular"
            return f"it was answered before, by {by} at {time_of_day(answered.before.at_ms)}; the first answer counts"
        case "expired":
            return f"nobody answered by its deadline, {time_of_day(answered.deadline_ms)}"
        case "ended":
            return "it has ended, or its run takes no more steps"
        case _:
            return "it asks something else by now; `orchestrator questions` shows what"
