"""Commands about fleets: up, worker, flower."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from orchestrator_client.cli.faults import ExitCode, Fault
from orchestrator_client.cli.follow import ended_by_signals
from orchestrator_client.cli.options import client_of, redis_option
from orchestrator_client.contract.environment import URL_VARIABLE, variable

if TYPE_CHECKING:
    from orchestrator_client.local import LocalFleet

ADDRESS = "127.0.0.1"
"""Flower has no password of its own: it is shown to this machine only, unless somebody says otherwise."""

CHECK_SECONDS = 1.0
"""How often `up` looks whether all of its fleet is alive."""

STOP_SECONDS = 5.0
"""How long Flower may take to end."""

_EXTRAS = {"pydantic_settings": "worker", "flower": "flower", "prometheus_client": "metrics"}
"""Module -> the extra that brings it."""

port_option = click.option("--port", type=click.IntRange(1, 65535), default=5555, show_default=True, help="Of Flower.")


@click.command()
@port_option
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="Working folder of runs.")
@click.option("--no-flower", is_flag=True, help="Do without the web page.")
def up(port: int, folder: Path, no_flower: bool) -> None:
    """Start a fleet on this machine: Redis, a tool worker, a model worker, Flower. Ctrl-C stops all.

    The line that stdout gets is for other terminals, whose commands then find this fleet. Its Redis lives in memory
    and ends with it, and so do the runs: for lasting ones, start a Redis and `orchestrator worker`.
    """
    from orchestrator_client.local import LocalFleet

    require("pydantic_settings")
    folder.mkdir(parents=True, exist_ok=True)
    fleet = LocalFleet(folder, events=not no_flower)
    page = None
    with ended_by_signals():
        try:
            _serve(fleet)
            page = None if no_flower else _start_flower(fleet, port)
            _introduce(fleet, port if page else None)
            _look_after(fleet, page)
        except KeyboardInterrupt:
            click.echo("stopping", err=True)
        finally:
            _stop(page)
            fleet.stop()


@click.command()
@click.option("--queues", metavar="A,B", help="Queues to serve; default: tool and control.")
@click.option("-c", "--concurrency", type=click.IntRange(min=1), help="Steps at a time.")
@click.option("--pool", type=click.Choice(["prefork", "threads"]), help="Default: threads if all queues are of models.")
@click.option("--name", help="Its name in Flower.")
@click.option("--log-level", metavar="LEVEL", help="Default: WARNING.")
@click.option("--no-supervisor", is_flag=True, help="The worker alone, for a container that is started again anyway.")
@click.option("--probe", is_flag=True, help="Start nothing: exit with 0 if the workers here consume, else 1.")
@redis_option
def worker(url: str | None, no_supervisor: bool, probe: bool, **options: object) -> None:
    """Start one worker of a fleet; it takes this process's place.

    A supervisor stands over it, which replaces it when it dies, freezes or goes deaf. Models are called on threads,
    tools in processes of their own, so give them to different workers.

    \b
    orchestrator worker --queues tool,control
    orchestrator worker --queues model.openai -c 64
    """
    require("pydantic_settings")
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
    if probe:
        os.execv(sys.executable, [sys.executable, "-m", "orchestrator_worker.process.proof"])  # noqa: S606
    program = "orchestrator_worker" if no_supervisor else "orchestrator_worker.process.supervisor"
    _become(["-m", program, *given], url)


@click.command()
@port_option
@click.option("--address", default=ADDRESS, show_default=True, help="Whom to listen to; Flower has no password.")
@redis_option
def flower(port: int, address: str, url: str | None) -> None:
    """Start Flower, the fleet's web page, with its runs and limits; it takes this process's place.

    Workers that were started with ORCHESTRATOR_EVENTS=1 send it the events of their steps. FLOWER_BASIC_AUTH, or the
    file that FLOWER_BASIC_AUTH_FILE names, is its login: user:password.
    """
    require("pydantic_settings")
    require("flower")
    if login := variable("FLOWER_BASIC_AUTH"):
        os.environ["FLOWER_BASIC_AUTH"] = login
    with client_of(url) as client:  # refuses what is no URL; Flower would go on and ask it in vain
        _become(flower_arguments(port, address), client.url)


def flower_arguments(port: int, address: str = ADDRESS) -> list[str]:
    """Python's arguments that start Flower for this application."""
    return ["-m", "orchestrator_client.flower", f"--port={port}", f"--address={address}"]


def require(module: str) -> None:
    """Raises Fault if an extra is not installed, with the command that installs it."""
    if find_spec(module) is None:
        extra = _EXTRAS[module]
        message = f"error: the '{extra}' extra is not installed; pip install 'orchestrator[{extra}]'"
        raise Fault(message, ExitCode.INVALID)


def _become(arguments: list[str], url: str | None) -> NoReturn:
    """Give this process to another Python program, told of the fleet by its environment.

    Signals and the exit code are then the program's own, as a supervisor expects. A URL is never an argument: the
    process list shows those to everybody, and a URL may have a password. Whether it is one, the program says.
    """
    if url:
        os.environ[URL_VARIABLE] = url
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - no shell is the point


def _serve(fleet: LocalFleet) -> None:
    """Start Redis and the workers of all queues that a plan can name.

    Raises:
        FleetFailed: there is no Redis server to start, or it does not answer.
        ConfigInvalid: the project's configuration cannot be used.
    """
    from orchestrator_client.local import model_queues

    fleet.start()
    fleet.serve(model_queues())


def _start_flower(fleet: LocalFleet, port: int) -> subprocess.Popen[bytes] | None:
    """Start the web page beside the fleet; None if it is not installed, which is said and is no error.

    What it writes goes to the log of the workers.
    """
    if find_spec("flower") is None:
        click.echo("Flower is not installed; for the web page: pip install 'orchestrator[flower]'", err=True)
        return None
    # A session of its own: a Ctrl-C at the terminal is for `up` alone, which ends its parts in order.
    command = [sys.executable, *flower_arguments(port)]
    return fleet.spawn(command, fleet.log, {URL_VARIABLE: fleet.url})


def _introduce(fleet: LocalFleet, port: int | None) -> None:
    """Say what there is and how to use it; the line to export stands alone, fit to be copied."""
    click.echo(f"export ORCHESTRATOR_REDIS_URL='{fleet.url}'")
    if port is not None:
        click.echo(f"Flower: http://{ADDRESS}:{port}", err=True)
    click.echo(f"log: {fleet.log}", err=True)
    click.echo("in another terminal, export that URL and submit; Ctrl-C here stops the fleet", err=True)


def _look_after(fleet: LocalFleet, page: subprocess.Popen[bytes] | None) -> NoReturn:
    """Wait for a signal; a part that dies is named.

    Raises:
        FleetFailed: Redis or a worker has died.
    """
    while True:
        time.sleep(CHECK_SECONDS)
        fleet.check()
        if page is not None and page.poll() is not None:
            click.echo(f"Flower has ended (exit code {page.returncode}); {fleet.log} says why", err=True)
            page = None


def _stop(page: subprocess.Popen[bytes] | None) -> None:
    """End Flower if it still runs: politely, and after `STOP_SECONDS` by force."""
    if page is None or page.poll() is not None:
        return
    page.terminate()
    try:
        page.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        page.kill()
        page.wait()
