"""Model steps through the real command line, queue, model worker and HTTP; only the vendor's server is ours."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client.contract import names
from tests.command_line import Shell
from tests.conformance.model_server import Answer, ModelServer, error, text
from tests.conftest import wait_until

KEY = "sk-test-Zx81KeepThisToYourself42"
QUEUE = "model.openai"

LASTING = {"lease_seconds": 30, "hint_seconds": 30}
"""No worker dies here, and a slow one must not be thought dead, nor its message lost: its call would be made twice."""

PLAN = """\
    id: tell
    steps:
      - {id: topic, tool: terminal, parameters: {command: "printf rivers"}}
      - {id: draft, action: generate_text, parameters: {prompt: "Write about {{ topic.stdout }}", model: gpt-4o-mini}}
      - {id: keep, tool: filesystem, action: write, parameters: {path: draft.md, content: "# {{ draft.result }}"}}
    outputs: {draft: "{{ draft.result }}"}
"""


@pytest.fixture
def fleet(shell: Shell, server: ModelServer) -> Shell:
    """A fleet of one tool worker, which has no key; its Redis is the one that commands find in their environment."""
    shell.environment["ORCHESTRATOR_REDIS_URL"] = shell.redis()
    shell.worker("tools", "-c", "2", **LASTING)
    shell.write(PLAN)
    return shell


def start_model_worker(fleet: Shell, server: ModelServer, *options: str) -> Path:
    """Start the worker that has the key; returns its log."""
    environment = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY}
    return fleet.worker("models", "--queues", QUEUE, "-c", "8", *options, environment=environment, **LASTING).log


def document_of(fleet: Shell, run_id: str) -> dict[str, Any]:
    """The document of a run, once it has ended."""
    document: dict[str, Any] = fleet.run("result", run_id, "-o", "json").json
    return document


def events_of(fleet: Shell, run_id: str) -> list[dict[str, Any]]:
    lines = fleet.run("watch", run_id, "-o", "json").out.splitlines()
    return [json.loads(line) for line in lines]


def everything_in(url: str) -> bytes:
    """All keys and values of a Redis, those that are compressed also in the clear."""
    with redis.Redis.from_url(url) as client:
        found = [part for key in client.scan_iter(count=1000) for part in (key, *_parts(client, key))]
    return b"\n".join(found + [clear for part in found for clear in _decompressed(part)])


def _parts(client: Any, key: bytes) -> list[bytes]:
    """What is stored under a key, by its type; of a text that expired meanwhile nothing."""
    match client.type(key):
        case b"string":
            return [client.get(key) or b""]
        case b"list":
            return list(client.lrange(key, 0, -1))
        case b"hash":
            return [part for pair in client.hgetall(key).items() for part in pair]
        case b"set":
            return list(client.smembers(key))
        case b"zset":
            return list(client.zrange(key, 0, -1))
        case b"stream":
            return [part for _, fields in client.xrange(key) for pair in fields.items() for part in pair]
        case b"none":
            return []  # it expired meanwhile
        case kind:
            raise AssertionError(f"{key!r} is a {kind!r}, which this test cannot read")


def _decompressed(part: bytes) -> list[bytes]:
    with suppress(zlib.error):
        return [zlib.decompress(part)]
    return []


def test_its_text_flows_into_a_later_step_with_usage_and_cost(fleet: Shell, server: ModelServer) -> None:
    start_model_worker(fleet, server)
    server.script(text("Rivers are long.", input_tokens=1000, cached_tokens=200, output_tokens=500))
    ended = fleet.run("run", "plan.yaml", "-o", "-")
    assert ended.code == 0, ended.said
    assert (fleet.folder / "draft.md").read_text() == "# Rivers are long."
    assert ended.json["outputs"] == {"draft": "Rivers are long."}
    (request,) = server.requests
    assert request.body["input"][-1]["content"] == "Write about rivers"
    draft = ended.json["steps"]["draft"]
    assert (draft["provider"], draft["model"]) == ("openai", "gpt-4o-mini-2024-07-18")
    usage = draft["usage"]
    assert (usage["requests"], usage["input_tokens"], usage["output_tokens"]) == (1, 1000, 500)
    assert usage["cached_input_tokens"] == 200
    assert Decimal("0.0001") < Decimal(usage["cost_usd"]) < Decimal("0.01")
    assert ended.json["usage"] == usage
    assert "for 1 model call" in ended.err


def test_it_waits_in_the_queue_of_its_provider(fleet: Shell, server: ModelServer) -> None:
    run_id = fleet.run("submit", "plan.yaml").out.strip()
    with redis.Redis.from_url(fleet.environment["ORCHESTRATOR_REDIS_URL"]) as client:
        wait_until(lambda: client.llen(QUEUE) == 1, "a message lies in the provider's queue")
        assert client.llen(names.TOOL_QUEUE) == 0
    shown = fleet.run("show", run_id, "-o", "json").json["steps"]
    assert [step["status"] for step in shown.values()] == ["completed", "ready", "pending"]
    assert server.requests == []
    start_model_worker(fleet, server)
    assert document_of(fleet, run_id)["success"]
    assert len(server.requests) == 1


def test_a_rate_limit_parks_the_step_for_as_long_as_it_says(fleet: Shell, server: ModelServer) -> None:
    start_model_worker(fleet, server)
    limited = error(429, "slow down", code="rate_limit_exceeded", headers={"retry-after": "2"})
    server.script(limited, text("at last"))
    run_id = fleet.run("submit", "plan.yaml").out.strip()
    assert document_of(fleet, run_id)["outputs"] == {"draft": "at last"}
    first, second = server.requests
    assert 2.0 <= second.at - first.at < 30.0
    (parked,) = [event for event in events_of(fleet, run_id) if event["kind"] == "step_parked"]
    assert parked["instance"] == "draft"
    assert parked["data"]["reason"] == "limit"
    assert parked["data"]["scope"] == "openai/default/gpt-4o-mini"
    assert 0 < parked["data"]["delay_ms"] <= 2000
    assert "limits the rate" in parked["data"]["words"]


def test_cancel_closes_the_connection_of_a_slow_call(fleet: Shell, server: ModelServer) -> None:
    start_model_worker(fleet, server)
    server.script(text("too late", delay_seconds=300))
    run_id = fleet.run("submit", "plan.yaml").out.strip()
    server.wait_until(lambda s: len(s.requests) == 1, "the call is under way", seconds=60)
    fleet.run("cancel", run_id)
    server.wait_until(lambda s: s.hangups == 1, "the connection is closed, long before an answer", seconds=60)
    document = document_of(fleet, run_id)
    assert document["status"] == "cancelled"
    assert [step["status"] for step in document["steps"].values()] == ["completed", "cancelled", "cancelled"]
    assert len(server.requests) == 1
    assert not (fleet.folder / "draft.md").exists()


@pytest.mark.parametrize("level", ["WARNING", "DEBUG"])
def test_the_key_is_nowhere(fleet: Shell, server: ModelServer, level: str) -> None:
    log = start_model_worker(fleet, server, "--log-level", level)
    url = fleet.environment["ORCHESTRATOR_REDIS_URL"]
    midway: list[bytes] = []

    def look(_: object) -> Answer:
        midway.append(everything_in(url))
        return error(500, f"out of order, {KEY}")

    server.script(look, error(401, f"Incorrect API key provided: {KEY}", code="invalid_api_key"))
    run_id = fleet.run("submit", "plan.yaml").out.strip()
    document = fleet.run("result", run_id, "-o", "json").out
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    assert "refused the key" in document
    assert "[key]" in document
    assert b"refused the key" in everything_in(url), "the scan does not see what is there"
    events = json.dumps(events_of(fleet, run_id))
    logs = b"".join(path.read_bytes() for path in log.parent.glob("*.log"))
    for place in (*midway, everything_in(url), document.encode(), events.encode(), logs):
        assert KEY.encode() not in place
        assert KEY[8:].encode() not in place
