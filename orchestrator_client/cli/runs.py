"""Commands about runs on a fleet: submit, show, result, cancel, runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.faults import ExitCode, fault_of
from orchestrator_client.cli.follow import exit_with, show_ending
from orchestrator_client.cli.options import (
    as_state,
    client_of,
    json_option,
    plan_argument,
    redis_option,
    run_argument,
    submission_options,
)
from orchestrator_client.cli.show.text import json_text, printable
from orchestrator_client.contract.errors import RunNotFound

if TYPE_CHECKING:
    from orchestrator_client.client import Client
    from orchestrator_client.contract.document import RunDocument
    from orchestrator_client.contract.progress import RunProgress


@click.command()
@plan_argument
@submission_options
@json_option
@redis_option
def submit(file: Path, output: str | None, url: str | None, **submission: Any) -> None:
    """Submit a pipeline to a fleet and print the run's id, without waiting.

    The id stands alone on stdout. A run that was submitted comes to its end, whatever dies meanwhile; with
    --idempotency-key the same command may be given again when nobody knows whether the first one got through.

    \b
    RUN=$(orchestrator submit report.yaml -i topic=rivers --idempotency-key monday)
    orchestrator watch $RUN
    """
    from orchestrator_client.cli.submission import prepare, say_keyless

    plan, inputs = prepare(file, submission.pop("context"), submission.pop("pairs"))
    with client_of(url) as client:
        say_keyless(client.keyless(plan))
        run_id = client.submit(plan, inputs, **submission).id
        unserved = client.unserved(plan)
    click.echo(json_text({"run": run_id}) if output else run_id)
    say_unserved(unserved)
    if not output and sys.stderr.isatty():
        click.echo(f"follow it with: orchestrator watch {run_id}", err=True)


@click.command()
@run_argument
@click.option("--values", is_flag=True, help="Show what each step left, too.")
@json_option
@redis_option
def show(run_id: str, values: bool, output: str | None, url: str | None) -> None:
    """Show a run as it is now: its state, its steps, what they left.

    The exit code says whether it could be shown, not how the run stands; `result` has the run's.
    """
    with client_of(url) as client:
        run = client.run(run_id)
        document, progress = run.document(values=values), run.progress()
        below = [] if output else list(_below(client, run_id))
        unserved = client.unserved(run.plan()) if document.completed_at is None else []
    if output:
        click.echo(json_text(_as_json(document, values)))
    else:
        _show(document, progress, values, below)
    say_unserved(unserved)


@click.command()
@run_argument
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=0), help="Wait no longer than this.")
@json_option
@redis_option
def result(run_id: str, timeout: float | None, output: str | None, url: str | None) -> None:
    """Wait for a run's end and print its result.

    The exit code is the run's: 0 if it succeeded, 1 if it failed or was cancelled; 124 if --timeout passed first.
    """
    with client_of(url) as client:
        document = client.run(run_id).result(timeout)
    if output:
        click.echo(json_text(_as_json(document, values=True)))
    else:
        show_ending(document, sys.stdout)
    exit_with(document)


@click.command()
@click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)
@redis_option
def cancel(run_ids: tuple[str, ...], url: str | None) -> None:
    """Ask for the end of runs: nothing of them starts any more, and what runs is stopped.

    Returns at once; `result` waits until they have ended. A run that has ended stays as it is.
    """
    with client_of(url) as client:
        found = [_cancel(client, run_id) for run_id in run_ids]
    if not all(found):
        click.get_current_context().exit(ExitCode.INVALID)


@click.command()
@click.option("--state", callback=as_state, help="Only runs in this state.")
@click.option("--pipeline", metavar="ID", help="Only runs of this pipeline.")
@click.option("--tag", metavar="TAG", help="Only runs with this tag.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@json_option
@redis_option
def runs(output: str | None, url: str | None, **wanted: Any) -> None:
    """List runs, newest first.

    Runs stay listed for a week after their submission.

    \b
    orchestrator runs --state failed --limit 10
    orchestrator runs --tag nightly -o json | jq -r '.[].run'
    """
    with client_of(url) as client:
        records = client.runs(**wanted)
    if output:
        click.echo(json_text([record.model_dump(mode="json") for record in records]))
        return
    from orchestrator_client.cli.show.rendering import console, print_whole, run_table

    if records:
        print_whole(console(), run_table(records))
    else:
        click.echo("no such runs" if any(wanted[key] for key in ("state", "pipeline", "tag")) else "no runs", err=True)


def say_unserved(queues: list[str]) -> None:
    """Warn of queues that a run needs and nobody serves."""
    for queue in queues:
        click.echo(f"0 workers serve '{queue}'; start one: orchestrator worker --queues {queue}", err=True)


def _cancel(client: Client, run_id: str) -> bool:
    """Cancel one run and say what that means for it; False if there is no such run."""
    try:
        state = client.run(run_id).cancel()
    except RunNotFound as error:
        fault_of(error).show()
        return False
    click.echo(f"{printable(run_id)}: {f'was {state} already' if state.ended else 'cancelling'}")
    return True


def _as_json(document: RunDocument, values: bool) -> dict[str, Any]:
    """The document; without values it has none of them, rather than empty ones."""
    return document.model_dump(mode="json", exclude=None if values else {"steps": {"__all__": {"value"}}})


def _below(client: Client, run_id: str, level: int = 1) -> Iterator[str]:
    """A line for each run that the steps of a run have started, with those that these have started below it."""
    for child in client.run(run_id).children():
        place = f"{'  ' * level}{printable(child.parent_instance)}: run {child.run} of {printable(child.pipeline)}"
        yield f"{place}, {child.state}"
        yield from _below(client, child.run, level + 1)


def _show(document: RunDocument, progress: RunProgress, values: bool, below: list[str]) -> None:
    """Show the document to a person: the steps, what they left if asked for, the runs below, and how the run stands.

    Values are cut to the width of the screen; `-o json` has them whole.
    """
    from orchestrator_client.cli.show.rendering import console, how_far, print_whole, quality_lines, rows_of, step_table
    from orchestrator_client.cli.show.text import shown

    screen = console()
    screen.print(f"run {printable(document.execution_id)} of {printable(document.pipeline_id)}", soft_wrap=True)
    if document.allow_tools is not None:
        screen.print(f"tools allowed: {printable(', '.join(document.allow_tools) or 'none')}", soft_wrap=True)
    print_whole(screen, step_table(rows_of(document)))
    for step in document.steps.values():
        if values and step.value is not None:
            screen.print(f"  {printable(step.id)}: {shown(step.value, screen.width)}", soft_wrap=True)
    for line in (line for step in document.steps.values() for line in quality_lines(step)):
        screen.print(line, soft_wrap=True)
    for line in below:
        screen.print(line, soft_wrap=True)
    if document.completed_at is None and document.progress is not None:
        screen.print(how_far(progress.share, progress.ends_ms, progress.now_ms), soft_wrap=True)
    show_ending(document, sys.stdout)
