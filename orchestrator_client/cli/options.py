"""Options that several commands share, and the client that they lead to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator_client.cli.inputs import texts_of
from orchestrator_client.cli.show.text import printable
from orchestrator_client.contract.environment import redis_url

if TYPE_CHECKING:
    from orchestrator_client.client import Client
    from orchestrator_client.contract.run import RunState

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

_ID = r"[0-9]{1,19}(-[0-9]{1,19})?"
"""Of an entry in a stream."""

URL_HINT = "--redis or ORCHESTRATOR_REDIS_URL"

redis_option = click.option("--redis", "url", metavar="URL", help="The fleet's Redis; default: ORCHESTRATOR_REDIS_URL.")
json_option = click.option(
    "-o", "--output", "output", type=click.Choice(["json"]), help="Write JSON, for other programs to read."
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for other programs to read.")
plan_argument = click.argument("file", metavar="PLAN.yaml", type=click.Path(path_type=Path))
run_argument = click.argument("run_id", metavar="RUN")

_INPUTS = (
    click.option("-i", "--input", "pairs", metavar="KEY=VALUE", multiple=True, help="An input: JSON, else text."),
    click.option(
        "-c",
        "--context",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A JSON file of inputs; -i goes before it.",
    ),
)


def as_answers(_context: click.Context, _parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    """Step -> the answer to its question, as text; of which type, the question says when it is asked.

    Raises:
        click.BadParameter: a pair has no `=`.
    """
    return texts_of(pairs, "step=value")


_SUBMISSION = (
    *_INPUTS,
    click.option(
        "--answer",
        "answers",
        metavar="STEP=VALUE",
        multiple=True,
        callback=as_answers,
        help="The answer to what a step will ask; may be repeated.",
    ),
    click.option("--answer-defaults", is_flag=True, help="Answer what has a default with it, and ask nobody."),
    click.option("--idempotency-key", metavar="KEY", help="Submitting again with the same key gives the same run."),
    click.option("--tag", "tags", metavar="TAG", multiple=True, help="A word to find the run by; may be repeated."),
    click.option("--tenant", metavar="NAME", default="", help="On whose account: fair shares and budgets go by it."),
    click.option("--budget", "budget_usd", metavar="USD", help="What its models may cost, such as 0.50."),
    click.option(
        "--on-breach",
        type=click.Choice(["fail", "pause", "cheaper"]),
        default="fail",
        show_default=True,
        help="What a call meets that the budget does not pay for.",
    ),
    click.option(
        "--allow-tool",
        "allow_tools",
        metavar="PATTERN",
        multiple=True,
        callback=lambda _context, _parameter, patterns: patterns or None,
        help="Of the tools that the file allows, allow such alone; may be repeated.",
    ),
    click.option("--webhook", metavar="URL", help="Where a worker tells that the run has ended."),
    click.option("--webhook-secret", metavar="secret://NAME", default="", help="The workers' secret that signs it."),
    click.option("--webhook-values", is_flag=True, help="Tell the run's outputs, too."),
)


def submission_options(command: Command) -> Command:
    """The options of a command that submits a run."""
    for option in reversed(_SUBMISSION):
        command = option(command)
    return command


def input_options(command: Command) -> Command:
    """The options of a command that takes a run's inputs."""
    for option in reversed(_INPUTS):
        command = option(command)
    return command


def tokens_options(command: Command) -> Command:
    """The options of a command that shows text as models write it."""
    tokens = click.option("--tokens", is_flag=True, help="Show the text of model steps as it comes, and nothing else.")
    lines = click.option("--json", "as_json", is_flag=True, help="With --tokens: one JSON object a line.")
    return tokens(lines(command))


def as_state(_context: click.Context, _parameter: click.Parameter, word: str | None) -> RunState | None:
    """The state that a word names; the names are read from the contract, and only when somebody gives one.

    Raises:
        click.BadParameter: there is no such state.
    """
    from orchestrator_client.contract.run import RunState

    if word is None:
        return None
    if word not in tuple(RunState):
        raise click.BadParameter(f"'{printable(word)}' is none of {', '.join(RunState)}")
    return RunState(word)


def check_event_id(_context: click.Context, _parameter: click.Parameter, event_id: str | None) -> str | None:
    """Refuse what is neither the id of an event, as `watch -o json` prints it, nor a cursor, as `watch --tokens` does.

    Raises:
        click.BadParameter: it is not.
    """
    if event_id is not None and not re.fullmatch(rf"{_ID}(/{_ID})?", event_id):
        raise click.BadParameter(f"'{printable(event_id)}' is no event's id; one looks like 1700000000000-0")
    return event_id


def client_of(url: str | None) -> Client:
    """A client of the fleet that `--redis`, the environment or the default names.

    Raises:
        click.BadParameter: that is no URL of a Redis.
    """
    from orchestrator_client.client import Client

    try:
        return Client(url)
    except ValueError as error:
        raise click.BadParameter(
            "not the URL of a Redis; it looks like redis://host:6379/0 or unix:///path?db=0", param_hint=URL_HINT
        ) from error


def named_fleet(url: str | None) -> str | None:
    """The URL of the fleet that was named, by option or environment; None if none was."""
    return url or redis_url() or None
