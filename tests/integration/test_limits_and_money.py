"""What a person sees and changes while calls wait: limits and budgets, on a fleet of real workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Shell
from tests.conformance.model_server import ModelServer, text
from tests.conftest import wait_until

SCOPE = "openai/default/gpt-4o-mini"

LASTING = {"lease_seconds": 30}
"""No worker dies here, and a slow one must not be thought dead: its call would be made twice."""

PLAN = """\
    id: many
    steps:
      - {id: one, action: generate_text, parameters: {prompt: "One", model: gpt-4o-mini, max_tokens: 1000}}
      - {id: two, action: generate_text, parameters: {prompt: "Two", model: gpt-4o-mini, max_tokens: 1000}}
    outputs: {one: "{{ one.result }}", two: "{{ two.result }}"}
"""


@pytest.fixture
def fleet(shell: Shell, server: ModelServer) -> Shell:
    shell.environment["ORCHESTRATOR_REDIS_URL"] = shell.redis()
    shell.worker("tools", "-c", "2", **LASTING)
    environment = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-test"}
    shell.worker("models", "--queues", "model.openai", "-c", "4", environment=environment, **LASTING)
    shell.write(PLAN)
    return shell


def submit(fleet: Shell, *options: str) -> str:
    submitted = fleet.run("submit", "plan.yaml", *options)
    assert submitted.code == 0, submitted.err
    return submitted.out.strip()


def why(fleet: Shell, run_id: str, state: str) -> list[dict[str, Any]]:
    """The run's steps that are in this state."""
    return [each for each in fleet.run("why", run_id, "--json").json if each["state"] == state]


def test_a_limit_that_is_raised_lets_through_who_waited_for_it(
    fleet: Shell, server: ModelServer, tmp_path: Path
) -> None:
    server.script(text("first", delay_seconds=3600.0), text("second"))
    assert fleet.run("limits", "set", SCOPE, "in_flight=1").code == 0
    run_id = submit(fleet)
    [waiting] = wait_until(lambda: why(fleet, run_id, "waiting"), "a call waits")
    assert (waiting["scope"], waiting["limit"], waiting["ahead"]) == (SCOPE, "in_flight", 0)
    [gate] = fleet.run("limits", "list", "--json").json
    assert (gate["in_flight"], gate["waiting"]) == (1, 1)
    assert "◔" in fleet.run("show", run_id).out
    assert fleet.run("limits", "set", SCOPE, "in_flight=2").code == 0
    wait_until(
        lambda: json.loads(fleet.run("show", run_id, "-o", "json").out)["steps"][waiting["instance"]]["success"],
        "who waited has its answer",
    )
    fleet.run("cancel", run_id)
    fleet.run("result", run_id)


def test_a_budget_that_is_raised_lets_through_who_waited_for_it(fleet: Shell) -> None:
    # A reply of 1,000 tokens may cost 0.0006 USD.
    run_id = submit(fleet, "--budget", "0.0001", "--on-breach", "pause")
    wait_until(lambda: len(why(fleet, run_id, "waiting")) == 2, "both wait")
    waiting = why(fleet, run_id, "waiting")
    assert {each["budget"]["id"] for each in waiting} == {f"run:{run_id}"}
    assert waiting[0]["help"] == f"orchestrator budget {run_id} 0.0002"
    assert fleet.run("budget", run_id, "--json").json["waiting"] == 2
    assert fleet.run("budget", run_id, "0.50").code == 0
    ended = fleet.run("result", run_id, "--timeout", "60")
    assert (ended.code, "succeeded" in ended.out) == (0, True)
    spent = fleet.run("budget", run_id, "--json").json
    assert 0 < float(spent["spent_usd"]) < 0.0012
    assert (float(spent["reserved_usd"]), spent["waiting"]) == (0, 0)
    assert float(fleet.run("cost", run_id, "--json").json["total"]["usd"]) == pytest.approx(float(spent["spent_usd"]))


def test_a_run_whose_budget_is_used_up_fails_and_says_so(fleet: Shell) -> None:
    ended = fleet.run("run", "plan.yaml", "--budget", "0.0001")
    assert ended.code == 1
    assert "does not pay for it" in ended.said
