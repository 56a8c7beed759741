"""The command that shows who has done what: audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator_client.cli.options import as_json_option, client_of, redis_option
from orchestrator_client.cli.show.text import json_text, moment, one_line

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator_client.contract.audit import AuditEntry

DATA_CHARACTERS = 200


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--act", metavar="ACT", help="Only such: submit, cancel, answer, set, budget, limits and others.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many, the newest."
)
@as_json_option
@redis_option
def audit(run_id: str | None, act: str | None, limit: int, as_json: bool, url: str | None) -> None:
    """Show who has done what, and when: to one run, or to all of them and to budgets and limits. Oldest first.

    WHO is what ORCHESTRATOR_ACTOR said where it was done, else user@host. Entries stay for 400 days, a run or not.

    \b
    orchestrator audit $RUN
    orchestrator audit --act cancel --json | jq -r '.[].who'
    """
    with client_of(url) as client:
        entries = client.audit(run_id, act=act, limit=limit)[::-1]
    if as_json:
        click.echo(json_text([entry.as_dict() for entry in entries]))
        return
    if not entries:
        click.echo("nothing of the kind is written down", err=True)
        return
    from orchestrator_client.cli.show.rendering import console, print_whole

    print_whole(console(), table_of(entries))


def table_of(entries: list[AuditEntry]) -> Table:
    """Acts, a line each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("WHEN", "WHO", "ACT", "RUN", "WHAT"):
        table.add_column(heading, no_wrap=True)
    for entry in entries:
        said = ", ".join(f"{name}: {value}" for name, value in entry.data.items())
        cells = (moment(entry.at_ms), entry.who, entry.act, entry.run, said)
        table.add_row(*(Text(one_line(cell, DATA_CHARACTERS)) for cell in cells))
    return table
