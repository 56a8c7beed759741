"""The command metrics: what Prometheus is told of the fleet."""

from __future__ import annotations

import threading

import click

from orchestrator_client.cli.faults import ExitCode, Fault
from orchestrator_client.cli.fleet import require
from orchestrator_client.cli.options import client_of, redis_option


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Answer Prometheus there; 0: at any free port.")
@click.option("--address", default="127.0.0.1", show_default=True, help="To whom.")
@redis_option
def metrics(port: int | None, address: str, url: str | None) -> None:
    """Print the fleet's metrics, or answer Prometheus with --port until Ctrl-C.

    Flower answers with the same, where metrics are configured. What each worker measures of itself, it answers at its
    own ORCHESTRATOR_METRICS_PORT.

    \b
    orchestrator metrics | grep parked
    orchestrator metrics --port 9464
    """
    require("prometheus_client")
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server

    registry = CollectorRegistry()
    with client_of(url) as client:
        client.export_metrics(registry)
        if port is None:
            click.echo(generate_latest(registry).decode(), nl=False)
            return
        try:
            server, _ = start_http_server(port, address, registry)
        except OSError as error:
            raise Fault(f"error: cannot listen at {address}:{port}: {error}", ExitCode.INVALID) from error
        click.echo(f"http://{address}:{server.server_port}/metrics")
        threading.Event().wait()
