"""A run that asks, and a person at the terminal who follows it: ask the person, or say how to answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.inputs import value_of
from orchestrator_client.cli.questions import described, how_to_answer
from orchestrator_client.cli.show.text import printable, printable_lines, shown
from orchestrator_client.contract.errors import InputsInvalid, NoQuestion

if TYPE_CHECKING:
    from orchestrator_client.cli.show.display import Display
    from orchestrator_client.client import Run
    from orchestrator_client.contract.event import Event
    from orchestrator_client.contract.question import AnswerField, AskedQuestion


class Asking:
    """Puts the questions of one run to whoever is there. `hear` is told of every event."""

    def __init__(self, run: Run, url: str = "") -> None:
        """`url`: of a fleet that a command would not find by itself."""
        self._run, self._url = run, url

    def hear(self, event: Event, display: Display) -> None:
        """If the event says that a question was asked which still stands, ask it."""
        if event.kind != "question_asked":
            return
        for asked in self._run.questions():
            if asked.instance == event.instance:
                with display.paused():
                    self._ask(asked)

    def _ask(self, asked: AskedQuestion) -> None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            click.echo("\n".join([*described(asked)[:-1], self._how(asked)]), err=True)
            return
        try:
            self._answer(asked)
        except NoQuestion as error:
            click.echo(printable(error.reason), err=True)
        except EOFError:
            click.echo(f"\nleft open; {self._how(asked).strip()}", err=True)

    def _how(self, asked: AskedQuestion) -> str:
        return f"  answer with: {how_to_answer(asked)}{f' --redis {self._url}' if self._url else ''}"

    def _answer(self, asked: AskedQuestion) -> None:
        """Ask until an answer fits. The fleet has the last word: somebody else may have been quicker."""
        question = asked.question
        heading = question.title if question.title != question.prompt else ""
        click.echo(printable_lines("\n".join(filter(None, (heading, question.prompt)))), err=True)
        while True:
            try:
                self._run.answer(asked.instance, _given(asked))
                return
            except InputsInvalid as error:
                click.echo(printable_lines(str(error)), err=True)


def _given(asked: AskedQuestion) -> Any:
    """What the person says: one value, or the fields of a form one after the other."""
    question = asked.question
    if question.value is not None:
        default = question.default if question.has_default else None
        return _value(asked.instance, question.value.model_copy(update={"default": default}))
    form = {name: _value(field.description or name, field) for name, field in question.fields.items()}
    return {name: value for name, value in form.items() if value is not None}


def _value(label: str, field: AnswerField) -> Any:
    """One value; None for one that may be left out and was."""
    choices = f" [{', '.join(shown(choice) for choice in field.choices)}]" if field.choices else ""
    default = "" if field.default is None else f" ({shown(field.default)})"
    while True:
        click.echo(f"{printable(label)}{choices}{default}: ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        text = line.strip()
        if not text and (field.default is not None or not field.required):
            return field.default
        try:
            return field.checked(value_of(text, None) if field.type == "any" else text)
        except ValueError as error:
            click.echo(printable(str(error)), err=True)
