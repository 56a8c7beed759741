"""Commands about providers' limits: limits list, set, learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orchestrator_client.cli.options import as_json_option, client_of, redis_option
from orchestrator_client.cli.show.text import json_text, one_line, printable, seconds

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator_client.gates import GateView

scope_argument = click.argument("scope", metavar="SCOPE")


@click.group()
def limits() -> None:
    """See and change what providers are asked at most.

    A scope is provider/credential/model, or provider/model. Its limits are per minute: requests, tokens (of input and
    output together), input_tokens, output_tokens; and in_flight, calls at a time.
    """


@limits.command(name="list")
@as_json_option
@redis_option
def list_limits(as_json: bool, url: str | None) -> None:
    """List every scope: its limits and whose word they are, what may be used now, who waits, and the weather."""
    with client_of(url) as client:
        gates = client.limits()
    if as_json:
        click.echo(json_text([gate.model_dump(mode="json") for gate in gates]))
        return
    if not gates:
        click.echo("no limits are known: no model was called yet", err=True)
        return
    from orchestrator_client.cli.show.rendering import console, print_whole

    print_whole(console(), table_of(gates))


@limits.command(name="set")
@scope_argument
@click.argument("given", metavar="NAME=N...", nargs=-1, required=True)
@redis_option
def set_limits(scope: str, given: tuple[str, ...], url: str | None) -> None:
    """Put limits over all that is configured, told by the provider and learned. 0 or none takes one away.

    \b
    orchestrator limits set openai/gpt-5 requests=600 tokens=90000
    orchestrator limits set ollama/llama3.2 in_flight=8
    """
    from orchestrator_client.limits import parsed_limits

    with client_of(url) as client:
        client.set_limits(scope, **parsed_limits(given))
    click.echo(f"{printable(scope)}: set; it counts from the next call on")


@limits.command(name="learn")
@scope_argument
@redis_option
def learn_limits(scope: str, url: str | None) -> None:
    """Forget what was set, told and learned of a scope, and its weather. It is learned anew; files still count."""
    with client_of(url) as client:
        client.learn_limits(scope)
    click.echo(f"{printable(scope)}: forgotten; it is learned anew")


def table_of(gates: list[GateView]) -> Table:
    """Scopes, a line a limit."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("SCOPE", "LIMIT", "IS", "FROM", "NOW", "RESERVED", "IN FLIGHT", "WAITING", "WEATHER"):
        table.add_column(heading, no_wrap=True)
    for gate in gates:
        whole = (one_line(gate.scope), str(gate.in_flight), str(gate.waiting), weather(gate))
        for row in _rows(gate):
            table.add_row(*(Text(cell) for cell in (whole[0], *row, *whole[1:])))
            whole = ("", "", "", "")
    return table


def weather(gate: GateView) -> str:
    """Whether the gate is open, and if not for how long and why."""
    if not gate.closed_for and not gate.closed_ms:
        return "fine"
    cause = f": {one_line(gate.closed_for, 100)}" if gate.closed_for else ""
    if gate.closed_ms:
        kind = "circuit open" if gate.circuit else "closed"
        return f"{kind} for {seconds(gate.closed_ms / 1000)}{cause}"
    return f"{'one call probes' if gate.probing else 'the next call probes'}{cause}"


def _rows(gate: GateView) -> Iterator[tuple[str, str, str, str, str]]:
    """Limit, amount, source, what may be used now, what is reserved; one line of nothing where no limit is known."""
    from orchestrator_client.story import rounded

    if not gate.limits:
        yield "none known", "", "", "", ""
    for name, limit in gate.limits.items():
        yield name, rounded(limit.limit), limit.source, rounded(limit.available), rounded(limit.reserved)
