"""Delegation: the choice follows from what is offered, and what is not stated is not made up."""

from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke

CONTEXT = ToolContext(run="r", instance="s", attempt=1, folder=Path("/"))
GOOD = {"model": "a/good", "quality": 0.9, "cost": 0.02, "capabilities": ["code", "Data Analysis"]}
CHEAP = {"model": "b/cheap", "quality": 0.5, "cost": 0.005, "capabilities": "code"}


def delegated(task: str = "Write code", **parameters: object) -> dict[str, object]:
    result = invoke("task-delegation.execute", {"task": task, **parameters}, CONTEXT)
    assert isinstance(result, ToolResult)
    return result.output


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "orchestrator.toml"


def test_without_offers_it_chooses_among_the_projects_models(project: Path):
    prices = "input_usd_per_million = 1\noutput_usd_per_million = {}\n"
    small, large = (prices.format(each) for each in (1, 1000))
    project.write_text(f'[models."lab/small"]\n{small}[models."lab/large"]\nquality = 0.9\n{large}')
    chosen = delegated(quality_weight=1, cost_weight=0)
    assert (chosen["selected_model"], chosen["score"], chosen["fallback_models"]) == ("lab/large", 0.9, ["lab/small"])
    assert chosen["estimated_cost"] == pytest.approx(1.0, rel=0.01)
    assert chosen["all_scores"][1]["reasons"][0] == "quality 0.5"


def test_a_project_that_describes_no_model_has_its_default(project: Path):
    project.write_text('default_model = "lab/only"')
    assert (delegated()["selected_model"], delegated()["estimated_cost"]) == ("lab/only", None)


def test_without_any_model_the_worker_chooses():
    chosen = delegated("Analyze rivers", requirements={"capabilities": ["data_analysis"]})
    assert chosen == {
        "selected_model": "AUTO",
        "fallback_models": [],
        "reasons": ["no models are known here: the worker that makes the call chooses"],
        "score": None,
        "all_scores": [],
        "estimated_cost": None,
        "estimated_latency": None,
        "task_analysis": {
            "task_type": "analysis",
            "complexity": "low",
            "word_count": 2,
            "estimated_tokens": 4,
            "required_capabilities": ["data-analysis"],
        },
    }


@pytest.mark.parametrize(
    ("weights", "order", "scores"),
    [
        ({"quality_weight": 1, "cost_weight": 0}, ["a/good", "b/cheap"], [0.9, 0.5]),
        ({"quality_weight": 0, "cost_weight": 1}, ["b/cheap", "a/good"], [0.75, 0.0]),
        ({}, ["b/cheap", "a/good"], [0.625, 0.45]),
    ],
)
def test_the_weights_decide(weights, order, scores):
    chosen = delegated(models=[GOOD, CHEAP], **weights)
    assert [chosen["selected_model"], *chosen["fallback_models"]] == order
    assert [(one["model"], one["score"]) for one in chosen["all_scores"]] == list(zip(order, scores, strict=True))
    assert chosen["score"] == scores[0]
    assert chosen["estimated_cost"] == (0.02 if order[0] == "a/good" else 0.005)


def test_what_is_required_drops_models():
    chosen = delegated(models=[CHEAP, GOOD], requirements={"capabilities": "data-analysis"})
    assert (chosen["selected_model"], chosen["fallback_models"]) == ("a/good", [])
    assert chosen["reasons"][0] == "1 of 2 models have what is required"


def test_names_alone_keep_their_order_and_have_no_score():
    chosen = delegated(models=["a", "b"])
    assert (chosen["selected_model"], chosen["fallback_models"]) == ("a", ["b"])
    assert (chosen["score"], chosen["all_scores"], chosen["estimated_cost"]) == (None, [], None)
    assert delegated(models=[GOOD, CHEAP], quality_weight=0, cost_weight=0)["score"] is None


def test_only_what_all_state_is_weighed():
    assert delegated(models=[{"model": "a", "quality": 0.2}, GOOD])["selected_model"] == "a/good"
    assert delegated(models=[{"model": "a", "quality": 0.2}, "b"])["score"] is None


@pytest.mark.parametrize(("words", "complexity"), [(20, "low"), (21, "medium"), (100, "medium"), (101, "high")])
def test_complexity_is_a_matter_of_length(words, complexity):
    analysis = delegated(" ".join(["word"] * words))["task_analysis"]
    assert (analysis["complexity"], analysis["task_type"], analysis["word_count"]) == (complexity, "general", words)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"models": [CHEAP], "requirements": {"capabilities": ["vision"]}}, "none of 1 models states vision"),
        ({"models": [{"quality": 1}]}, "has no 'model'"),
        ({"models": [{"model": "a", "quality": 2}]}, "quality of a was '2'; write a number from 0 to 1"),
        ({"models": [{"model": "a", "cost": "cheap"}]}, "cost of a was 'cheap'"),
        ({"requirements": {"capabilities": [1]}}, "requirements.capabilities must be a word or a list of words"),
    ],
)
def test_what_cannot_be_weighed_is_refused(parameters, message):
    with pytest.raises(ParametersInvalid, match=message):
        delegated(**parameters)
