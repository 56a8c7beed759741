"""`python -m orchestrator_worker`: one worker of the fleet."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from orchestrator_client.contract import names
from orchestrator_client.contract.environment import URL_VARIABLE
from orchestrator_client.contract.errors import ConfigInvalid, StoreUnavailable
from orchestrator_client.contract.logs import formatter
from orchestrator_client.contract.models import AUTO_PROVIDER
from orchestrator_client.contract.project import load_project
from orchestrator_worker.process.tether import SUPERVISOR_VARIABLE, tether_to

if TYPE_CHECKING:
    from orchestrator_worker.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s"

PROCESSES = "orchestrator_worker.process.pool:TaskPool"
"""Celery's pool of processes, as ours."""

NO_URL = f"{URL_VARIABLE} is not the URL of a Redis; it looks like redis://host:6379/0 or unix:///path?db=0"


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser("orchestrator_worker", description="One worker of a fleet.")
    default_queues = f"{names.TOOL_QUEUE},{names.CONTROL_QUEUE}"
    parser.add_argument("--queues", default=default_queues, help="comma-separated; default %(default)s")
    parser.add_argument(
        "-c", "--concurrency", type=int, help="steps at a time; default: cores for tools, 64 for models"
    )
    parser.add_argument("--pool", choices=("prefork", "threads"), help="default: threads if all queues are of models")
    parser.add_argument("--name", help="name of this worker in Flower; default: its queues and process id")
    parser.add_argument("--log-level", default="WARNING")
    options = parser.parse_args(argv)
    options.queues = [queue.strip() for queue in options.queues.split(",") if queue.strip()]
    if not options.queues:
        parser.error("--queues names no queue")
    if any(queue.startswith(names.MODEL_QUEUES) for queue in options.queues):
        # Steps whose model could not be chosen fail there, whoever takes them.
        options.queues.append(names.model_queue(AUTO_PROVIDER))
    return options


def celery_options(options: argparse.Namespace) -> dict[str, Any]:
    """The same for Celery's own worker.

    Models get threads, since a call waits for the network; tools get processes, since they may hang, hog or crash.
    """
    queues = options.queues
    pool = options.pool or ("threads" if all(queue.startswith(names.MODEL_QUEUES) for queue in queues) else "prefork")
    name = options.name or f"{queues[0].replace('.', '-')}-{os.getpid()}"
    return {
        "queues": queues,
        "pool_cls": PROCESSES if pool == "prefork" else pool,
        "concurrency": options.concurrency or (64 if pool == "threads" else os.cpu_count() or 2),
        "hostname": f"{name}@{socket.gethostname()}",
        "loglevel": options.log_level,
        "without_gossip": True,
        "without_mingle": True,
    }


def main(argv: list[str] | None = None) -> int:
    """Run until asked to stop.

    Exit code 2: orchestrator.toml, the namespace or the URL of Redis cannot be used. 3: the store is away, or not one
    that runs can be trusted to.
    """
    options = arguments(argv)
    if supervisor := os.environ.pop(SUPERVISOR_VARIABLE, ""):
        tether_to(int(supervisor))
    try:
        names.check_namespace()
        project = load_project()
        lines = formatter(LOG_FORMAT)
    except ConfigInvalid as error:
        print(error, file=sys.stderr)  # noqa: T201 - the lines that a person at a terminal needs
        return 2
    logging.basicConfig(level=options.log_level.upper(), stream=sys.stderr)
    logging.root.handlers[0].setFormatter(lines)
    from orchestrator_worker import meters, traces
    from orchestrator_worker.settings import metrics_port, settings

    config = settings()
    if code := check_store(config):
        return code

    if metrics_port(config, project) is not None:
        try:
            meters.begin()
        except ImportError:
            print("metrics need prometheus-client: pip install 'orchestrator[metrics]'", file=sys.stderr)  # noqa: T201
            return 2

    try:
        traces.check()
    except ImportError:
        print("spans need OpenTelemetry: pip install 'orchestrator[telemetry]'", file=sys.stderr)  # noqa: T201
        return 2

    import orchestrator_worker.process.life  # noqa: F401 - connects to Celery's signals, and registers the tasks
    from orchestrator_worker.app import app
    from orchestrator_worker.process.readiness import unsafe

    for problem in (problems := unsafe(app.conf, config)):
        print(problem, file=sys.stderr)  # noqa: T201
    if problems:
        return 2
    # Not by Celery's command line, which imports all of its commands: as much again as the worker itself.
    app.Worker(**celery_options(options)).start()
    return 0


def check_store(config: Settings) -> int:
    """Say what is wrong with the store; the exit code, 0 where nothing forbids a start."""
    from orchestrator_worker.process.readiness import inspect
    from orchestrator_worker.store import connect

    try:
        store = connect(config)
    except ValueError:
        print(NO_URL, file=sys.stderr)  # noqa: T201
        return 2
    try:
        readiness = inspect(store)
    except StoreUnavailable as error:
        print(error, file=sys.stderr)  # noqa: T201 - the one line that a person at a terminal needs
        return 3
    for line in (*readiness.refusals, *readiness.warnings):
        print(line, file=sys.stderr)  # noqa: T201
    return 3 if readiness.refusals else 0


if __name__ == "__main__":
    sys.exit(main())
