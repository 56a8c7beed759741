"""What a run would cost and take: from history, from templates, within limits; and what is said not to be known."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Input, Plan, Step, StepKind
from orchestrator_client.contract.project import Project
from orchestrator_client.contract.tokens import text_tokens
from orchestrator_client.estimate import DEFAULT_OUTPUT_TOKENS, UNKNOWN_INPUT_TOKENS, Estimate, estimate
from orchestrator_client.gates import Gate
from tests.conftest import RedisServer
from tests.unit.test_cli_runs import Fleet

MODEL = "local/small"
PROJECT = Project.model_validate(
    {
        "providers": {"local": {"base_url": "http://127.0.0.1:1/v1"}},
        "models": {MODEL: {"input_usd_per_million": 1, "output_usd_per_million": 10}},
    }
)
HISTORY = {
    "n": 4.0,
    "input": 100.0,
    "input_max": 150.0,
    "output": 20.0,
    "output_max": 30.0,
    "nano": 300_000.0,
    "nano_max": 450_000.0,
    "seconds": 2.0,
    "seconds_max": 5.0,
}
PER = {"input": Decimal("0.000001"), "output": Decimal("0.00001")}


def ask(step: str, *after: str, **parameters: Any) -> Step:
    given = {"prompt": "x", "model": MODEL, **parameters}
    return Step(id=step, kind=StepKind.MODEL, uses="generate", parameters=given, provider="local", after=after)


def of(*steps: Step, project: Project = PROJECT, inputs: dict[str, Any] | None = None, **more: Any) -> Estimate:
    plan = Plan(id="tell", steps=steps, inputs={"topic": Input(default="rivers")})
    return estimate(plan, inputs or {}, project, **more)


def test_a_prompt_that_needs_only_inputs_is_counted() -> None:
    long = "water " * 500
    [step] = of(ask("a", prompt="Tell of {{ topic }}", max_tokens=50), inputs={"topic": long}).steps
    assert step.source == "template"
    assert step.input_tokens.low == step.input_tokens.high > text_tokens(long)
    assert step.output_tokens.high == 50
    assert step.usd is not None
    assert step.usd.high == step.input_tokens.high * PER["input"] + 50 * PER["output"]


def test_a_prompt_that_reads_another_step_is_a_guess_and_says_so() -> None:
    [step] = of(ask("a", prompt="Sum up {{ other.result }}")).steps
    assert step.input_tokens.high - step.input_tokens.low == UNKNOWN_INPUT_TOKENS
    assert step.output_tokens.high == DEFAULT_OUTPUT_TOKENS
    assert any("other steps leave" in words for words in step.unknown)
    assert any("max_tokens is not stated" in words for words in step.unknown)


def test_history_goes_before_templates() -> None:
    [step] = of(ask("a"), histories={"a": HISTORY}).steps
    assert step.source == "history of 4 calls"
    assert (step.input_tokens.low, step.input_tokens.high) == (100, 150)
    assert step.usd is not None
    assert (step.usd.low, step.usd.high) == (Decimal("0.0003"), Decimal("0.00045"))
    assert step.unknown == ()


def test_the_time_is_that_of_the_longest_chain() -> None:
    histories = dict.fromkeys("abc", HISTORY)
    found = of(ask("a"), ask("b", "a"), ask("c"), histories=histories)
    assert (found.seconds.low, found.seconds.high) == (4, 10)
    assert found.usd.high == Decimal("0.00135")


def test_limits_in_force_make_it_longer() -> None:
    gates = {"local/default/small": Gate({}, {}, {"requests": 3}, 0).view("local/default/small", {})}
    steps = [ask(f"s{number}") for number in range(6)]
    found = of(*steps, histories={step.id: HISTORY for step in steps}, gates=gates)
    assert found.seconds.low == 120
    assert found.bound_by == "requests of local/default/small, 3 a minute"


def test_configured_limits_count_where_none_is_in_force_yet() -> None:
    project = PROJECT.model_copy(
        update={"limits": Project.model_validate({"limits": {"local": {"tokens_per_minute": 60}}}).limits}
    )
    found = of(ask("a"), project=project, histories={"a": HISTORY})
    assert (found.seconds.low, found.seconds.high) == (120, 180)


def test_an_unknown_price_is_not_nothing() -> None:
    found = of(ask("a"), ask("b", model="local/other"))
    assert found.unpriced == ("b",)
    assert found.steps[1].usd is None
    assert any("price" in words for words in found.steps[1].unknown)


def test_a_model_that_the_run_chooses() -> None:
    for model in ("AUTO", "{{ other.result }}"):
        [step] = of(ask("a", model=model)).steps
        assert step.model == ""
        assert any("it is chosen when the step starts" in words for words in step.unknown)


def test_tools_may_take_many_calls() -> None:
    [step] = of(ask("a", tools=["filesystem.read"], max_turns=4, max_tokens=10)).steps
    assert step.output_tokens.high == 40
    assert step.input_tokens.high == step.input_tokens.low * 4


def test_a_plan_without_models_costs_nothing() -> None:
    found = of(Step(id="a", kind=StepKind.TOOL, uses="terminal.execute"))
    assert (found.usd.high, found.seconds.high, found.steps) == (0, 0, [])


def test_inputs_must_fit() -> None:
    plan = Plan(id="p", steps=(ask("a"),), inputs={"n": Input(type="integer", required=True)})  # type: ignore[arg-type]
    with pytest.raises(InputsInvalid):
        estimate(plan, {}, PROJECT)


PLAN = """\
id: tell
inputs: {topic: {type: string, default: rivers}}
steps:
  - {id: draft, action: generate, parameters: {prompt: "Of {{ topic }}", model: local/small, max_tokens: 100}}
  - {id: after, action: generate, parameters: {prompt: "{{ draft.result }}", model: local/other}}
"""
TOML = """\
[providers.local]
base_url = "http://127.0.0.1:1/v1"
[models."local/small"]
input_usd_per_million = 1
output_usd_per_million = 10
"""


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.chdir(tmp_path)
    fleet = Fleet(redis_server.url, tmp_path)
    fleet.plan.write_text(PLAN)
    (tmp_path / "orchestrator.toml").write_text(TOML)
    return fleet


def test_the_command_says_what_it_knows_and_what_it_does_not(fleet: Fleet) -> None:
    with redis.Redis.from_url(fleet.url) as client:
        client.hset(names.history("tell", "draft"), mapping=HISTORY)  # type: ignore[arg-type]
        client.expire(names.history("tell", "draft"), 60)
    code, out, err = fleet.run("estimate", fleet.plan)
    assert (code, err) == (0, "")
    rows = out.splitlines()
    assert rows[1].split()[:6] == ["draft", "local/small", "history", "of", "4", "calls"]
    assert "unknown" in rows[2]
    assert "+ unknown" in rows[3]
    assert any(row.startswith("not known of after: its price") for row in rows)
    assert fleet.json("runs") == []


def test_the_command_works_without_redis(fleet: Fleet) -> None:
    code, out, _ = fleet.run("estimate", fleet.plan, "-i", "topic=lakes", "--json", "--redis", "unix:///nowhere/r.sock")
    assert code == 0
    found = json.loads(out)
    assert [step["source"] for step in found["steps"]] == ["template", "template"]
    assert "no history" in found["unknown"][0]
