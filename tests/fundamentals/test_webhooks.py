"""Whoever wants to know hears of a run's end, at least once.

The script that ends a run puts its end among what is to be told, in the same moment. It waits in Redis; a worker takes
it for a time, tells it from a thread beside its steps, and records what came of it. A worker that dies in between has
it told again, with the same id.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.run import RunState
from orchestrator_worker.process import courier
from orchestrator_worker.process.courier import ATTEMPTS, LEASE_SECONDS, Courier, signature
from orchestrator_worker.tools.base import Reach
from tests.conftest import assert_keys_have_ttl
from tests.fleet import InProcessFleet, python_step
from tests.fundamentals.families import drive

PLAN = Plan(id="p", steps=(python_step("a", "builtins:str", "private"),), outputs={"said": "{{ a.result }}"})
SECRET = "a-secret-that-signs"


class Receiver:
    """A server that keeps what it is told; `answers` are the statuses that it gives, the last one for good."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], str]] = []
        self.answers = [204]
        self.held = threading.Event()
        self.held.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the tests speak for themselves."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.told.append(({name.lower(): value for name, value in self.headers.items()}, body))
                outer.held.wait(30)
                status = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.held.set()
    receiver.server.shutdown()
    receiver.server.server_close()


def courier_of(fleet: InProcessFleet, *allowed: str) -> Courier:
    return Courier(fleet.engine.store, fleet.engine.vault, Reach(allowed or ("127.0.0.1",)), 1.0)


def ended(fleet: InProcessFleet, receiver: Receiver, **given: Any) -> Run:
    run = fleet.client.submit(PLAN, webhook=given.pop("url", receiver.url), **given)
    drive(fleet)
    assert run.status().state is RunState.SUCCEEDED
    return run


def later(fleet: InProcessFleet, run: Run, seconds: float) -> None:
    fleet.set_clock(run, round(seconds * 1000))


def test_the_end_is_told_once_signed_and_without_values(
    fleet: InProcessFleet, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SECRET_HOOK", SECRET)
    run = ended(fleet, receiver, webhook_secret="secret://HOOK", tags=["t"])
    assert run.document().delivery == "waiting"
    assert (courier_of(fleet).deliver(), courier_of(fleet).deliver()) == (1, 0)
    [(headers, body)] = receiver.told
    said = json.loads(body)
    assert (said["run"], said["state"], said["success"], said["tags"]) == (run.id, "succeeded", True, ["t"])
    assert "private" not in body
    assert headers["orchestrator-delivery"] == run.id
    assert headers["orchestrator-signature"] == f"v1={signature(SECRET, headers['orchestrator-timestamp'], body)}"
    assert run.document().delivery == "delivered after 1 attempts"
    assert not any(SECRET.encode() in value for value in fleet.redis.hgetall(names.RunKeys(run.id).record).values())
    assert_keys_have_ttl(fleet.redis)


def test_outputs_are_told_when_they_are_asked_for(fleet: InProcessFleet, receiver: Receiver) -> None:
    ended(fleet, receiver, webhook_values=True)
    courier_of(fleet).deliver()
    assert json.loads(receiver.told[0][1])["outputs"] == {"said": "private"}


@pytest.mark.parametrize("status", [500, 302, 404])
def test_what_is_not_taken_is_told_again_later(fleet: InProcessFleet, receiver: Receiver, status: int) -> None:
    receiver.answers = [status, status, 200]
    run = ended(fleet, receiver)
    later(fleet, run, 60)
    courier_of(fleet).deliver()
    assert run.document().delivery == f"waiting after 1 attempts: it answered with {status}"
    assert courier_of(fleet).deliver() == 0, "it waits"
    later(fleet, run, 100)
    courier_of(fleet).deliver()
    later(fleet, run, 200)
    courier_of(fleet).deliver()
    assert run.status().delivery == "delivered"
    assert len({headers["orchestrator-delivery"] for headers, _ in receiver.told}) == 1
    assert [headers["orchestrator-attempt"] for headers, _ in receiver.told] == ["1", "2", "3"]


def test_after_so_many_attempts_it_is_given_up_and_says_why(fleet: InProcessFleet, receiver: Receiver) -> None:
    receiver.answers = [503]
    run = ended(fleet, receiver)
    for hour in range(ATTEMPTS + 3):
        later(fleet, run, hour * 3_700)
        courier_of(fleet).deliver()
    assert run.document().delivery == f"dead after {ATTEMPTS} attempts: it answered with 503"
    assert len(receiver.told) == ATTEMPTS
    assert fleet.redis.zcard(names.DELIVERIES) == 0


def test_a_worker_that_dies_between_the_request_and_its_record_has_it_told_again(
    fleet: InProcessFleet, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended(fleet, receiver)
    with monkeypatch.context() as patch:

        def dies(*_: Any) -> None:
            raise SystemExit

        patch.setattr(fleet.engine.store, "record_delivery", dies)
        with pytest.raises(SystemExit):
            courier_of(fleet).deliver()
    assert courier_of(fleet).deliver() == 0, "another worker may still be at it"
    later(fleet, run, LEASE_SECONDS + 60)
    assert courier_of(fleet).deliver() == 1
    assert (len(receiver.told), run.status().delivery) == (2, "delivered")


def test_a_record_that_comes_too_late_changes_nothing(fleet: InProcessFleet, receiver: Receiver) -> None:
    run = ended(fleet, receiver)
    [first] = fleet.engine.store.due_deliveries(LEASE_SECONDS, 8)
    later(fleet, run, LEASE_SECONDS + 60)
    courier_of(fleet).deliver()
    assert fleet.engine.store.record_delivery(first, "it was slow", 5.0) == "refused"
    assert run.status().delivery == "delivered"


def test_a_slow_server_holds_nobody_else_and_no_longer_than_its_time(
    fleet: InProcessFleet, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "TIMEOUT_SECONDS", 0.3)
    receiver.held.clear()
    run = ended(fleet, receiver)
    courier_of(fleet).deliver()
    assert "took longer than its timeout of 0.3 s" in (run.document().delivery or "")


def test_addresses_are_checked_as_those_of_tools(fleet: InProcessFleet, receiver: Receiver) -> None:
    run = ended(fleet, receiver)
    courier_of(fleet, "example.com").deliver()
    assert receiver.told == []
    assert "127.0.0.1" in (run.document().delivery or "")


def test_a_secret_that_the_worker_has_not_is_named(fleet: InProcessFleet, receiver: Receiver) -> None:
    run = ended(fleet, receiver, webhook_secret="secret://MISSING")
    courier_of(fleet).deliver()
    assert (receiver.told, "no secret 'MISSING'" in (run.document().delivery or "")) == ([], True)


def test_a_run_that_never_began_is_told_too(fleet: InProcessFleet, receiver: Receiver) -> None:
    run = fleet.client.submit(PLAN, webhook=receiver.url)
    run.cancel()
    drive(fleet)
    courier_of(fleet).deliver()
    assert json.loads(receiver.told[0][1])["state"] == "cancelled"


@pytest.mark.parametrize(
    ("url", "secret"), [("ftp://h/x", ""), ("http://", ""), ("h", ""), ("http://h", "hunter2"), ("http://[", "")]
)
def test_what_is_no_webhook_is_refused(fleet: InProcessFleet, url: str, secret: str) -> None:
    with pytest.raises(InputsInvalid, match="webhook"):
        fleet.client.submit(PLAN, webhook=url, webhook_secret=secret)
