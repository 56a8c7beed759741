"""Commands about the variables of a run: vars RUN, and vars RUN get, set, history, watch, export and import."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.inputs import value_of
from orchestrator_client.cli.options import client_of, json_option, redis_option
from orchestrator_client.cli.show.text import json_text, one_line, printable, shown

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator_client.variables import Variable, Version

SCOPES = ("run", "step", "item", "pass", "temporary")
TYPES = ("input", "output", "intermediate", "configuration", "system")

name_argument = click.argument("name", metavar="NAME")
within_option = click.option("--within", metavar="PLACE", default="", help="An instance, item or pass: draft, each[2].")
_NOTES = (
    click.option("--why", metavar="TEXT", default="", help="Why; it stands in the history."),
    click.option("--by", metavar="WHO", default="", help="Who; default: you, on this machine."),
)


def of_one_variable(command: Any) -> Any:
    """What a command takes that shows one variable."""
    for option in reversed((name_argument, within_option, json_option, redis_option, click.pass_obj)):
        command = option(command)
    return command


def note_options(command: Any) -> Any:
    """The options that say who and why."""
    for option in reversed(_NOTES):
        command = option(command)
    return command


class _NamedGroup(click.Group):
    """A group whose first word may also be a variable's name, which is then shown."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`vars RUN -o json` is `vars -o json RUN`: before a name or command, options are the group's."""
        options, rest = list[str](), args[1:]
        while rest and rest[0].startswith("-") and not args[0].startswith("-"):
            taken = 1 if "=" in rest[0] or rest[0] in ctx.help_option_names else 2
            options, rest = [*options, *rest[:taken]], rest[taken:]
        return super().parse_args(ctx, [*options, *args[:1], *rest])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """`vars RUN tone` is `vars RUN get tone`."""
        return super().resolve_command(ctx, args if args and args[0] in self.commands else ["get", *args])


@click.group(cls=_NamedGroup, name="vars", invoke_without_command=True, subcommand_metavar="[NAME | COMMAND ...]")
@click.argument("run_id", metavar="RUN")
@click.option("--scope", type=click.Choice(SCOPES), help="Only those that are seen by so much of the run.")
@click.option("--type", "kind", type=click.Choice(TYPES), help="Only those of this type.")
@click.option("--limit", type=click.IntRange(min=1), default=1_000, show_default=True, help="At most so many.")
@json_option
@redis_option
@click.pass_context
def variables(
    context: click.Context,
    run_id: str,
    scope: str | None,
    kind: str | None,
    limit: int,
    output: str | None,
    url: str | None,
) -> None:
    """List the variables of a run, show one, or set one that steps read from then on.

    \b
    orchestrator vars RUN                        all of them
    orchestrator vars RUN tone                   one; also draft, each[2].item, config, outputs.mood
    orchestrator vars RUN set tone formal --why "the customer is a bank"
    """
    context.obj = (run_id, url)
    if context.invoked_subcommand is not None:
        return
    with client_of(url) as client:
        found = client.run(run_id).variables.list(scope, kind, limit)
    if output:
        click.echo(json_text([variable.model_dump(mode="json") for variable in found]))
    elif found:
        _print(_table(found))
    else:
        click.echo("no such variables", err=True)


@variables.command()
@of_one_variable
def get(target: tuple[str, str | None], name: str, within: str, output: str | None, url: str | None) -> None:
    """Show one variable: its value alone, or with `-o json` all that is known of it."""
    run_id, before = target
    with client_of(url or before) as client:
        found = client.run(run_id).variables.get(name, within)
    if output:
        click.echo(json_text(found.model_dump(mode="json")))
    else:
        from orchestrator_client.cli.show.text import printable_lines

        click.echo(printable_lines(found.value) if isinstance(found.value, str) else json_text(found.value))


@variables.command(name="set")
@name_argument
@click.argument("value", metavar="VALUE")
@within_option
@click.option("--for", "seconds", metavar="SECONDS", type=float, help="Hold for so long; then what was there counts.")
@note_options
@json_option
@redis_option
@click.pass_obj
def set_variable(
    target: tuple[str, str | None], /, name: str, value: str, output: str | None, url: str | None, **how: Any
) -> None:
    """Give a name a new value: JSON, else text. Steps that start from now on read it, in place of an input too."""
    run_id, before = target
    with client_of(url or before) as client:
        run = client.run(run_id)
        done = run.variables.set(name, value_of(value, run.plan().inputs.get(name)), **how)
    if output:
        click.echo(json_text(done.model_dump(mode="json")))
    else:
        click.echo(f"{printable(done.address)}: version {done.version}; steps that start from now on read it")


@variables.command()
@of_one_variable
def history(target: tuple[str, str | None], name: str, within: str, output: str | None, url: str | None) -> None:
    """Show the values that a name has had: who set each, when and why."""
    run_id, before = target
    with client_of(url or before) as client:
        versions = client.run(run_id).variables.history(name, within)
    if output:
        click.echo(json_text([version.model_dump(mode="json") for version in versions]))
    else:
        _print(_history_table(versions))


@variables.command()
@click.option("--after", metavar="ID", default="0", help="Only what came behind this event.")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=0), help="Watch no longer than this.")
@json_option
@redis_option
@click.pass_obj
def watch(
    target: tuple[str, str | None], after: str, timeout: float | None, output: str | None, url: str | None
) -> None:
    """Show each name as it is set, a line each, until the run has closed."""
    from orchestrator_client.cli.show.lines import line_of

    run_id, before = target
    with client_of(url or before) as client:
        for event in client.run(run_id).variables.changes(after, timeout):
            click.echo(json_text(event.model_dump(mode="json"), indent=None) if output else line_of(event))


@variables.command()
@redis_option
@click.pass_obj
def export(target: tuple[str, str | None], url: str | None) -> None:
    """Write all variables as one JSON document, which `import` takes."""
    run_id, before = target
    with client_of(url or before) as client:
        click.echo(json_text(client.run(run_id).variables.export()))


@variables.command(name="import")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@note_options
@redis_option
@click.pass_obj
def import_variables(target: tuple[str, str | None], file: Path, why: str, by: str, url: str | None) -> None:
    """Set what a file holds: one that `export` wrote, or a JSON object of names and values. All is set, or nothing."""
    run_id, before = target
    try:
        document = json.loads(file.read_text("utf-8-sig"))
    except ValueError as error:
        raise click.BadParameter(printable(f"{file}  not JSON: {error}"), param_hint="FILE") from error
    if not isinstance(document, dict):
        raise click.BadParameter(printable(f"{file}  expected an object of names and values"), param_hint="FILE")
    with client_of(url or before) as client:
        names = client.run(run_id).variables.restore(document, why=why, by=by)
    click.echo(f"set: {printable(', '.join(names))}" if names else "nothing in it is new to the run")


def _print(table: Table) -> None:
    from orchestrator_client.cli.show.rendering import console, print_whole

    print_whole(console(), table)


def _table(found: Iterable[Variable]) -> Table:
    """Variables, one a line."""
    rows = (
        (
            one_line(one.address),
            one.type,
            one.scope,
            str(one.version or ""),
            shown(one.value, 60),
            one_line(", ".join([*one.writers, *([one.by] if one.by not in ("", one.address) else [])]), 40),
            one_line(", ".join(one.readers), 40),
        )
        for one in found
    )
    return _rows(("NAME", "TYPE", "SCOPE", "VERSION", "VALUE", "WRITTEN BY", "READ BY"), rows)


def _history_table(versions: Iterable[Version]) -> Table:
    """Versions of one variable, one a line."""
    from orchestrator_client.cli.show.rendering import local_time

    rows = (
        (
            str(one.version),
            local_time(one.at_ms) if one.at_ms else "",
            one_line(one.by, 40),
            one_line(one.why, 80),
            shown(one.value, 80),
        )
        for one in versions
    )
    return _rows(("VERSION", "WHEN", "BY", "WHY", "VALUE"), rows)


def _rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
