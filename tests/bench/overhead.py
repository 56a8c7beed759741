"""What a user waits for besides the work: imports, cold start, and real HTTP calls through the engine."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import httpx2

from orchestrator_client.client import Client
from orchestrator_client.contract.plan import Plan, Step, StepKind
from tests.bench.race import run_seconds
from tests.fleet import start_worker

CALLS, CALL_SECONDS = 20, 0.05
VENDORS = ("openai", "anthropic", "google.genai", "mcp", "langchain_core", "celery")


def measure(url: str, folder: Path, rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    yield from _http_calls(url, folder, rounds)
    yield from _cold(folder, rounds)


class SlowHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement

    def do_GET(self) -> None:
        time.sleep(CALL_SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _http_calls(url: str, folder: Path, rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    """Twenty calls of 50 ms, one after another, four at a time and all at once, by plain threads and by the engine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = f"http://127.0.0.1:{server.server_port}/"
    client = Client(url)
    try:
        for lanes in (1, 4, CALLS):
            worker = start_worker(url, folder, f"http{lanes}", "--pool", "threads", "-c", "32", allow_hosts="127.0.0.1")
            plan = _lanes_plan(target, lanes)
            try:
                pairs = [(run_seconds(client, plan), _plain(target, lanes)) for _ in range(rounds + 1)][1:]
            finally:
                worker.kill()
            mine, plain = median(m for m, _ in pairs), median(p for _, p in pairs)
            detail = f"{mine * 1000:.0f} ms, plain threads {plain * 1000:.0f} ms"
            yield f"20 HTTP calls, {lanes} at a time / plain threads", mine / plain, 1.10, "x", detail
    finally:
        client.close()
        server.shutdown()
        server.server_close()


def _lanes_plan(target: str, lanes: int) -> Plan:
    steps = [
        Step(
            id=f"c{i}",
            kind=StepKind.TOOL,
            uses="http.get",
            parameters={"url": target},
            after=(f"c{i - lanes}",) if i >= lanes else (),
        )
        for i in range(CALLS)
    ]
    return Plan(id=f"http{lanes}", steps=tuple(steps))


def _plain(target: str, lanes: int) -> float:
    before = time.perf_counter()
    with httpx2.Client() as client, ThreadPoolExecutor(lanes) as pool:
        assert all(answer.text == "ok" for answer in pool.map(lambda _: client.get(target), range(CALLS)))
    return time.perf_counter() - before


def _cold(folder: Path, rounds: int) -> Iterator[tuple[str, float, float, str, str]]:
    orchestrator = str(Path(sys.executable).parent / "orchestrator")
    help_seconds = _median_seconds([orchestrator, "--help"], folder, rounds)
    yield "orchestrator --help", help_seconds, 0.4, "s", ""
    check = f"import sys, orchestrator_client; sys.exit(sorted(set({VENDORS!r}) & set(sys.modules)) or None)"
    import_seconds = _median_seconds([sys.executable, "-c", check], folder, rounds)
    yield "import orchestrator_client", import_seconds, 0.5, "s", "no vendor module, no Celery"
    every = check.replace("import sys, orchestrator_client", "import sys; from orchestrator_client import *")
    yield (
        "every public name imported",
        _median_seconds([sys.executable, "-c", every], folder, rounds),
        0.5,
        "s",
        "no vendor module, no Celery",
    )
    plan = folder / "two_steps.yaml"
    plan.write_text(
        textwrap.dedent("""
        id: two_steps
        name: Two steps
        steps:
          - {id: a, tool: filesystem, action: write, parameters: {path: a.txt, content: hello}}
          - {id: b, tool: filesystem, action: read, parameters: {path: a.txt}, dependencies: [a]}
        """)
    )
    seconds = _median_seconds([orchestrator, "run", str(plan)], folder, 3)
    yield "orchestrator run, two steps, from cold", seconds, 4.0, "s", "embedded Redis and workers"


def _median_seconds(command: list[str], folder: Path, rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        before = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        taken.append(time.perf_counter() - before)
    return median(taken)
