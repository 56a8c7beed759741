"""Confinement in real workers: secrets that nothing keeps, work that may be half done, results too large for Redis."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import OnFailure, OnLost, Plan
from orchestrator_client.loader import loads
from tests.conftest import wait_until
from tests.fleet import python_step
from tests.integration.test_workers import Fleet, started

CANARY = "canary-7f3a9c51e2"
FORMS = (CANARY, CANARY[:-2], base64.b64encode(CANARY.encode()).decode()[:-2], CANARY.encode().hex())


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.close()


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it was sent, as a failure where the path says so."""

    received: list[str]

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests speak for themselves."""

    def do_POST(self) -> None:
        self.received.append(self.headers["Authorization"] or self.headers["Idempotency-Key"])
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(400 if self.path == "/fail" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def echo() -> Iterator[str]:
    Echo.received = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


SECRETS = """
steps:
  - {{id: sent, tool: http, action: post, parameters: {{url: "http://{host}/ok", headers: {{Authorization: "Bearer secret://TOKEN"}}}}}}
  - {{id: failed, tool: http, action: post, on_failure: continue, parameters: {{url: "http://{host}/fail", headers: {{Authorization: "secret://TOKEN"}}}}}}
  - {{id: printed, tool: terminal, parameters: {{command: 'echo $T; printf %s $T | base64; printf %s $T | od -An -tx1 | tr -d " \\n"', env: {{T: secret://TOKEN}}}}}}
  - {{id: died, tool: terminal, on_failure: continue, parameters: {{command: 'echo "no $T" >&2; exit 3', env: {{T: secret://TOKEN}}}}}}
  - {{id: raised, tool: "python:tests.functions:fail", on_failure: continue, parameters: {{message: secret://TOKEN}}}}
  - {{id: kept, tool: filesystem, action: write, parameters: {{path: kept.txt, content: secret://TOKEN}}}}
  - {{id: read, tool: filesystem, action: read, dependencies: [kept], parameters: {{path: kept.txt}}}}
  - {{id: logged, tool: debug, action: log, dependencies: [printed], parameters: {{message: "{{{{ printed.result.stdout }}}}"}}}}
  - {{id: written, tool: terminal, parameters: {{command: "echo {{{{ said }}}}"}}}}
inputs: {{said: ""}}
outputs: {{all: "{{{{ printed.result.stdout }}}} {{{{ sent.result.text }}}} {{{{ read.result.content }}}}"}}
"""  # noqa: E501  # a step a line


def heard_of_failures(celery: redis.client.PubSub, task: str) -> str:
    """Celery's events up to the one that says with which exception that task has failed."""
    heard: list[str] = []

    def listened() -> bool:
        while (message := celery.get_message(timeout=0.1)) is not None:
            if message["type"] == "pmessage" and message["data"].startswith(b"{"):
                heard.append(json.loads(message["data"])["body"])
        return any('"task-failed"' in said and task in said for said in heard)

    wait_until(listened, "the event of the failure has come")
    return "".join(heard)


def test_a_secret_is_in_nothing_that_anybody_keeps(fleet: Fleet, echo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRET_TOKEN", CANARY)
    with redis.Redis.from_url(fleet.server.url).pubsub() as celery:
        celery.psubscribe("*")
        fleet.start("w1", "-c", "2", allow_hosts=echo, events=1)
        run = fleet.client.submit(loads(SECRETS.format(host=echo)).plan, {"said": "secret://TOKEN"})
        document = run.result(timeout=60)
        heard = heard_of_failures(celery, names.task_id(run.id, "raised"))

    assert Echo.received == [f"Bearer {CANARY}", CANARY] or Echo.received == [CANARY, f"Bearer {CANARY}"]
    assert (fleet.folder / "kept.txt").read_text() == CANARY
    assert {step: entry.status for step, entry in document.steps.items() if entry.status != "completed"} == {
        "failed": "failed",
        "died": "failed",
        "raised": "failed",
    }
    assert document.steps["read"].value["result"]["content"] == "[secret TOKEN]"
    assert document.steps["written"].value["result"]["stdout"] == "secret://TOKEN\n", "an input's text was opened"

    assert "ValueError: [secret TOKEN]" in heard
    told = heard + document.model_dump_json() + "".join(event.model_dump_json() for event in run.stream())
    with redis.Redis.from_url(fleet.server.url) as connection:
        connection.config_set("appendfsync", "always")
        kept = b"".join(repr((key, connection.dump(key))).encode() for key in connection.scan_iter(count=1000))
    kept += b"".join(file.read_bytes() for file in fleet.folder.glob("appendonlydir/*"))
    kept += b"".join(file.read_bytes() for file in fleet.folder.glob("*.aof"))
    assert run.id.encode() in kept
    logs = b"".join(file.read_bytes() for file in fleet.folder.glob("*.log"))
    for form in FORMS:
        assert form not in told
        assert form.encode() not in kept
        assert form.encode() not in logs


def test_what_may_be_half_done_fails_unless_the_plan_says_otherwise(fleet: Fleet) -> None:
    fleet.start("w1", "-c", "3")
    folder = str(fleet.folder)
    go = fleet.folder / "go"
    once = python_step(
        "once", "tests.functions:mark_until", folder, "once", str(go), on_lost=None, on_failure=OnFailure.CONTINUE
    )
    again = python_step("again", "tests.functions:mark_until", folder, "again", str(go), on_lost=OnLost.RETRY)
    run = fleet.client.submit(Plan(id="lost", steps=(once, again)))
    wait_until(started(fleet, 2), "both have started")
    for line in (fleet.folder / "ledger").read_text().splitlines():
        os.kill(int(line.split()[1]), signal.SIGKILL)
    go.touch()
    document = run.result(timeout=60)
    assert document.steps["once"].error_type == "WorkerLost"
    assert "python.call may or may not have run" in (document.steps["once"].error or "")
    assert document.steps["again"].status == "completed"
    assert fleet.ledger() == {"+once": 1, "+again": 2, "-again": 1}


def test_a_worker_that_stops_does_not_hand_back_what_may_be_half_done(fleet: Fleet) -> None:
    worker = fleet.start("w1", "-c", "2", shutdown_seconds=0.5)
    step = python_step("once", "tests.functions:mark", str(fleet.folder), "once", 60.0, on_lost=None)
    run = fleet.client.submit(Plan(id="stopped", steps=(step,)))
    wait_until(started(fleet, 1), "it has started")
    worker.stop(60)
    fleet.start("w2", "-c", "2")
    document = run.result(timeout=60)
    assert "may or may not have run" in (document.steps["once"].error or "")
    assert fleet.ledger() == {"+once": 1}


def test_a_tool_that_holds_the_interpreter_does_not_cost_its_neighbours_their_leases(fleet: Fleet) -> None:
    """Time goes on only as the tools' worker has it: while that stands still, its leases do not run out. The other
    worker takes none of its steps, and would find those that are lost."""
    fleet.start("w1", "--queues", "tool", "--pool", "threads", "-c", "4", lease_seconds=2, beat_seconds=0.3)
    fleet.start("w2", "--queues", "control", "-c", "1", lease_seconds=2, beat_seconds=0.3)
    with redis.Redis.from_url(fleet.server.url) as connection:
        connection.set(names.CLOCK, int(time.time() * 1000))
    spin = [python_step(f"spin{i}", "tests.functions:spin_for", 6.0) for i in range(2)]
    told = python_step("told", "tests.functions:spin_by_the_clock", fleet.server.url, 6.0)
    wait = python_step("wait", "tests.functions:mark", str(fleet.folder), "wait", 6.0)
    document = fleet.client.submit(Plan(id="busy", steps=(*spin, told, wait))).result(timeout=120)
    assert document.success
    assert {name: step.retries for name, step in document.steps.items()} == dict.fromkeys(document.steps, 0)


def test_a_result_of_fifty_megabytes_is_a_file(fleet: Fleet) -> None:
    fleet.start("w1", "-c", "1")
    text = """
        steps:
          - {id: big, tool: "python:tests.functions:big", parameters: {megabytes: 50}}
          - {id: moved, tool: filesystem, action: move, parameters: {source: "{{ big.result.path }}", destination: it}}
    """
    document = fleet.client.submit(loads(text).plan).result(timeout=60)
    assert document.success
    assert (fleet.folder / "it").stat().st_size == document.steps["big"].value["result"]["bytes"] == 50 * 1024**2
    with redis.Redis.from_url(fleet.server.url) as connection:
        assert connection.info("memory")["used_memory_peak"] < 20 * 1024**2


def test_levels_hold_in_a_worker(fleet: Fleet, echo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = fleet.folder / "orchestrator.toml"
    config.write_text('[tools.levels]\n"python:*" = "restricted"\n[tools.limits]\nmemory_bytes = 200_000_000\n')
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", str(config))
    fleet.start("w1", "-c", "1")
    text = f"""
        steps:
          - {{id: hog, tool: "python:tests.functions:big", on_failure: continue, parameters: {{megabytes: 300}}}}
          - {{id: inside, tool: http, action: get, on_failure: continue, parameters: {{url: "http://{echo}/"}}}}
          - {{id: alive, tool: terminal, dependencies: [hog, inside], parameters: {{command: "echo still"}}}}
    """
    document = fleet.client.submit(loads(text).plan).result(timeout=60)
    assert "held more than 200000000 bytes" in (document.steps["hog"].error or "")
    assert "is not public; allow it with allow_hosts" in (document.steps["inside"].error or "")
    assert document.steps["alive"].value["result"]["stdout"] == "still\n"
