"""Commands of schedules: schedule makes one, schedules shows and changes those there are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.options import as_json_option, client_of, input_options, plan_argument, redis_option
from orchestrator_client.cli.show.text import json_text, one_line, printable

if TYPE_CHECKING:
    from orchestrator_client.contract.schedule import Schedule

name_argument = click.argument("name")


@click.command()
@plan_argument
@click.option("--cron", required=True, metavar="FIELDS", help="Minute, hour, day of month, month, day of week.")
@click.option("--tz", metavar="ZONE", default="UTC", show_default=True, help="By whose clocks, such as Europe/Zurich.")
@click.option("--name", metavar="NAME", default="", help="What it is called; without it, by the pipeline's id.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue", "allow"]),
    default="skip",
    show_default=True,
    help="What becomes of a run that is due while the one before it has not ended.",
)
@click.option("--replace", is_flag=True, help="Take the place of a schedule of the same name.")
@input_options
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="A word to find its runs by; may be repeated.")
@click.option("--tenant", metavar="NAME", default="", help="On whose account its runs are.")
@click.option("--budget", "budget_usd", metavar="USD", help="What the models of each run may cost.")
@as_json_option
@redis_option
def schedule(
    file: Path, pairs: Iterable[str], context: Path | None, as_json: bool, url: str | None, **given: Any
) -> None:
    """Have a pipeline run whenever a cron expression says so.

    The file and its inputs are kept in Redis as they are now. Each time is fired once, however many workers there are;
    of times that nobody was there to fire, one is made good.

    \b
    orchestrator schedule report.yaml --cron "0 7 * * 1-5" --tz Europe/Zurich -i topic=rivers
    """
    from orchestrator_client.cli.submission import prepare

    plan, inputs = prepare(file, context, pairs)
    with client_of(url) as client:
        made = client.schedules.add(plan, given.pop("cron"), inputs, **given)
    if as_json:
        click.echo(json_text(made.model_dump(mode="json")))
    else:
        click.echo(f"{made.name}: due next at {_time(made)}")


@click.group(invoke_without_command=True)
@click.pass_context
def schedules(context: click.Context) -> None:
    """Show schedules, pause them, let them go on, remove them, or run one now."""
    if context.invoked_subcommand is None:
        context.invoke(list_schedules, as_json=False, url=None)


@schedules.command("list")
@as_json_option
@redis_option
def list_schedules(as_json: bool, url: str | None) -> None:
    """List all schedules, by name."""
    with client_of(url) as client:
        found = client.schedules.list()
    if as_json:
        click.echo(json_text([each.model_dump(mode="json") for each in found]))
        return
    for each in found:
        click.echo(f"{each.name}  {each.cron} {each.tz}  {one_line(each.pipeline)}  next {_time(each)}")
    if not found:
        click.echo("no schedules", err=True)


@schedules.command()
@name_argument
@as_json_option
@redis_option
def show(name: str, as_json: bool, url: str | None) -> None:
    """Show one schedule, and what became of its last time."""
    with client_of(url) as client:
        found = client.schedules.get(name)
    if as_json:
        click.echo(json_text(found.model_dump(mode="json")))
        return
    click.echo(
        f"schedule {found.name}: {one_line(found.pipeline)} at {found.cron} {found.tz}, made by {one_line(found.by)}"
    )
    click.echo(f"  next {_time(found)}; overlap: {found.overlap}")
    click.echo(f"  fired {found.fired:,} times, left out {found.skipped:,}; last run {found.last_run or 'none'}")


@schedules.command()
@name_argument
@redis_option
def pause(name: str, url: str | None) -> None:
    """Fire a schedule no more until `resume`; its runs go on."""
    with client_of(url) as client:
        done = client.schedules.pause(name)
    click.echo(f"{printable(name)}: {'paused' if done else 'was paused already'}")


@schedules.command()
@name_argument
@redis_option
def resume(name: str, url: str | None) -> None:
    """Let a schedule go on, from its next time on."""
    with client_of(url) as client:
        done = client.schedules.resume(name)
        found = client.schedules.get(name)
    click.echo(f"{printable(name)}: {'resumed' if done else 'was not paused'}, due next at {_time(found)}")


@schedules.command()
@name_argument
@redis_option
def rm(name: str, url: str | None) -> None:
    """Remove a schedule; its runs stay."""
    with client_of(url) as client:
        client.schedules.remove(name)
    click.echo(f"{printable(name)}: removed")


@schedules.command("run-now")
@name_argument
@redis_option
def run_now(name: str, url: str | None) -> None:
    """Run what a schedule runs, beside its times, and print the run's id."""
    with client_of(url) as client:
        click.echo(client.schedules.run_now(name).id)


def _time(found: Schedule) -> str:
    """When it is due, by the clocks of its zone, or who has paused it."""
    from datetime import datetime
    from zoneinfo import ZoneInfo

    if found.next_ms is None:
        return f"never: paused by {one_line(found.paused_by)}"
    return datetime.fromtimestamp(found.next_ms / 1000, ZoneInfo(found.tz)).isoformat(sep=" ", timespec="minutes")
