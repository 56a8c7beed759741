"""Commands about plan files, which need no fleet: validate, plan, schema."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from orchestrator_client.cli.faults import ExitCode
from orchestrator_client.cli.options import json_option, plan_argument
from orchestrator_client.cli.show.text import json_text, plural, printable
from orchestrator_client.cli.verdict import Verdict, judge

SUFFIXES = (".yaml", ".yml")


@click.command()
@click.argument("paths", metavar="PLAN.yaml...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for other programs to read.")
@click.option("-v", "--verbose", is_flag=True, help="Of several files too, show every problem.")
def validate(paths: tuple[Path, ...], as_json: bool, verbose: bool) -> None:
    """Check plan files, or all in a folder, and show every problem. Runs nothing.

    Problems stand as file:line:column, which editors and CI understand. Warnings leave a plan valid. Of several files
    there is one line each, which says whether it runs, and else why not. The codes of --json are in docs/errors.md.

    \b
    orchestrator validate pipelines/ --json
    """
    is_single = len(paths) == 1 and not paths[0].is_dir()
    judged = []
    for file in paths if is_single else files_of(paths):
        judged.append(verdict := judge(file))
        if not as_json:
            click.echo("\n".join(verdict.lines()) if is_single or verbose else verdict.line())
    if as_json:
        click.echo(json_text([verdict.as_dict() for verdict in judged]))
    elif not is_single:
        click.echo(_summary(judged))
    if not all(verdict.runs for verdict in judged):
        click.get_current_context().exit(ExitCode.INVALID)


def _summary(judged: list[Verdict]) -> str:
    """How many of the files are what."""
    running = [verdict for verdict in judged if verdict.runs]
    warned = sum(1 for verdict in running if verdict.problems)
    refused = len(judged) - len(running)
    return f"{plural(len(judged), 'file')}: {len(running)} run, {warned} of them with warnings; {refused} refused"


@click.command()
@plan_argument
@json_option
def plan(file: Path, output: str | None) -> None:
    """Show what a plan would run: steps by level, their queues, what waits for what, the critical path.

    Levels are for reading only: a step starts as soon as all that it waits for has ended.
    """
    from orchestrator_client.cli.show.outline import as_dict, lines
    from orchestrator_client.loader.apart import load_apart

    loaded = load_apart(file)
    for warning in loaded.warnings:
        click.echo(printable(warning.render(str(file))), err=True)
    click.echo(json_text(as_dict(loaded.plan)) if output else "\n".join(lines(loaded.plan)))


@click.command()
def schema() -> None:
    """Print the JSON Schema of a plan file, for editors.

    It knows the form of a plan and not its graph: `validate` finds more.
    """
    from orchestrator_client.loader import schema as schema_of_plans

    click.echo(json_text(schema_of_plans()))


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that were named, and those in folders that were, in the order of their names.

    Links to folders are not followed, and folders whose names begin with a dot are left out.

    Raises:
        click.BadParameter: a folder has no plan file in it.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(_below(path))
        if not found:
            raise click.BadParameter(f"no .yaml or .yml file in '{printable(str(path))}'", param_hint="PLAN.yaml")
        yield from found


def _below(folder: Path) -> Iterator[Path]:
    """Whatever is named like a plan in a folder and below; a folder that cannot be read stands for what is in it."""
    unread: list[Path] = []
    for at, folders, names in os.walk(folder, onerror=lambda error: unread.append(Path(error.filename))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(at) / name for name in names if name.endswith(SUFFIXES))
    yield from unread
