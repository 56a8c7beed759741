"""What it costs to be seen: the same runs on workers that tell nothing, and on those that tell, in turn."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from unittest.mock import patch

from orchestrator_client.client import Client
from orchestrator_client.contract.plan import Plan
from tests.bench.race import run_seconds
from tests.fleet import python_step, start_worker

STEPS = 100
RUNS_A_ROUND = 2
"""Of each way to tell: a single run is too short to tell 3 % from nothing."""
BAR = 1.03


class Sink(BaseHTTPRequestHandler):
    """Takes spans, and looks at none."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def measure(url: str, folder: Path, rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    """Each way has a database of its own, so that its worker takes its own runs; all workers are alive all the time."""
    sink = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    collector = f"http://127.0.0.1:{sink.server_port}"
    ways: dict[str, dict[str, str]] = {
        "nothing": {},
        "metrics": {"ORCHESTRATOR_METRICS_PORT": "0"},
        "spans": {"OTEL_EXPORTER_OTLP_ENDPOINT": collector},
        "logs as JSON": {"ORCHESTRATOR_LOG_FORMAT": "json"},
    }
    plan = Plan(id="seen", steps=tuple(python_step(f"s{number}") for number in range(STEPS)))
    with ExitStack() as stack:
        stack.callback(sink.server_close)
        stack.callback(sink.shutdown)
        clients = {}
        for number, (way, environment) in enumerate(ways.items(), start=8):
            at = url.replace("db=0", f"db={number}")
            with patch.dict(os.environ, environment):
                worker = start_worker(at, folder, f"seen{number}", "--pool", "prefork", "-c", "2")
            stack.callback(worker.kill)
            clients[way] = stack.enter_context(Client(at))
            run_seconds(clients[way], plan)
        took = {way: [_seconds(client, plan)] for way, client in clients.items()}
        for _ in range(rounds - 1):
            for way, client in clients.items():
                took[way].append(_seconds(client, plan))
    for way in list(ways)[1:]:
        ratio = median(took[way]) / median(took["nothing"])
        steps = STEPS * RUNS_A_ROUND
        detail = f"{steps / median(took[way]):.0f} steps/s, {steps / median(took['nothing']):.0f} when nothing is told"
        yield f"time of {STEPS} steps with {way} / with nothing", ratio, BAR, "x", detail


def _seconds(client: Client, plan: Plan) -> float:
    return sum(run_seconds(client, plan) for _ in range(RUNS_A_ROUND))
