"""Commands that run again what has ended, and keep results: retry, fork."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.options import as_json_option, client_of, input_options, redis_option, run_argument
from orchestrator_client.cli.show.text import json_text, one_line, plural, printable
from orchestrator_client.contract.errors import InputsInvalid

if TYPE_CHECKING:
    from orchestrator_client.reruns.forks import Rerun

AGAIN_SHOWN = 30
"""Steps that are listed one by one; the others are counted."""

_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done again and what it may cost, and stop.")
_budget = click.option("--budget", "budget_usd", metavar="USD", help="What the new run's models may cost.")


@click.command()
@run_argument
@click.option("--step", "steps", metavar="STEP", multiple=True, help="Do this one again, too; may be repeated.")
@_budget
@_dry_run
@as_json_option
@redis_option
def retry(
    run_id: str, steps: tuple[str, ...], budget_usd: str | None, dry_run: bool, as_json: bool, url: str | None
) -> None:
    """Try again what failed of a run that has ended, as a new run that keeps all other results.

    Results of steps behind those that are done again are not kept. The new run's id stands alone on stdout; asked
    twice, the command gives the same run. Kept results are not paid for again, and its budget begins unspent.

    \b
    orchestrator retry $RUN
    orchestrator retry $RUN --step draft --dry-run
    """
    from orchestrator_client.reruns.forks import check_retriable

    with client_of(url) as client:
        record = client.run(run_id).status()
        check_retriable(record, steps)
        rerun = client.rerun(run_id, steps)
        forked = None if dry_run else client.retry(run_id, steps, budget_usd=budget_usd)
        if forked is not None and forked.id in record.forks:
            state = forked.status().state
            click.echo(f"was tried again before, as run {forked.id}, which is {state}", err=True)
        _report(rerun, forked.id if forked else None, as_json)


@click.command()
@run_argument
@click.option("--from", "steps", metavar="STEP", multiple=True, help="Do this one again; may be repeated.")
@click.option("--plan", "file", metavar="FILE", type=click.Path(path_type=Path), help="Run this file instead.")
@input_options
@_budget
@click.option("--idempotency-key", metavar="KEY", help="Forking again with the same key gives the same run.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_dry_run
@as_json_option
@redis_option
def fork(
    run_id: str,
    steps: tuple[str, ...],
    file: Path | None,
    pairs: Iterable[str],
    context: Path | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    url: str | None,
    **submission: Any,
) -> None:
    """Run an ended run once more from a step on, with other inputs, or as another file: as a new run.

    It keeps the result of every step that succeeded, is written alike, and has nothing before it or in its inputs that
    changes. What is done again is listed with the reason and about what it may cost; then the command asks, unless
    --yes is given.

    \b
    orchestrator fork $RUN --from draft -i tone=formal
    orchestrator fork $RUN --plan report.yaml --dry-run
    """
    from orchestrator_client.cli.inputs import read_inputs
    from orchestrator_client.loader import load

    with client_of(url) as client:
        plan = load(file).plan if file else client.run(run_id).plan()
        given = read_inputs(plan.inputs, context, pairs)
        rerun = client.rerun(run_id, steps, given, plan)
        if not (dry_run or yes):
            if not sys.stdin.isatty():
                raise InputsInvalid(["nobody is there to be asked: give --yes, or --dry-run to see what would be done"])
            _report(rerun, None, as_json=False)
            click.confirm("fork it?", abort=True, err=True)
        forked = None if dry_run else client.fork(run_id, steps, given, pipeline=plan, **submission)
    if dry_run or yes or as_json:
        _report(rerun, forked.id if forked else None, as_json)
    elif forked is not None:
        click.echo(forked.id)


def _report(rerun: Rerun, forked: str | None, as_json: bool) -> None:
    """What is kept, what is done again and its price; the new run's id, if there is one, alone on stdout."""
    if as_json:
        told = rerun.model_dump(mode="json")
        click.echo(json_text({"run": forked, "forked_from": told.pop("run"), **told}))
        return
    for line in _lines(rerun):
        click.echo(line, err=True)
    if forked is not None:
        click.echo(forked)


def _lines(rerun: Rerun) -> Iterable[str]:
    from orchestrator_client.cli.show.rendering import cost

    paid = f", which cost {cost(rerun.inherited)}" if rerun.inherited.requests else ""
    yield f"keeps {plural(len(rerun.kept), 'result')} of run {printable(rerun.run)}{paid}"
    for instance, why in list(rerun.again.items())[:AGAIN_SHOWN]:
        yield f"  again: {one_line(instance)}: {one_line(why)}"
    if len(rerun.again) > AGAIN_SHOWN:
        yield f"  and {len(rerun.again) - AGAIN_SHOWN:,} more"
    known = [each.usd for each in rerun.priced if each.usd is not None]
    if rerun.priced:
        low, high = sum(each.low for each in known), sum(each.high for each in known)
        unknown = (
            f" + {plural(len(rerun.priced) - len(known), 'step')} of unknown price"
            if len(known) < len(rerun.priced)
            else ""
        )
        yield f"its model steps may cost ${low:.4f} .. ${high:.4f}{unknown}"
