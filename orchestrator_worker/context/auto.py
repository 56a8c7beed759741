"""Values that a plan leaves to a model: `<AUTO attributes>question</AUTO>`, answered when the step starts. Pure.

An answer is the value of a step of its own, `step#0.1`, so that it is asked once, recorded, and never asked again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import InputType, Json, Step, coerce

TURN = 0
"""Of the steps that answer: before the first of a conversation."""

_TAG = re.compile(r"<AUTO\b([^>]*)>(.*?)</AUTO>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_LINE = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*(.+?)\s*$", re.MULTILINE)

_WHOLE = frozenset({"max_tokens", "max_results", "timeout", "max_parallel", "max_iterations", "top_k", "seed", "count"})
_REAL = frozenset({"temperature", "top_p", "threshold"})
"""Parameters that are numbers wherever they stand."""


@dataclass(frozen=True, slots=True)
class AutoTag:
    """One value to be asked for."""

    source: str
    """As the plan has it."""
    question: str
    """May hold templates."""
    attributes: Mapping[str, str]
    wanted: InputType
    """What the answer must be: as the tag says, else as its place does."""

    def stands_in(self, value: Json) -> bool:
        """Whether the value is this tag, and nothing else."""
        return isinstance(value, str) and value.strip() == self.source

    def prompt(self, question: str) -> str:
        """What the model is asked; `question` is rendered."""
        return f"{question.strip()}\n\nAnswer with {self._form()}, and nothing else."

    def _form(self) -> str:
        if choices := self.choices:
            return f"one of these words: {', '.join(choices)}"
        low, high = self.attributes.get("min"), self.attributes.get("max")
        bounds = f" from {low or 'minus infinity'} to {high or 'infinity'}" if low or high else ""
        return {
            InputType.INTEGER: f"a whole number{bounds}",
            InputType.NUMBER: f"a number{bounds}",
            InputType.BOOLEAN: "true or false",
            InputType.ARRAY: "a JSON list",
            InputType.OBJECT: "a JSON object",
        }.get(self.wanted, "the value itself, as plain text")

    @property
    def choices(self) -> list[str]:
        written = self.attributes.get("choices", "").strip("[]").split(",")
        return [choice.strip() for choice in written if choice.strip()]

    def value(self, answer: str) -> Json:
        """The answer as the value that the place wants.

        Raises:
            ParametersInvalid: it is no such value.
        """
        text = answer.strip().strip("`\"' ")
        try:
            return self._value(text)
        except ValueError:
            raise ParametersInvalid(
                f"a model was asked for {self._form()} and answered {answer[:80]!r}; say more exactly what is wanted in"
                f" {self.source[:60]!r}"
            ) from None

    def _value(self, text: str) -> Json:
        if choices := self.choices:
            return _chosen(choices, text)
        if self.wanted in (InputType.INTEGER, InputType.NUMBER):
            return self._bounded(text)
        if self.wanted is InputType.ARRAY:
            return _list(text)
        return text if self.wanted in (InputType.ANY, InputType.STRING) else coerce(text, self.wanted)

    def _bounded(self, text: str) -> Json:
        found = _NUMBER.search(text.replace(",", ""))
        number = coerce(found[0] if found else text, self.wanted)
        low, high = self.attributes.get("min"), self.attributes.get("max")
        number = number if low is None else max(number, coerce(low, self.wanted))
        return number if high is None else min(number, coerce(high, self.wanted))


def _chosen(choices: list[str], text: str) -> str:
    for choice in choices:
        if choice.lower() in text.lower():
            return choice
    raise ValueError(text)


def _list(text: str) -> Json:
    """A JSON list, a list in a code fence or with bullets, or what commas part."""
    start, end = text.find("["), text.rfind("]")
    if 0 <= start < end:
        try:
            return coerce(text[start : end + 1], InputType.ARRAY)
        except ValueError:
            pass
    lines = _LINE.findall(text)
    return lines or [part.strip() for part in text.split(",") if part.strip()]


def tags_of(step: Step) -> tuple[AutoTag, ...]:
    """The values that a step leaves to a model, each once."""
    tags = {tag.source: tag for key, value in step.parameters.items() for tag in _tags(value, key)}
    tags |= {tag.source: tag for tag in _tags(step.condition, "condition", InputType.BOOLEAN)}
    if step.loop is not None:
        tags |= {tag.source: tag for tag in _tags(step.loop.items, "items", InputType.ARRAY)}
    return tuple(tags.values())


def _tags(value: Json, key: str, place: InputType = InputType.ANY) -> Iterator[AutoTag]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _tags(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _tags(item, key)
    elif isinstance(value, str):
        for found in _TAG.finditer(value):
            attributes = {name: a or b or c for name, a, b, c in _ATTRIBUTE.findall(found[1])}
            alone = found[0] == value.strip()
            yield AutoTag(found[0], found[2], attributes, _wanted(attributes, key if alone else "", place))


_NAMES = {"int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object", "str": "string"}


def _wanted(attributes: Mapping[str, str], key: str, place: InputType) -> InputType:
    stated = _NAMES.get(attributes.get("type", ""), attributes.get("type", ""))
    if stated in list(InputType):
        return InputType(stated)
    if key in _WHOLE:
        return InputType.INTEGER
    return InputType.NUMBER if key in _REAL else place


def protected(value: Json, tags: Sequence[AutoTag]) -> Json:
    """The value with a mark in the place of every tag, which rendering passes by."""
    if isinstance(value, dict):
        return {name: protected(item, tags) for name, item in value.items()}
    if isinstance(value, list):
        return [protected(item, tags) for item in value]
    if isinstance(value, str):
        for number, tag in enumerate(tags):
            value = value.replace(tag.source, _mark(number))
    return value


def answered(value: Json, answers: Sequence[Json]) -> Json:
    """The rendered value with the answers in the places of their marks: the value itself where the mark stands alone,
    its text within a text. What a model wrote is never rendered."""
    if isinstance(value, dict):
        return {name: answered(item, answers) for name, item in value.items()}
    if isinstance(value, list):
        return [answered(item, answers) for item in value]
    if not isinstance(value, str) or _MARK not in value:
        return value
    for number, answer in enumerate(answers):
        if value.strip() == _mark(number):
            return answer
        value = value.replace(_mark(number), answer if isinstance(answer, str) else json.dumps(answer))
    return value


_MARK = "\N{SYMBOL FOR SUBSTITUTE}auto"


def _mark(number: int) -> str:
    return f"{_MARK}{number}\N{SYMBOL FOR SUBSTITUTE}"
