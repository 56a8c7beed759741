"""From a file and what the caller gave to a plan and its inputs: all that can be refused is refused here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from orchestrator_client import traces
from orchestrator_client.cli.inputs import read_inputs
from orchestrator_client.cli.show.text import printable
from orchestrator_client.contract.plan import Plan
from orchestrator_client.loader.apart import load_apart


def prepare(file: Path, context: Path | None, pairs: Iterable[str]) -> tuple[Plan, dict[str, Any]]:
    """The plan and its inputs; warnings of the file go to stderr.

    Raises:
        PlanInvalid: the file cannot run.
        InputsInvalid: the inputs do not fit it.
    """
    traces.begin("orchestrator")
    loaded = load_apart(file)
    for warning in loaded.warnings:
        click.echo(printable(warning.render(str(file))), err=True)
    given = read_inputs(loaded.plan.inputs, context, pairs)
    loaded.plan.bind(given)
    return loaded.plan, given


def say_keyless(missing: Iterable[str]) -> None:
    """Warn of keys without which steps of a run are going to fail."""
    for each in missing:
        click.echo(f"warning: {printable(each)}", err=True)
