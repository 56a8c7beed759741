"""Which of the project's models should answer: chosen by what orchestrator.toml says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.catalog.aids import RoutingParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.multi_model_routing import execute

TOML = """
[models."openai/small"]
quality = 0.3
input_usd_per_million = 1
output_usd_per_million = 1
[models."openai/large"]
quality = 0.9
input_usd_per_million = 10
output_usd_per_million = 100
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "orchestrator.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)


def routed(**parameters: Any) -> ToolResult:
    return execute(ToolContext("run_1", "s", 1, Path()), RoutingParameters.model_validate(parameters))


@pytest.mark.parametrize(
    ("strategy", "model"),
    [
        ("cost", "openai/small"),
        ("cost-optimized", "openai/small"),
        ("performance", "openai/large"),
        ("quality_optimized", "openai/large"),
    ],
)
def test_the_strategy_decides(strategy: str, model: str) -> None:
    output = routed(request="Say hello", routing_strategy=strategy).output
    assert (output["selected_model"], output["strategy"]) == (model, strategy)
    assert output["routing_reason"].startswith(("cost:", "performance:"))
    assert len(output["fallback_models"]) == 1


def test_one_for_each_of_several() -> None:
    output = routed(tasks=["one", {"task": "two", "context": "x"}], strategy="cost", max_tokens=1_000_000).output
    assert [one["task"] for one in output["recommendations"]] == ["one", "two"]
    assert output["results"] == output["recommendations"]
    assert output["total_cost"] == pytest.approx(2.0, rel=0.01)


def test_what_they_cost_together_and_who_is_used() -> None:
    output = routed(tasks=["a", "b"], optimization_goal="minimize_cost").output
    assert (output["models_used"], output["strategy"]) == (["openai/small"], "minimize_cost")
    assert output["models_selected"] == output["models_used"]
    assert output["total_estimated_cost"] == output["total_cost"]
    assert (output["current_load"], output["average_latency"]) == (None, None)


@pytest.mark.parametrize("constraints", [{"total_budget": 4.0}, {"max_budget_per_task": 2.0, "total_budget": 100}])
def test_keeps_to_a_budget(constraints: dict[str, float]) -> None:
    asked = {"tasks": ["a", "b"], "strategy": "performance", "max_tokens": 100_000}
    assert routed(**asked).output["models_used"] == ["openai/large"]
    assert routed(**asked, constraints=constraints).output["models_used"] == ["openai/small"]


def test_only_those_that_the_step_names() -> None:
    assert routed(request="x", strategy="cost", models=["openai/large"]).output["selected_model"] == "openai/large"


def test_a_price_that_is_not_known_is_none() -> None:
    output = routed(request="x", models=["openai/nobody-knows-it"]).output
    assert (output["estimated_cost"], output["total_cost"]) == (None, None)


def test_an_unknown_strategy_is_told() -> None:
    result = routed(request="x", strategy="by moonlight")
    assert result.warnings == ("multi-model-routing: no strategy 'by moonlight'; it is taken as balanced",)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({}, "there is no request"), ({"requests": []}, "no request"), ({"request": "x", "max_cost": 0}, "no model")],
)
def test_what_cannot_be_routed(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParametersInvalid, match=message):
        routed(**parameters)
