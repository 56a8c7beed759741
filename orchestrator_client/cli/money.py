"""Commands about money: cost, budget, estimate."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from orchestrator_client.cli.options import as_json_option, client_of, input_options, plan_argument, redis_option
from orchestrator_client.cli.show.text import json_text, one_line, plural, printable, seconds

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator_client.budgets import BudgetView
    from orchestrator_client.costs import CostLine, CostReport
    from orchestrator_client.estimate import Estimate, Range


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--tag", metavar="TAG", help="Of runs with this tag.")
@click.option("--tenant", metavar="NAME", help="Of this tenant's runs.")
@click.option("--since", metavar="DAYS|DATE", help="So many days up to today, or from a date on; default: 30.")
@click.option("--by", type=click.Choice(["model", "day"]), default="model", show_default=True, help="A line for each.")
@as_json_option
@redis_option
def cost(run_id: str | None, by: Literal["model", "day"], as_json: bool, url: str | None, **wanted: Any) -> None:
    """Show what model calls have cost: of one run by step, else of all runs, a tag's or a tenant's.

    Calls whose price is not known are counted, and are missing in the sum.

    \b
    orchestrator cost --tag nightly --since 7 --by day
    """
    with client_of(url) as client:
        report = client.cost(run_id, by=by, **wanted)
    if as_json:
        click.echo(json_text(report.model_dump(mode="json")))
        return
    from orchestrator_client.cli.show.rendering import console, print_whole

    print_whole(console(), cost_table(report, "STEP" if run_id else by.upper()))
    if report.total.unpriced:
        click.echo(f"the price of {plural(report.total.unpriced, 'call')} is not known and not in the sum", err=True)


@click.command()
@click.argument("name", metavar="RUN|tag:NAME|tenant:NAME")
@click.argument("usd", required=False)
@click.option("--per", type=click.Choice(["day", "month", "ever"]), help="Its period; default: the configured one.")
@as_json_option
@redis_option
def budget(name: str, usd: str | None, per: str | None, as_json: bool, url: str | None) -> None:
    """Show what a budget has spent and may spend, or with USD raise or lower it. Calls that wait for it go on.

    \b
    orchestrator budget $RUN 1.00
    orchestrator budget tag:nightly
    """
    with client_of(url) as client:
        woken = client.set_budget(name, usd, per) if usd is not None else None
        view = client.budget(name, per)
    if as_json:
        click.echo(json_text({**view.model_dump(mode="json"), "looked_at_again": woken}))
        return
    click.echo(budget_line(view))
    if woken:
        click.echo(f"{plural(woken, 'waiting call')} will be looked at again", err=True)


@click.command()
@plan_argument
@input_options
@as_json_option
@redis_option
def estimate(file: Path, context: Path | None, pairs: tuple[str, ...], as_json: bool, url: str | None) -> None:
    """Say what a run would use, cost and take, from the least to the most that is likely. Runs nothing.

    Made of this pipeline's earlier runs where Redis has any, else of its templates and the price list.
    """
    from orchestrator_client.cli.submission import prepare

    plan, inputs = prepare(file, context, pairs)
    with client_of(url) as client:
        found = client.estimate(plan, inputs)
    if as_json:
        click.echo(json_text(found.model_dump(mode="json")))
        return
    from orchestrator_client.cli.show.rendering import console, print_whole

    print_whole(console(), estimate_table(found))
    for words in estimate_notes(found):
        click.echo(words)


def cost_table(report: CostReport, heading: str) -> Table:
    """Lines of a report, and their sum."""
    lines = [*report.lines, report.total]
    models = any(line.model for line in lines)
    table = _table(heading, *(["MODEL"] if models else []), "CALLS", "INPUT", "OUTPUT", "COST")
    for line in lines:
        model = [one_line(line.model)] if models else []
        counts = (f"{number:,}" for number in (line.calls, line.input_tokens, line.output_tokens))
        table.add_row(one_line(line.name) or "(no model)", *model, *counts, _cost(line))
    return table


def budget_line(view: BudgetView) -> str:
    """`run:x: $0.12 of $0.50 spent, $0.03 reserved, $0.35 left`."""
    cap = "a cap that only workers know" if view.cap_usd is None else usd_text(view.cap_usd)
    line = f"{printable(view.id)}: {usd_text(view.spent_usd)} of {cap} spent, {usd_text(view.reserved_usd)} reserved"
    if view.left_usd is not None:
        line += f", {usd_text(view.left_usd)} left"
    if view.waiting:
        line += f"; {plural(view.waiting, 'call')} waiting for it"
    return line if view.used else f"{line}; no call was counted on it yet"


def estimate_table(found: Estimate) -> Table:
    """Steps, a line each, and the run."""
    table = _table("STEP", "MODEL", "FROM", "INPUT", "OUTPUT", "COST", "TIME")
    for step in found.steps:
        usd = "unknown" if step.usd is None else _usd_range(step.usd)
        row = (one_line(step.step), one_line(step.model) or "unknown", step.source)
        table.add_row(*row, _tokens(step.input_tokens), _tokens(step.output_tokens), usd, _time(step.seconds))
    usd = _usd_range(found.usd) + (" + unknown" if found.unpriced else "")
    table.add_row("total", "", "", _tokens(found.input_tokens), _tokens(found.output_tokens), usd, _time(found.seconds))
    return table


def estimate_notes(found: Estimate) -> list[str]:
    """What decides the time, and what is not known."""
    notes = [f"the time is that of {found.bound_by}"] if found.bound_by else []
    notes += [f"not known of {one_line(step.step)}: {one_line(each)}" for step in found.steps for each in step.unknown]
    notes += [one_line(each) for each in found.unknown]
    return [*notes, "tools are taken to need no time, and no attempt to be repeated"]


def usd_text(amount: Decimal) -> str:
    """`$0.0123`; more digits where the amount is smaller than a hundredth of a cent."""
    return f"${amount:,.4f}" if amount == 0 or abs(amount) >= Decimal("0.0001") else f"${amount:,.9f}".rstrip("0")


def _table(*headings: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _cost(line: CostLine) -> str:
    """What is known of the cost, and that it is not all."""
    if not line.unpriced:
        return usd_text(line.usd)
    if line.unpriced >= line.calls:
        return "unknown"
    return f"{usd_text(line.usd)} + {plural(line.unpriced, 'call')} of unknown price"


def _usd_range(found: Range) -> str:
    return f"{usd_text(found.low)} .. {usd_text(found.high)}"


def _tokens(found: Range) -> str:
    return f"{found.low:,.0f} .. {found.high:,.0f}"


def _time(found: Range) -> str:
    return f"{seconds(float(found.low))} .. {seconds(float(found.high))}"
