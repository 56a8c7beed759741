"""The command rm: remove runs that have ended."""

from __future__ import annotations

import click

from orchestrator_client.cli.faults import ExitCode, fault_of
from orchestrator_client.cli.options import as_json_option, client_of, redis_option
from orchestrator_client.cli.show.text import json_text, plural, printable
from orchestrator_client.contract.errors import InputsInvalid, RunNotFound

FORCE_SECONDS = 60.0
"""Waited for the end of a run that is cancelled to be removed."""


@click.command()
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Cancel a run that has not ended, and wait for its end, at most a minute.")
@as_json_option
@redis_option
def rm(run_ids: tuple[str, ...], force: bool, as_json: bool, url: str | None) -> None:
    """Remove runs that have ended: values, events, receipts, and the runs that their steps have started.

    Workers remove their folders within about a minute. What was spent stays in `cost` and in budgets, and who removed
    them in `audit`. Exit code 2 if one of the runs is not there or has not ended; the others are removed all the same.

    \b
    orchestrator rm $(orchestrator runs --state failed -o json | jq -r '.[].run')
    """
    told = []
    with client_of(url) as client:
        for run_id in run_ids:
            try:
                removed = client.run(run_id).remove(FORCE_SECONDS if force else None)
            except (RunNotFound, InputsInvalid) as error:
                fault_of(error).show()
                continue
            told.append({"run": run_id, "removed": removed})
            below = f", and {plural(len(removed) - 1, 'run')} below it" if len(removed) > 1 else ""
            if not as_json:
                click.echo(f"{printable(run_id)}: removed{below}")
    if as_json:
        click.echo(json_text(told))
    if len(told) < len(run_ids):
        click.get_current_context().exit(ExitCode.INVALID)
