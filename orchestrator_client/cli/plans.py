"""Commands about plan files, which need no fleet: validate, plan, schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.faults import ExitCode
from orchestrator_client.cli.options import json_option, plan_argument
from orchestrator_client.cli.show.text import json_text, plural, printable
from orchestrator_client.contract.errors import PlanInvalid, Problem

if TYPE_CHECKING:
    from orchestrator_client.contract.plan import Plan

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in one file: errors and warnings, and its plan if there are no errors."""

    file: str
    plan: Plan | None = None
    problems: list[Problem] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {
            "file": self.file,
            "valid": self.plan is not None,
            "pipeline": self.plan.id if self.plan else None,
            "steps": len(self.plan.steps) if self.plan else None,
            "problems": [problem.as_dict() for problem in self.problems],
        }

    def lines(self) -> Iterator[str]:
        """Every problem, then the verdict."""
        yield from (printable(problem.render(self.file)) for problem in self.problems)
        count = len(self.problems)
        if self.plan is None:
            yield f"{printable(self.file)}: invalid, {plural(count, 'error')}"
        else:
            warnings = f", {plural(count, 'warning')}" if count else ""
            yield f"{printable(self.file)}: valid, {plural(len(self.plan.steps), 'step')}{warnings}"


@click.command()
@click.argument("paths", metavar="PLAN.yaml...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for other programs to read.")
def validate(paths: tuple[Path, ...], as_json: bool) -> None:
    """Check plan files, or all in a folder, and show every problem. Runs nothing.

    Problems stand as file:line:column, which editors and CI understand. Warnings leave a plan valid.

    \b
    orchestrator validate pipelines/ --json
    """
    verdicts = [judge(file) for file in files_of(paths)]
    if as_json:
        click.echo(json_text([verdict.as_dict() for verdict in verdicts]))
    else:
        for verdict in verdicts:
            click.echo("\n".join(verdict.lines()))
    if any(verdict.plan is None for verdict in verdicts):
        click.get_current_context().exit(ExitCode.INVALID)


@click.command()
@plan_argument
@json_option
def plan(file: Path, output: str | None) -> None:
    """Show what a plan would run: steps by level, their queues, what waits for what, the critical path.

    Levels are for reading only: a step starts as soon as all that it waits for has ended.
    """
    from orchestrator_client.cli.show.outline import as_dict, lines
    from orchestrator_client.loader import load

    loaded = load(file)
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


def judge(file: Path) -> Verdict:
    """Load one file and keep what was found."""
    from orchestrator_client.loader import load

    try:
        loaded = load(file)
    except PlanInvalid as error:
        return Verdict(str(file), problems=error.problems)
    return Verdict(str(file), loaded.plan, loaded.warnings)


def files_of(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that were named, and those in folders that were, in the order of their names.

    Raises:
        click.BadParameter: a folder has no plan file in it.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        if not found:
            raise click.BadParameter(f"no .yaml or .yml file in '{printable(str(path))}'", param_hint="PLAN.yaml")
        yield from found
