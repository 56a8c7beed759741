"""Commands about messages that no worker could take: dead list, show, requeue, drop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator_client.cli.options import as_json_option, client_of, redis_option
from orchestrator_client.cli.show.text import json_text, moment, one_line, printable_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from orchestrator_client.client import Client
    from orchestrator_client.contract.dead import DeadLetter

REASON_CHARACTERS = 160

ids = click.argument("letters", metavar="[ID]...", nargs=-1)
all_option = click.option("--all", "of_all", is_flag=True, help="All of them.")


@click.group()
def dead() -> None:
    """Messages that no worker could take: who wrote them is unknown, or what they say makes no sense.

    A step whose message ended here is sent again by the fleet itself, if it is still open.
    """


@dead.command("list")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many, the newest."
)
@as_json_option
@redis_option
def list_letters(limit: int, as_json: bool, url: str | None) -> None:
    """List them, oldest first, with the reason."""
    with client_of(url) as client:
        letters = client.dead_letters(limit)[::-1]
    if as_json:
        click.echo(json_text([letter.as_dict() for letter in letters]))
    elif not letters:
        click.echo("there are no dead letters", err=True)
    else:
        from orchestrator_client.cli.show.rendering import console, print_whole

        print_whole(console(), table_of(letters))


@dead.command()
@click.argument("letter", metavar="ID")
@as_json_option
@redis_option
def show(letter: str, as_json: bool, url: str | None) -> None:
    """Show one, with its message if that was short enough to be kept."""
    with client_of(url) as client:
        found = client.dead_letter(letter)
    if as_json:
        click.echo(json_text(found.as_dict()))
        return
    for name in ("id", "queue", "reason", "worker", "size_bytes"):
        click.echo(printable_lines(f"{name}: {getattr(found, name)}"))
    click.echo(f"when: {moment(found.at_ms)} UTC")
    click.echo(printable_lines(found.excerpt + " …" if found.message is None else found.message))


@dead.command()
@ids
@all_option
@redis_option
def requeue(letters: tuple[str, ...], of_all: bool, url: str | None) -> None:
    """Put them back into their queues, for workers that can take them now: of a newer release, or with another key."""
    with client_of(url) as client:
        _each(client, letters, of_all, client.requeue_dead_letter, "requeued")


@dead.command()
@ids
@all_option
@redis_option
def drop(letters: tuple[str, ...], of_all: bool, url: str | None) -> None:
    """Throw them away."""
    with client_of(url) as client:
        _each(client, letters, of_all, client.drop_dead_letter, "dropped")


def _each(client: Client, letters: tuple[str, ...], of_all: bool, act: Callable[[str], None], done: str) -> None:
    """Do it to each, and say so."""
    from orchestrator_client.contract.dead import KEPT

    if bool(letters) == of_all:
        raise click.UsageError("name letters by their ids, or say --all")
    chosen = letters or tuple(letter.id for letter in client.dead_letters(KEPT)[::-1])
    for letter in chosen:
        act(letter)
        click.echo(f"{done} {letter}")


def table_of(letters: list[DeadLetter]) -> Table:
    """Letters, a line each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("ID", "WHEN", "QUEUE", "BYTES", "REASON"):
        table.add_column(heading, no_wrap=True)
    for letter in letters:
        cells = (letter.id, moment(letter.at_ms), letter.queue, str(letter.size_bytes), letter.reason)
        table.add_row(*(Text(one_line(cell, REASON_CHARACTERS)) for cell in cells))
    return table
