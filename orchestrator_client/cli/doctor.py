"""The command doctor: whether a fleet is well."""

from __future__ import annotations

import click

from orchestrator_client.cli.options import as_json_option, client_of, redis_option
from orchestrator_client.cli.show.text import json_text, one_line

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@as_json_option
@redis_option
def doctor(as_json: bool, url: str | None) -> None:
    """Look at a fleet: Redis, clocks, workers, queues, keys, MCP servers; say what is wrong, and what to do.

    Each line is ok, warn or fail. The exit code is 1 if any is fail. Keys are named, and never shown.

    \b
    orchestrator doctor
    orchestrator doctor --json | jq '.[] | select(.verdict != "ok")'
    """
    from orchestrator_client.doctor import Verdict

    with client_of(url) as client:
        findings = client.doctor()
    if as_json:
        click.echo(json_text([finding.model_dump(mode="json") for finding in findings]))
    else:
        for finding in findings:
            verdict = click.style(f"{finding.verdict:4}", COLOURS[finding.verdict])
            click.echo(f"{verdict}  {finding.check:13} {one_line(finding.says)}")
            if finding.do:
                click.echo(f"{'':20}{one_line(finding.do)}")
    if any(finding.verdict is Verdict.FAIL for finding in findings):
        click.get_current_context().exit(1)
