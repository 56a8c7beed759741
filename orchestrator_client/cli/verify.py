"""The command verify: whether a run kept what is promised of every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator_client.cli.faults import ExitCode
from orchestrator_client.cli.options import as_json_option, client_of, redis_option, run_argument
from orchestrator_client.cli.show.text import json_text, one_line, plural

if TYPE_CHECKING:
    from orchestrator_client.soundness import Finding, Judgement


@click.command()
@run_argument
@as_json_option
@redis_option
def verify(run_id: str, as_json: bool, url: str | None) -> None:
    """Judge a run that has ended by its events: whether all that is promised of runs was kept.

    ✓ stands before a promise that was kept, ✗ before one that was broken, with what broke it, and – before one that
    could not be judged. The exit code is 0 if the history is sound, 1 if it is not.

    \b
    orchestrator verify $RUN
    orchestrator verify $RUN --json | jq '.findings[] | select(.broken > 0)'
    """
    with client_of(url) as client:
        judgement = client.verify(run_id)
    if as_json:
        click.echo(json_text({**judgement.model_dump(mode="json"), "sound": judgement.sound}))
    else:
        _show(judgement)
    if not judgement.sound:
        click.get_current_context().exit(ExitCode.RUN_FAILED)


def _show(judgement: Judgement) -> None:
    for finding in judgement.findings:
        click.echo(_line(finding))
        for problem in finding.problems:
            click.echo(f"    {one_line(problem)}")
        if (more := finding.broken - len(finding.problems)) > 0:
            click.echo(f"    and {more:,} more")
    broken = sum(not finding.kept for finding in judgement.findings)
    verdict = "sound" if judgement.sound else f"not sound: {plural(broken, 'promise')} broken"
    click.echo(f"run {one_line(judgement.run)}, {judgement.state}: its history is {verdict}")


def _line(finding: Finding) -> str:
    """`✓ joins: no step started before …, looked at 12 times`."""
    if not finding.judged:
        return f"– {finding.rule}: {finding.promise}; its first events are gone, so nobody can say"
    mark, looked = "✓" if finding.kept else "✗", plural(finding.looked_at, "fact")
    return f"{mark} {finding.rule}: {finding.promise} ({looked} looked at)"
