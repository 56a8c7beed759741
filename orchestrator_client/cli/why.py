"""The command why: what a run waits for."""

from __future__ import annotations

import click

from orchestrator_client.cli.options import as_json_option, client_of, redis_option, run_argument
from orchestrator_client.cli.show.text import json_text, one_line


@click.command()
@run_argument
@click.argument("step", required=False)
@as_json_option
@redis_option
def why(run_id: str, step: str | None, as_json: bool, url: str | None) -> None:
    """Say what each step that has not ended waits for, and what would help; of what has ended, how it did.

    \b
    orchestrator why $RUN
    orchestrator why $RUN summary --json
    """
    with client_of(url) as client:
        found = client.run(run_id).why(step)
    if as_json:
        click.echo(json_text([each.model_dump(mode="json") for each in found]))
        return
    for each in found:
        click.echo(f"{one_line(each.instance or run_id)} ({each.state}) {one_line(each.because)}")
        if each.help:
            click.echo(f"  what helps: {one_line(each.help)}")
