"""What a server asks in the middle of a call: of a model, and of a person, whose answer may take days."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from orchestrator_client.contract.inputs import InputType
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.question import AnswerField, Question, QuestionKind
from orchestrator_worker.tools.base import ToolContext

_TYPES: Mapping[str, InputType] = {
    "string": InputType.STRING,
    "number": InputType.NUMBER,
    "integer": InputType.INTEGER,
    "boolean": InputType.BOOLEAN,
    "array": InputType.ARRAY,
}
"""Types that a server's form may have."""


class Asking:
    """What one call answers. A question that has no answer yet ends the call, which is made again when it has one."""

    def __init__(self, context: ToolContext) -> None:
        self.complete = context.complete
        self.question: Question | None = None
        """What a person must answer first."""
        self.stuck = asyncio.Event()
        """There is such a question."""
        self._answers, self._timeout_seconds = iter(context.answers), context.timeout_seconds

    async def answer(self, message: str, schema: Mapping[str, Any] | None, url: str = "") -> Json:
        """The answer to the next question, if an attempt before has asked it; else never, for the call is cancelled."""
        for answer in self._answers:
            return answer.value
        self.question = self.question or question_of(message, schema, url, self._timeout_seconds)
        self.stuck.set()
        await asyncio.Future()
        return None


class Unanswered(Exception):
    """The call was ended because a person must answer first."""

    def __init__(self, question: Question, again: bool) -> None:
        super().__init__(question.prompt)
        self.question, self.again = question, again
        """`again`: the protocol has it that the call is made again with the answer, having done nothing yet."""


def question_of(message: str, schema: Mapping[str, Any] | None, url: str, timeout_seconds: float | None) -> Question:
    """A server's form, or the address that it sends a person to, as a question of ours."""
    if schema is None:
        done = AnswerField(type=InputType.BOOLEAN, description="whether it was done")
        prompt = f"{message}\n{url}"
        return Question(kind=QuestionKind.ELICITATION, prompt=prompt, value=done, timeout_seconds=timeout_seconds)
    required = set(schema.get("required") or ())
    fields = {name: _field(said, name in required) for name, said in (schema.get("properties") or {}).items()}
    return Question(kind=QuestionKind.ELICITATION, prompt=message, fields=fields, timeout_seconds=timeout_seconds)


def _field(said: Mapping[str, Any], required: bool) -> AnswerField:
    choices = said.get("enum") or [choice["const"] for choice in said.get("oneOf") or () if "const" in choice]
    return AnswerField(
        type=_TYPES.get(str(said.get("type")), InputType.ANY),
        default=said.get("default"),
        required=required,
        choices=tuple(choices) or None,
        minimum=said.get("minimum"),
        maximum=said.get("maximum"),
        description=str(said.get("description") or said.get("title") or ""),
    )
