"""No message ends a worker: what it cannot take lies in the dead letters, and the next message is taken."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from orchestrator_client.cli import main
from orchestrator_client.client import Client
from orchestrator_client.contract import names
from orchestrator_client.contract.dead import EXCERPT_BYTES, KEPT_BYTES
from orchestrator_client.contract.envelope import SIGNATURE, Keyring, dumps
from orchestrator_client.contract.message import Hint, close_message, start_message, step_message
from orchestrator_client.contract.plan import Plan
from tests.conftest import wait_until
from tests.fleet import WorkerProcess, python_step
from tests.standing_fleet import StandingFleet
from tests.unit.test_gate import MALFORMED, changed, envelope, foreign, raw

pytestmark = pytest.mark.xdist_group("dead_letters")

KEY = "a key that this fleet alone has: 9f3c"
OTHERS = Keyring(["a key that somebody else made up: 1"])

SECRET = '7f3a+9c/51"e2-canary'
SEEN = (
    *(SECRET, SECRET[:7], json.dumps(SECRET)[1:-1], quote(SECRET), quote(SECRET, safe=""), SECRET.encode().hex()),
    *(base64.b64encode(SECRET.encode()).decode()[:12], quote(base64.b64encode(SECRET.encode()), safe="")[:12]),
)
"""What must not be read anywhere."""

HOOKED = {"__type__": "datetime", "__value__": "boom", "lc": 1, "$ref": "#/x", "__proto__": {"a": 1}}
"""What kombu, LangChain, JSON schema and JavaScript would each make something of."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingFleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORCHESTRATOR_FLEET_KEY", KEY)
        patch.setenv("ORCHESTRATOR_SECRET_TOKEN", SECRET)
        with StandingFleet(tmp_path_factory.mktemp("dead")) as standing:
            yield standing


@pytest.fixture(scope="module", autouse=True)
def workers(fleet: StandingFleet) -> list[WorkerProcess]:
    pools = (("processes", "prefork"), ("threads", "threads"))
    return [fleet.start_worker(name, "-c", "1", "--pool", pool, beat_seconds=0.3) for name, pool in pools]


@pytest.fixture(autouse=True)
def _clean(fleet: StandingFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", fleet.url)
    fleet.redis.delete(names.DEAD)


def orchestrator(*arguments: str, code: int = 0) -> str:
    """What the command prints."""
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == code, ended.output
    return ended.output


def letters(fleet: StandingFleet, count: int) -> list[Any]:
    def enough() -> list[Any]:
        found = fleet.client.dead_letters()
        return found if len(found) >= count else []

    return wait_until(enough, f"{count} dead letters")


def marked(fleet: StandingFleet, name: str) -> Plan:
    return Plan(id="marked", steps=(python_step(name, "tests.functions:mark", str(fleet.folder), name),))


def test_all_garbage_is_put_aside_and_the_workers_go_on(fleet: StandingFleet, workers: list[WorkerProcess]) -> None:
    garbage = [payload if isinstance(payload, bytes) else raw(payload) for payload, _ in MALFORMED.values()]
    garbage.append(pickle.dumps({"task": "x"}))
    for queue in (names.TOOL_QUEUE, names.CONTROL_QUEUE):
        fleet.redis.lpush(queue, *garbage)
    assert fleet.client.submit(marked(fleet, "after_garbage")).result(timeout=60).success
    found = letters(fleet, 2 * len(garbage))
    assert len(found) == 2 * len(garbage)
    assert all(letter.reason and letter.worker for letter in found)
    assert {letter.queue for letter in found} == {names.TOOL_QUEUE, names.CONTROL_QUEUE}
    assert [worker.process.poll() for worker in workers] == [None, None]
    assert fleet.redis.ttl(names.DEAD) > 0


def test_forged_and_replayed_messages_execute_nothing(fleet: StandingFleet, workers: list[WorkerProcess]) -> None:
    own = Keyring([KEY])
    run = fleet.client.submit(marked(fleet, "once"))
    assert run.result(timeout=60).success
    hint = Hint(run.id, "once", 1, names.TOOL_QUEUE, "tool · test")
    genuine = envelope(step_message(hint, own))
    forged = [
        (names.TOOL_QUEUE, envelope(step_message(hint, OTHERS))),
        (names.TOOL_QUEUE, envelope(step_message(hint, Keyring()))),
        (names.CONTROL_QUEUE, genuine),
        (names.TOOL_QUEUE, genuine | {"body": genuine["body"].replace("once", "twice")}),
        (names.TOOL_QUEUE, genuine | {"headers": {**genuine["headers"], SIGNATURE: f"{own._first}.\ud800"}}),
        (names.CONTROL_QUEUE, envelope(start_message(run.id, OTHERS))),
        (names.CONTROL_QUEUE, envelope(close_message(run.id, Keyring()))),
    ]
    for queue, payload in forged:
        fleet.redis.lpush(queue, raw(payload))
    assert len(letters(fleet, len(forged))) == len(forged)
    # A genuine message that comes again is none for the letters: the store knows that its step has ended.
    fleet.redis.lpush(names.TOOL_QUEUE, raw(genuine))
    assert fleet.client.submit(marked(fleet, "after_forgery")).result(timeout=60).success
    assert len(fleet.client.dead_letters()) == len(forged)
    assert fleet.ledger().count("+once") == 1
    assert [worker.process.poll() for worker in workers] == [None, None]


def test_orders_of_remote_control_are_not_taken(fleet: StandingFleet, workers: list[WorkerProcess]) -> None:
    from orchestrator_worker.app import create_app
    from orchestrator_worker.settings import Settings

    app = create_app(Settings(redis_url=fleet.url))
    try:
        wait_until(lambda: len(app.control.inspect(timeout=2).ping() or ()) == 2, "both workers answer", seconds=60)
        app.control.broadcast("shutdown")
        app.control.broadcast("cancel_consumer", arguments={"queue": names.TOOL_QUEUE})
        for junk in (b"boom", b"[]", b"{}", b'{"properties": {}, "body": "x"}', b"\xff"):
            fleet.redis.publish("/0.celery.pidbox", junk)
        assert fleet.client.submit(marked(fleet, "after_orders")).result(timeout=60).success
        wait_until(lambda: len(app.control.inspect(timeout=2).ping() or ()) == 2, "both still answer", seconds=60)
    finally:
        app.close()
    assert [worker.process.poll() for worker in workers] == [None, None]


def test_values_that_look_like_objects_stay_values(fleet: StandingFleet) -> None:
    step = python_step("same", "tests.functions:same", HOOKED)
    document = fleet.client.submit(Plan(id="hooked", steps=(step,))).result(timeout=60)
    assert document.steps["same"].value["result"] == HOOKED


def test_a_run_whose_client_has_no_key_starts_all_the_same_and_says_why_late(
    fleet: StandingFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client has recorded in the store is found there; its message is only a hint, and goes to the letters."""
    monkeypatch.delenv("ORCHESTRATOR_FLEET_KEY")
    with Client(fleet.url) as stranger:
        run = stranger.submit(marked(fleet, "keyless"))
        (letter,) = letters(fleet, 1)
        assert "it is not signed; whoever sent it has no ORCHESTRATOR_FLEET_KEY" in letter.reason
        assert run.result(timeout=60).success


def test_dead_letters_on_the_command_line(fleet: StandingFleet) -> None:
    assert "no dead letters" in orchestrator("dead", "list")
    fleet.redis.lpush(names.TOOL_QUEUE, b"\x1b[31mboom", b"x" * (KEPT_BYTES + 1))
    small, large = sorted(letters(fleet, 2), key=lambda letter: letter.size_bytes)
    listed = orchestrator("dead", "list")
    assert small.id in listed
    assert "not JSON" in listed
    assert [letter["id"] for letter in json.loads(orchestrator("dead", "list", "--json"))] == sorted(
        [small.id, large.id], key=lambda text: [int(part) for part in text.split("-")]
    )
    shown = orchestrator("dead", "show", small.id)
    assert "queue: tool" in shown
    assert "\x1b" not in shown
    assert json.loads(orchestrator("dead", "show", large.id, "--json"))["message"] is None
    assert "only its beginning was kept" in orchestrator("dead", "requeue", large.id, code=2)
    orchestrator("dead", "requeue", small.id)
    again = wait_until(
        lambda: [letter for letter in fleet.client.dead_letters() if letter.id not in (small.id, large.id)],
        "it is refused once more",
    )
    assert again[0].size_bytes == small.size_bytes
    orchestrator("dead", "drop", large.id)
    dropped, requeued = fleet.client.audit(limit=2)
    assert (dropped.act, dropped.data) == ("drop", {"letter": large.id, "queue": "tool"})
    assert (requeued.act, requeued.data) == ("requeue", {"letter": small.id, "queue": "tool"})
    orchestrator("dead", "drop", "--all")
    assert fleet.client.dead_letters() == []
    assert "`orchestrator dead list`" in orchestrator("dead", "show", small.id, code=2)
    assert "--all" in orchestrator("dead", "drop", code=2)


def telling() -> Iterator[bytes]:
    """Messages that carry the secret, none of which is taken."""
    encoded = base64.b64encode(f"Bearer {SECRET}".encode()).decode()
    yield from (f"boom {form}".encode() for form in (SECRET, encoded, quote(encoded), *SEEN[3:6]))
    yield b"x" * (KEPT_BYTES + 1) + SECRET.encode()
    yield b"x" * (EXCERPT_BYTES - 8) + SECRET.encode() + b"x" * KEPT_BYTES
    yield raw(changed("headers", task=f"{'x' * 70}{SECRET}"))
    yield raw(changed("headers", lang=["x" * 70 + SECRET]))
    yield raw(foreign() | {"content-type": SECRET})
    carried = dumps([[], {"plan": json.dumps({"id": SECRET})}, {}])
    yield raw(foreign() | {"body": carried, "properties": {"delivery_tag": "1", "delivery_info": {}}})
    yield raw(foreign() | {"body": base64.b64encode(carried.encode()).decode()})


def test_a_secret_in_a_message_is_in_no_letter(fleet: StandingFleet) -> None:
    messages = list(telling())
    named = raw(changed("headers", task="secret://TOKEN"))
    fleet.redis.lpush(names.TOOL_QUEUE, *messages, named)
    found = letters(fleet, len(messages) + 1)
    told = [repr(fleet.redis.xrange(names.DEAD)), orchestrator("dead", "list"), orchestrator("dead", "list", "--json")]
    told += [orchestrator("dead", "show", letter.id, *json_too) for letter in found for json_too in ((), ("--json",))]
    told += [log.read_text() for log in fleet.folder.glob("*.log")]
    assert [(form, text[:300]) for form in SEEN for text in told if form in text] == []
    assert [sum("[secret TOKEN]" in getattr(each, name) for each in found) for name in ("excerpt", "reason")] == [9, 3]
    [whole] = [letter for letter in map(fleet.client.dead_letter, (each.id for each in found)) if letter.message]
    assert "secret://TOKEN" in whole.message
    kept = next(letter for letter in found if letter.size_bytes < 100)
    assert "or a secret in it" in orchestrator("dead", "requeue", kept.id, code=2)
