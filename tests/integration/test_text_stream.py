"""Text of models through real workers: as it is written, void when its connection broke, whole for late readers."""

from __future__ import annotations

import asyncio
import json

import pytest

from orchestrator_client import AsyncClient, Client, Delta, Dropped, Written
from tests.command_line import Shell
from tests.conformance.model_server import ModelServer, stream, text

PIECES = ("Rivers ", "run ", "to ", "the ", "sea.")
WHOLE = "".join(PIECES)

PLAN = """\
    id: tell
    steps:
      - {id: draft, action: generate_text, parameters: {prompt: "Of rivers", model: gpt-4o-mini},
         retry: {attempts: 3, initial_seconds: 0.1}}
    outputs: {draft: "{{ draft.result }}"}
"""


@pytest.fixture
def fleet(shell: Shell, server: ModelServer) -> Shell:
    """A fleet with one worker for tools and one for models."""
    shell.environment["ORCHESTRATOR_REDIS_URL"] = shell.redis()
    patient = {"lease_seconds": 30}  # neither worker is to take the other for dead
    shell.worker("tools", "-c", "2", **patient)
    environment = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-test"}
    shell.worker("models", "--queues", "model.openai", "-c", "4", environment=environment, **patient)
    shell.write(PLAN)
    return shell


def test_text_is_there_while_the_model_writes(fleet: Shell, server: ModelServer) -> None:
    server.script(stream(*PIECES, pause_seconds=0.05))
    with Client(fleet.environment["ORCHESTRATOR_REDIS_URL"]) as client:
        run = client.submit(fleet.folder / "plan.yaml", stream_text=True)
        messages = list(run.stream(timeout=60, mode="messages"))
        assert "".join(m.text for m in messages if isinstance(m, Delta)) == WHOLE
        assert len([m for m in messages if isinstance(m, Delta)]) > 1
        assert isinstance(messages[-1], Written)
        assert run.result(timeout=60).outputs == {"draft": WHOLE}
        # Whoever comes when all is over reads the same.
        again = list(run.stream(timeout=60, mode="messages"))
        assert [m.model_dump(exclude={"id"}) for m in again] == [m.model_dump(exclude={"id"}) for m in messages]


def test_text_of_a_broken_connection_is_void(fleet: Shell, server: ModelServer) -> None:
    server.script(stream("Lakes ", "lie ", fault="cut"), stream(*PIECES))
    with Client(fleet.environment["ORCHESTRATOR_REDIS_URL"]) as client:
        run = client.submit(fleet.folder / "plan.yaml", stream_text=True)
        messages = list(run.stream(timeout=60, mode="messages"))
    [dropped] = [at for at, message in enumerate(messages) if isinstance(message, Dropped)]
    before, after = messages[:dropped], messages[dropped + 1 :]
    assert "".join(m.text for m in before if isinstance(m, Delta)).startswith("Lakes")
    assert "".join(m.text for m in after if isinstance(m, Delta)) == WHOLE


def test_who_did_not_ask_in_time_has_the_text_whole(fleet: Shell, server: ModelServer) -> None:
    server.script(text(WHOLE))
    with Client(fleet.environment["ORCHESTRATOR_REDIS_URL"]) as client:
        run = client.submit(fleet.folder / "plan.yaml")
        run.wait(60)
        [written] = run.stream(timeout=60, mode="messages")
        assert isinstance(written, Written)
        assert written.text == WHOLE


def test_run_shows_it_on_stdout_alone(fleet: Shell, server: ModelServer) -> None:
    server.script(stream(*PIECES, pause_seconds=0.02), stream(*PIECES))
    ended = fleet.run("run", "plan.yaml", "--tokens")
    assert (ended.code, ended.out) == (0, f"{WHOLE}\n")
    lines = [json.loads(line) for line in fleet.run("run", "plan.yaml", "--tokens", "--json").out.splitlines()]
    assert "".join(line["text"] for line in lines if line["type"] == "delta") == WHOLE


def test_the_embedded_fleet_streams_too(shell: Shell, server: ModelServer) -> None:
    server.script(stream(*PIECES))
    shell.write(PLAN)
    ended = shell.run("run", "plan.yaml", "--tokens", OPENAI_BASE_URL=server.url, OPENAI_API_KEY="sk-test")
    assert (ended.code, ended.out) == (0, f"{WHOLE}\n")
    shell.assert_nothing_left()


def test_asyncio_reads_it_too(fleet: Shell, server: ModelServer) -> None:
    server.script(stream(*PIECES, pause_seconds=0.02))

    async def read() -> str:
        async with AsyncClient(fleet.environment["ORCHESTRATOR_REDIS_URL"]) as client:
            run = await client.submit(fleet.folder / "plan.yaml", stream_text=True)
            messages = run.stream(timeout=60, mode="messages")
            found = [message async for message in messages]
            assert messages.cursor != "0/0"
            return "".join(m.text for m in found if isinstance(m, Delta))

    assert asyncio.run(read()) == WHOLE


def test_what_a_run_has_cost_and_why_it_ended_so(fleet: Shell, server: ModelServer) -> None:
    server.script(text(WHOLE))
    assert fleet.run("run", "plan.yaml").code == 0
    run_id = fleet.run("runs", "-o", "json").json[0]["run"]
    report = fleet.run("cost", run_id, "--json").json
    assert [(line["name"], line["calls"]) for line in report["lines"]] == [("draft", 1)]
    assert report["total"]["usd"] != "0"
    assert fleet.run("cost", "--json").json["total"]["calls"] == 1
    assert "answered by gpt-4o-mini" in fleet.run("why", run_id, "draft").out
    [gate] = fleet.run("limits", "list", "--json").json
    assert gate["scope"] == "openai/default/gpt-4o-mini"
    [step] = fleet.run("estimate", "plan.yaml", "--json").json["steps"]
    assert step["source"] == "history of 1 call"
