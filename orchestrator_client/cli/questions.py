"""Commands that answer what runs ask: approve, answer, questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.inputs import texts_of, value_of
from orchestrator_client.cli.options import as_json_option, client_of, redis_option, run_argument
from orchestrator_client.cli.show.text import json_text, one_line, printable, shown

if TYPE_CHECKING:
    from orchestrator_client.contract.question import AskedQuestion

step_argument = click.argument("step", metavar="STEP")
by_option = click.option("--by", metavar="NAME", default="", help="Who answers; default: the user of this process.")


@click.command()
@run_argument
@step_argument
@click.option("--reject", is_flag=True, help="Reject instead.")
@click.option("--comment", metavar="TEXT", default="", help="Why; kept with the answer.")
@by_option
@redis_option
def approve(run_id: str, step: str, reject: bool, comment: str, by: str, url: str | None) -> None:
    """Approve what a step waits for, or reject it.

    The first answer counts; whoever comes second is told who was first, and when.

    \b
    orchestrator approve $RUN release --comment "numbers checked"
    orchestrator approve $RUN release --reject --comment "two tests fail"
    """
    with client_of(url) as client:
        asked = client.run(run_id).approve(step, approved=not reject, comment=comment, by=by)
    _confirm(asked)


@click.command()
@run_argument
@step_argument
@click.argument("value", metavar="VALUE", required=False)
@click.option("-i", "--input", "pairs", metavar="FIELD=VALUE", multiple=True, help="A field of a form.")
@by_option
@redis_option
def answer(run_id: str, step: str, value: str | None, pairs: tuple[str, ...], by: str, url: str | None) -> None:
    """Answer what a step asks: with a value, or with the fields of a form.

    An answer of the wrong type is refused, and the question stands. `questions` shows what is asked.

    \b
    orchestrator answer $RUN format csv
    orchestrator answer $RUN feedback -i quality=5 -i comment="well done"
    """
    if (value is None) == (not pairs):
        raise click.UsageError("give either a VALUE, or -i FIELD=VALUE for each field of a form")
    with client_of(url) as client:
        run = client.run(run_id)
        given = (
            texts_of(pairs, "field=value", "-i")
            if pairs
            else _typed(str(value), next(_of_step(run.questions(), step), None))
        )
        asked = run.answer(step, given, by)
    _confirm(asked)


@click.command()
@click.argument("run_id", metavar="RUN", required=False)
@as_json_option
@redis_option
def questions(run_id: str | None, as_json: bool, url: str | None) -> None:
    """List what waits for a person, oldest first: of one run, or of all that are open.

    \b
    orchestrator questions
    orchestrator questions $RUN --json
    """
    with client_of(url) as client:
        found = client.run(run_id).questions() if run_id else client.questions()
    if as_json:
        click.echo(json_text([asked.model_dump(mode="json") for asked in found]))
        return
    if not found:
        click.echo("nobody is asked anything", err=True)
    for asked in found:
        click.echo("\n".join(described(asked)))


def described(asked: AskedQuestion) -> list[str]:
    """A question for a person: what is asked and by when, what fits, and how to answer."""
    from orchestrator_client.story import time_of_day

    question = asked.question
    until = f", until {time_of_day(asked.deadline_ms)}" if asked.deadline_ms else ""
    lines = [f"{printable(asked.run)} {printable(asked.instance)} asks since {time_of_day(asked.asked_ms)}{until}:"]
    lines += [f"  {one_line(question.title)}"] if question.title and question.title != question.prompt else []
    lines += [f"  {printable(line)}" for line in question.prompt.splitlines()]
    fields = {"": question.value} if question.value else question.fields
    for name, field in fields.items():
        choices = f": {', '.join(shown(choice) for choice in field.choices)}" if field.choices else ""
        about = f"  {one_line(field.description)}" if field.description else ""
        lines.append(f"    {printable(name)} ({field.type}{'' if field.required else ', optional'}{choices}){about}")
    if question.has_default:
        lines.append(f"    default: {shown(question.default)}")
    return [*lines, f"  answer with: {how_to_answer(asked)}"]


def how_to_answer(asked: AskedQuestion) -> str:
    """The command that answers a question."""
    from orchestrator_client.contract.question import QuestionKind

    place = f"{printable(asked.run)} '{printable(asked.instance)}'"
    if asked.question.kind is QuestionKind.APPROVAL:
        return f"orchestrator approve {place} [--reject] [--comment TEXT]"
    fields = " ".join(f"-i {printable(name)}=…" for name in asked.question.fields)
    return f"orchestrator answer {place} {fields or 'VALUE'}"


def _of_step(found: list[AskedQuestion], step: str) -> Any:
    return (asked for asked in found if asked.instance == step)


def _typed(text: str, asked: AskedQuestion | None) -> Any:
    """The value that `text` spells; of which type, the question says, if it says anything."""
    field = asked.question.value if asked else None
    return value_of(text, None) if field is not None and field.type == "any" else text


def _confirm(asked: AskedQuestion) -> None:
    """Say what was recorded."""
    if asked.answer is not None:
        click.echo(f"{printable(asked.instance)}: {shown(asked.answer.value)}, by {printable(asked.answer.by)}")
