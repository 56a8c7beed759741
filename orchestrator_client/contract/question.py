"""Questions that a step puts to a person, and their answers. A step that asks waits in Redis and holds no worker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Self

from pydantic import Field

from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.inputs import InputType, coerce
from orchestrator_client.contract.record import Json, Record

APPROVING = frozenset(
    {"approve", "approved", "accept", "accepted", "yes", "ok", "true", "continue", "proceed", "modify"}
)
"""Options of an approval that let the run go on; where none is among them, the first option does."""


class QuestionKind(StrEnum):
    """What is asked for."""

    INPUT = "input"
    """One value."""
    APPROVAL = "approval"
    """Whether to go on: `action`, one of the options, and perhaps a comment."""
    FEEDBACK = "feedback"
    """A form."""
    ELICITATION = "elicitation"
    """A form of an MCP server."""
    INTERRUPT = "interrupt"
    """A value for a node of a graph that stopped to ask for it."""


class AnswerField(Record):
    """One value that an answer has, or is."""

    type: InputType = InputType.ANY
    default: Json = None
    required: bool = False
    required_unless: str = ""
    """Another field: this one is required where that one lets nothing go on."""
    choices: tuple[Json, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str = ""
    """Regular expression that a text must match from its beginning."""
    description: str = ""

    def checked(self, given: Json) -> Json:
        """The value as the declared type.

        Raises:
            ValueError: it does not fit; the message says what would.
        """
        try:
            value = coerce(given, self.type)
        except ValueError:
            raise ValueError(f"expected {self.type}, found {shown(given)}") from None
        if self.choices is not None and value not in self.choices:
            raise ValueError(f"{shown(given)} is none of {', '.join(map(shown, self.choices))}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                raise ValueError(f"{shown(value)} is less than {self.minimum:g}")
            if self.maximum is not None and value > self.maximum:
                raise ValueError(f"{shown(value)} is more than {self.maximum:g}")
        if self.pattern and isinstance(value, str) and not re.match(self.pattern, value):
            raise ValueError(f"{shown(value)} does not match {self.pattern}")
        return value


class Question(Record):
    """What a step asks. An answer is one value (`value` says of which type), or a form (`fields`)."""

    kind: QuestionKind
    prompt: str
    """Text, whatever is in it: nothing of it is rendered, and nothing of it is obeyed."""
    title: str = ""
    payload: Json = None
    """Of an interrupt: what the node gave for whoever answers; `prompt` is its text."""
    value: AnswerField | None = None
    fields: dict[str, AnswerField] = Field(default_factory=dict)
    default: Json = None
    """What counts as the answer when nobody has answered by the deadline."""
    has_default: bool = False
    timeout_seconds: float | None = None
    """None: it waits for as long as the run is open."""
    answerers: tuple[str, ...] = ()
    """Who may answer; empty for anybody. As good as the names that callers give: it keeps honest people apart."""

    def checked(self, given: Json) -> Json:
        """The answer as it is recorded: coerced, and a form complete with its defaults.

        Raises:
            InputsInvalid: it does not fit; every reason is named.
        """
        if self.kind is QuestionKind.APPROVAL:
            given = self._as_action(given)
        if not self.fields:
            try:
                return (self.value or AnswerField()).checked(given)
            except ValueError as error:
                raise InputsInvalid([str(error)]) from None
        form = given if isinstance(given, dict) else {self._first: given}
        if isinstance(given, str) and given.lstrip().startswith("{"):
            form = coerce_form(given)
        answer, problems = self._filled(form)
        if problems:
            raise InputsInvalid(problems)
        return answer

    def decision(self, approved: bool, comment: str = "") -> Json:
        """The answer to an approval that says so.

        Raises:
            InputsInvalid: it is no approval, or none of its options means that.
        """
        if self.kind is not QuestionKind.APPROVAL:
            raise InputsInvalid([f"it asks for {self.kind}, not for an approval; use `orchestrator answer`"])
        action = next((str(option) for option in self.options if self.approves(option) is approved), None)
        if action is None:
            meant = "approving" if approved else "rejecting"
            raise InputsInvalid(
                [f"none of {', '.join(map(shown, self.options))} means {meant}; answer with one of them"]
            )
        return {"action": action} | ({"comment": comment} if comment else {})

    def announcement(self, number: int) -> dict[str, Json]:
        """What the event says that tells of it; the whole question is with the run."""
        told = {"number": number, "kind": str(self.kind), "title": self.title, "prompt": self.prompt[:500]}
        if self.timeout_seconds is not None:
            told["delay_ms"] = round(self.timeout_seconds * 1000)
        return told

    @property
    def options(self) -> tuple[Json, ...]:
        """Of an approval: the words that it can be answered with."""
        action = self.fields.get("action")
        return action.choices or () if action else ()

    def approves(self, action: Json) -> bool:
        """Whether an option of an approval lets the run go on."""
        approving = [option for option in self.options if str(option).lower() in APPROVING] or self.options[:1]
        return action in approving

    def _as_action(self, given: Json) -> Json:
        """An approval that was given as yes or no, as one of the options."""
        form: dict[str, Any] = dict(given) if isinstance(given, dict) else {"approved": given}
        if "approved" not in form:
            return form
        approved = form.pop("approved")
        if approved in self.options:
            return {"action": approved, **form}
        try:
            decided = coerce(approved, InputType.BOOLEAN)
        except ValueError:
            return {"action": approved, **form}
        return {**form, **self.decision(bool(decided))} if "action" not in form else form

    @property
    def _first(self) -> str:
        """The field that a bare value stands for: the first that is required, or else the first."""
        return next((name for name, field in self.fields.items() if field.required), next(iter(self.fields)))

    def _filled(self, form: Mapping[str, Json]) -> tuple[dict[str, Json], list[str]]:
        """The fields of an answer, and what is wrong with it."""
        answer: dict[str, Json] = {}
        problems = [f"no field '{name}'; it has {', '.join(self.fields)}" for name in form if name not in self.fields]
        for name, field in self.fields.items():
            if form.get(name) is not None:
                try:
                    answer[name] = field.checked(form[name])
                except ValueError as error:
                    problems.append(f"'{name}': {error}")
            elif field.default is not None:
                answer[name] = field.default
            elif field.required or (field.required_unless and not self.approves(form.get(field.required_unless))):
                problems.append(f"'{name}' ({field.type}) is required")
        return answer, problems


def coerce_form(text: str) -> Json:
    """A form that was written as JSON.

    Raises:
        InputsInvalid: it is none.
    """
    try:
        return coerce(text, InputType.OBJECT)
    except ValueError:
        raise InputsInvalid([f"expected the fields of a form as JSON, found {shown(text)}"]) from None


class Answer(Record):
    """The answer to one question. Times are milliseconds since 1970, by Redis's clock."""

    value: Json = None
    by: str = ""
    """Who gave it, as the caller said; empty for a default."""
    at_ms: int = 0
    defaulted: bool = False
    """Nobody answered in time, or the run was told to take defaults."""
    token: str = ""
    """Tells a call that is repeated from one that came second."""

    @classmethod
    def from_stored(cls, stored: str) -> tuple[int, Self]:
        """The question's number, and the answer, from the store's form: number, `at ms`, JSON."""
        number, at_ms, text = stored.split(" ", 2)
        answer = cls.model_validate_json(text)
        return int(number), answer.model_copy(update={"at_ms": int(at_ms)})


class AskedQuestion(Record):
    """A question as it stands in a run."""

    run: str
    instance: str
    number: int
    """Counts the questions of one instance from 1."""
    asked_ms: int
    deadline_ms: int | None = None
    question: Question
    answer: Answer | None = None

    @classmethod
    def from_stored(cls, run: str, instance: str, stored: str, answered: str | None) -> Self:
        """From the store's forms: number, `asked ms`, `deadline ms` (0: none), JSON; and that of its answer."""
        number, asked, deadline, text = stored.split(" ", 3)
        given = Answer.from_stored(answered) if answered else None
        return cls(
            run=run,
            instance=instance,
            number=int(number),
            asked_ms=int(asked),
            deadline_ms=int(deadline) or None,
            question=Question.model_validate_json(text),
            answer=given[1] if given and given[0] == int(number) else None,
        )

    def expired(self, now_ms: int) -> bool:
        """Whether no answer can come any more."""
        return self.deadline_ms is not None and now_ms >= self.deadline_ms


class GivenAnswers(Record):
    """What a run was told when it was submitted, so that it need not ask."""

    values: dict[str, Json] = Field(default_factory=dict)
    """Step or instance -> answer to its first question; with `#2` behind it, to its second."""
    defaults: bool = False
    """Questions that have a default are answered with it."""

    def to(self, instance: str, number: int) -> tuple[bool, Json]:
        """Whether there is an answer to this question, and which."""
        step = re.sub(r"[\[#].*$", "", instance.rpartition(".")[2])
        for name in (instance, step):
            key = name if number == 1 else f"{name}#{number}"
            if key in self.values:
                return True, self.values[key]
        return False, None


NOTHING_TOLD = GivenAnswers()


def shown(value: Json) -> str:
    """A value for a message, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
