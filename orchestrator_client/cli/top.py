"""The command top: a fleet as it goes."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from orchestrator_client.cli.options import as_json_option, client_of, redis_option
from orchestrator_client.cli.show.text import json_text

if TYPE_CHECKING:
    from orchestrator_client.client import Client

QUIT = (b"q", b"Q", b"\x1b", b"\x04")
"""Keys that end it: q, escape, Ctrl-D."""

WIDTH = 200
"""Where there is no terminal."""


@click.command()
@click.option(
    "--interval", type=click.FloatRange(min=0.2), default=2.0, show_default=True, help="Seconds between looks."
)
@as_json_option
@redis_option
def top(interval: float, as_json: bool, url: str | None) -> None:
    """Show a fleet as it goes: workers, queues, limits, and the runs that are open. The key q ends it.

    Where stdout is no terminal it is shown once.

    \b
    orchestrator top
    orchestrator top --json | jq .queues
    """
    with client_of(url) as client:
        if as_json:
            click.echo(json_text(client.overview().model_dump(mode="json")))
        elif sys.stdout.isatty() and sys.stdin.isatty():
            _follow(client, interval)
        else:
            from orchestrator_client.cli.show.overview import render
            from orchestrator_client.cli.show.rendering import console

            console().print(render(client.overview(), 1000), width=WIDTH)


def _follow(client: Client, interval: float) -> None:
    """Look again and again, until a key says that it is enough."""
    from rich.live import Live

    from orchestrator_client.cli.show.overview import render
    from orchestrator_client.cli.show.rendering import console

    screen = console()
    with _keys() as quits, Live(console=screen, screen=True, auto_refresh=False) as live:
        while True:
            live.update(render(client.overview(), screen.height), refresh=True)
            if quits(interval):
                return


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Keys as they are pressed; gives what waits so many seconds for one that quits. The terminal is as before then."""
    import termios
    import tty

    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)

    def quits(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([stdin], [], [], left)[0] and os.read(stdin, 1) in (*QUIT, b""):
                return True
        return False

    try:
        tty.setcbreak(stdin)
        yield quits
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
