"""The audit log: whoever changes something is in it, with what was granted, and none of a run's inputs or values."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from orchestrator_client import AsyncClient, Client, loads
from orchestrator_client.cli import main
from orchestrator_client.contract import names
from orchestrator_client.contract.audit import WHO_CHARACTERS
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet, plan_of_shape

ADA = "ada@example.org"


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Client]:
    with Client(redis_server.url, actor=ADA) as client:
        yield client


def acts(client: Client, **wanted: object) -> list[tuple[str, str]]:
    return [(entry.act, entry.run) for entry in client.audit(**wanted)]  # type: ignore[arg-type]


def test_a_submission_says_what_it_was_granted(client: Client) -> None:
    plan = plan_of_shape({"a": []})
    run = client.submit(plan, tenant="acme", budget_usd="0.50", allow_tools=["python.*"])
    (entry,) = client.audit(run.id)
    assert (entry.act, entry.who) == ("submit", ADA)
    assert abs(entry.at_ms - run.status().submitted_ms) < 1
    assert entry.data == {
        "pipeline": "shape",
        "plan": plan.hash,
        "tenant": "acme",
        "budget": {"usd": "0.50", "on_breach": "fail"},
        "allow_tools": ["python.*"],
    }


def test_submitting_again_and_cancelling_again_are_no_acts(client: Client) -> None:
    for _ in range(2):
        run = client.submit(plan_of_shape({"a": []}), idempotency_key="monday")
        run.cancel()
    assert acts(client) == [("cancel", run.id), ("submit", run.id)]


def test_limits_and_budgets_are_the_fleets(client: Client) -> None:
    run = client.submit(plan_of_shape({"a": []}), budget_usd=1)
    client.set_limits("openai/gpt-5", requests=60)
    client.learn_limits("openai/gpt-5")
    client.set_budget("tag:nightly", 20, "day")
    client.set_budget(run.id, "1.5")
    run_budget, tag_budget, learned, limits, _ = client.audit()
    assert (run_budget.run, run_budget.data) == (run.id, {"budget": f"run:{run.id}", "usd": 1.5})
    assert (tag_budget.run, tag_budget.data["usd"]) == ("", 20)
    assert limits.data == {"scope": "openai/default/gpt-5", "set": {"requests": 60}}
    assert learned.data == {"scope": "openai/default/gpt-5", "learn": True}
    assert acts(client, act="limits") == [("limits", ""), ("limits", "")]


def test_a_variable_is_named_and_its_value_is_not_told(client: Client) -> None:
    run = client.submit(plan_of_shape({"a": []}), {})
    run.variables.set("colour", "vermilion")
    assert client.audit(run.id, act="set")[0].data == {"names": ["colour"], "by": ADA}
    assert b"vermilion" not in client._stores.connection.redis.dump(names.AUDIT)


def test_the_log_outlives_its_runs_and_has_a_life(client: Client) -> None:
    client.submit(plan_of_shape({"a": []}))
    assert 399 * 86400 < client._stores.connection.redis.ttl(names.AUDIT) <= 400 * 86400


def test_a_name_is_cut(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_ACTOR", "nightly" * 100)
    client = Client(redis_server.url)
    client.submit(plan_of_shape({"a": []}))
    assert client.audit()[0].who == ("nightly" * 100)[:WHO_CHARACTERS]


def test_asyncio_has_it_too(redis_server: RedisServer) -> None:
    async def scenario() -> list[str]:
        async with AsyncClient(redis_server.url, actor="async") as client:
            await client.submit(plan_of_shape({"a": []}))
            return [entry.who for entry in await client.audit(limit=1)]

    assert asyncio.run(scenario()) == ["async"]


def test_what_a_step_does_is_not_in_it(fleet: InProcessFleet) -> None:
    """Runs that steps start and end are their runs' doing."""
    run = fleet.submit(plan_of_shape({"a": []}))
    fleet.finish(run)
    fleet.engine.store.cancel(run.id)
    assert [entry.act for entry in fleet.client.audit()] == ["submit"]


def test_an_approval_is_in_it_with_its_decision(client: Client, fleet: InProcessFleet) -> None:
    plan = loads("id: p\nsteps:\n  - {id: go, tool: approval-gate, parameters: {title: release?}}\n").plan
    run = fleet.submit(plan)
    fleet.drain()
    client.run(run.id).approve("go", comment="a private word", by="ada")
    (entry,) = client.audit(run.id, act="answer")
    assert (entry.who, entry.data) == (
        ADA,
        {"step": "go", "number": 1, "by": "ada", "action": "approve", "approved": True},
    )


def test_the_command_shows_it(client: Client) -> None:
    run = client.submit(plan_of_shape({"a": []}), tags=["x"])
    run.cancel()
    shown = CliRunner().invoke(main, ["audit", run.id, "--redis", client.url])
    assert [line.split()[3] for line in shown.output.splitlines()[1:]] == ["submit", "cancel"]
    assert ADA in shown.output
    listed = CliRunner().invoke(main, ["audit", "--act", "cancel", "--json", "--redis", client.url])
    assert [entry["who"] for entry in json.loads(listed.output)] == [ADA]
