"""Commands that stop runs for a while and let them go on: pause, resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from orchestrator_client.cli.faults import ExitCode, fault_of
from orchestrator_client.cli.options import as_json_option, client_of, redis_option
from orchestrator_client.cli.show.text import json_text, one_line, printable
from orchestrator_client.contract.errors import RunNotFound

if TYPE_CHECKING:
    from orchestrator_client.client import Client, Run
    from orchestrator_client.contract.run import Met

runs_argument = click.argument("run_ids", metavar="RUN...", nargs=-1, required=True)


@click.command()
@runs_argument
@as_json_option
@redis_option
def pause(run_ids: tuple[str, ...], as_json: bool, url: str | None) -> None:
    """Have nothing of runs start any more until `resume`, nor of the runs that they have started.

    What runs goes on to its end, and is recorded. Deadlines of questions and of sub-pipelines stand still meanwhile.
    A run that is paused already, is to be cancelled or has ended stays as it is, which is no error.

    \b
    orchestrator pause $RUN && orchestrator why $RUN
    """
    with client_of(url) as client:
        _wish(client, run_ids, lambda run: run.pause(), _paused, as_json)


@click.command()
@runs_argument
@as_json_option
@redis_option
def resume(run_ids: tuple[str, ...], as_json: bool, url: str | None) -> None:
    """Let paused runs go on, and the runs that they have started.

    A run that is not paused stays as it is, which is no error; one that has ended, or is to be cancelled, cannot go on:
    exit code 2.
    """
    with client_of(url) as client:
        _wish(client, run_ids, lambda run: run.resume(), _resumed, as_json)


def _wish(
    client: Client,
    run_ids: tuple[str, ...],
    wish: Callable[[Run], Met],
    outcome: Callable[[Met], tuple[bool, str]],
    as_json: bool,
) -> None:
    """Wish the same of each run, and say what that means for it; ends with 2 if it means nothing for one of them."""
    told, fine = [], True
    for run_id in run_ids:
        try:
            met = wish(client.run(run_id))
        except RunNotFound as error:
            fault_of(error).show()
            fine = False
            continue
        holds, words = outcome(met)
        fine = fine and holds
        told.append({"run": run_id, "holds": holds, "said": words, "met": met.model_dump(mode="json")})
        if not as_json:
            click.echo(f"{printable(run_id)}: {words}", err=not holds)
    if as_json:
        click.echo(json_text(told))
    if not fine:
        click.get_current_context().exit(ExitCode.INVALID)


def _paused(met: Met) -> tuple[bool, str]:
    """Whether nothing of the run starts now, and what the wish meant for it."""
    if met.state.ended:
        return True, f"was {met.state} already"
    if met.paused:
        return True, f"was paused already, {_since(met)}"
    return True, "paused" if met.wish == "run" else "is being cancelled already"


def _resumed(met: Met) -> tuple[bool, str]:
    """Whether the run goes on now, and what the wish meant for it."""
    if met.state.ended:
        return False, f"was {met.state} already, and cannot go on"
    if met.paused:
        return True, f"resumed; it was paused {_since(met)}"
    return (True, "was not paused") if met.wish == "run" else (False, "is being cancelled, and cannot go on")


def _since(met: Met) -> str:
    from orchestrator_client.story import time_of_day

    return f"since {time_of_day(met.paused_ms)} by {one_line(met.paused_by)}"
