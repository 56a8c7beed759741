"""Which model answers a step that leaves the choice to the worker."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.project import ModelSection
from orchestrator_worker.selection import Choice, Need, choose

MODELS = {
    "openai/small": ModelSection(quality=0.4, speed=0.9, context_tokens=8000, size_billions=8, expertise="low"),
    "openai/large": ModelSection(
        quality=0.9, speed=0.4, modalities=("text", "image"), context_tokens=200_000, expertise="very-high"
    ),
    "anthropic/coder": ModelSection(
        quality=0.8, speed=0.6, tasks=("code",), context_tokens=100_000, size_billions=70, expertise="high"
    ),
    "lab:unknown": ModelSection(quality=0.5, speed=0.5),
}
COSTS = {"openai/small": Decimal("0.001"), "openai/large": Decimal("0.04"), "anthropic/coder": Decimal("0.01")}
TEXT = Need(frozenset({"text"}), 1000, 500)


def chosen(selection: dict[str, Any] | None = None, need: Need = TEXT, **given: Any) -> list[str]:
    """The models, best first."""
    return [choice.model for choice in choices(selection, need, **given)]


def choices(selection: dict[str, Any] | None = None, need: Need = TEXT, **given: Any) -> list[Choice]:
    models = given.pop("models", MODELS)
    return choose(models, selection or {}, need, given.pop("cost", COSTS.get), **given)


class TestStrategies:
    def test_cost(self) -> None:
        assert chosen({"strategy": "cost"}) == ["openai/small", "anthropic/coder", "openai/large", "lab/unknown"]

    def test_performance(self) -> None:
        assert chosen({"strategy": "performance"}) == [
            "openai/large",
            "anthropic/coder",
            "lab/unknown",
            "openai/small",
        ]

    def test_balanced_is_the_default(self) -> None:
        # coder 0.4 + 0.12 + 0.3 × 3/4 = 0.745; small 0.2 + 0.18 + 0.3 × 39/40 = 0.6725; large 0.45 + 0.08 = 0.53;
        # unknown 0.25 + 0.1 = 0.35
        expected = ["anthropic/coder", "openai/small", "openai/large", "lab/unknown"]
        assert chosen() == chosen({"strategy": "balanced"}) == expected

    def test_of_equal_models_the_name_decides_whatever_the_order_of_the_file(self) -> None:
        twins = {name: ModelSection() for name in ("openai/b", "openai/c", "openai/a")}
        for strategy in ("cost", "performance", "balanced"):
            ranked = chosen({"strategy": strategy}, models=twins, cost=lambda _: Decimal(0))
            assert ranked == ["openai/a", "openai/b", "openai/c"]

    def test_equally_good_models_go_by_speed_then_by_cost(self) -> None:
        models = {
            "openai/slow": ModelSection(quality=0.9, speed=0.1),
            "openai/dear": ModelSection(quality=0.9, speed=0.8),
            "openai/cheap": ModelSection(quality=0.9, speed=0.8),
        }
        costs = {"openai/slow": Decimal(1), "openai/dear": Decimal(3), "openai/cheap": Decimal(2)}
        ranked = chosen({"strategy": "performance"}, models=models, cost=costs.get)
        assert ranked == ["openai/cheap", "openai/dear", "openai/slow"]


class TestRequirements:
    @pytest.mark.parametrize(
        ("selection", "fitting"),
        [
            ({"task": "code"}, {"openai/small", "openai/large", "anthropic/coder", "lab/unknown"}),
            ({"task": "analyze"}, {"openai/small", "openai/large", "lab/unknown"}),
            ({"expertise": "high"}, {"openai/large", "anthropic/coder"}),
            ({"expertise": "very_high"}, {"openai/large"}),
            ({"modalities": ["image"]}, {"openai/large"}),
            ({"min_size_billions": "8B"}, {"openai/small", "anthropic/coder"}),
            ({"context_tokens": 100_000}, {"openai/large", "anthropic/coder"}),
            ({"max_usd": "0.01"}, {"openai/small", "anthropic/coder"}),
            ({"max_usd": 0.01, "min_size_billions": 9}, {"anthropic/coder"}),
        ],
    )
    def test_what_is_asked_for_must_be_known_of_a_model(self, selection: dict[str, Any], fitting: set[str]) -> None:
        assert set(chosen(selection)) == fitting

    def test_what_the_request_holds_is_required_too(self) -> None:
        assert chosen(need=Need(frozenset({"text", "image"}))) == ["openai/large"]

    def test_the_requests_length_rules_out_only_what_is_known_to_be_too_short(self) -> None:
        assert set(chosen(need=Need(input_tokens=90_000, output_tokens=20_000))) == {"openai/large", "lab/unknown"}

    def test_the_context_asked_for_goes_before_the_estimate(self) -> None:
        assert "openai/small" in chosen({"context_tokens": 4000}, Need(input_tokens=50_000))

    @pytest.mark.parametrize(
        ("selection", "words"),
        [
            (
                {"task": "chat", "expertise": "very-high", "min_size_billions": 5},
                ["min_size_billions 5", "1 that meet"],
            ),
            ({"modalities": ["audio"]}, ["modalities audio, text", "add modalities"]),
            ({"context_tokens": 900_000}, ["context_tokens 900000", "set context_tokens"]),
            ({"max_usd": "0.0001"}, ["max_usd 0.0001", "input_usd_per_million"]),
        ],
    )
    def test_the_error_names_what_left_none(self, selection: dict[str, Any], words: list[str]) -> None:
        with pytest.raises(ParametersInvalid) as caught:
            chosen(selection)
        assert [
            word for word in [*words, "of 4 in orchestrator.toml", '[models."…"]'] if word not in str(caught.value)
        ] == []

    def test_a_selection_that_cannot_be_read(self) -> None:
        with pytest.raises(ParametersInvalid, match="'selection': 'strategy' input should be 'cost', 'performance'"):
            chosen({"strategy": "cheap"})


class TestNothingConfigured:
    def test_the_default_answers(self) -> None:
        (choice,) = choices({"expertise": "high"}, models={}, default="gpt-5")
        assert choice.model == "openai/gpt-5"
        assert "default" in choice.reason

    @pytest.mark.parametrize("default", [None, "", "AUTO"])
    def test_without_one_the_error_says_how(self, default: str | None) -> None:
        with pytest.raises(ParametersInvalid, match=r'orchestrator\.toml, each as \[models\."openai/…"\]'):
            choices(models={}, default=default)

    def test_the_default_is_not_asked_where_models_are_configured(self) -> None:
        assert "openai/gpt-5" not in chosen(default="gpt-5")


def test_the_reason_says_what_decided_and_who_is_next() -> None:
    first, *_, last = choices({"strategy": "cost", "expertise": "low"})
    assert (
        first.reason == "cost: number 1 of 4 that fit, 4 configured; 0.001 USD; next best anthropic/coder with 0.01 USD"
    )
    assert last.reason == "cost: number 4 of 4 that fit, 4 configured; unknown price"
    (best,) = choices({"strategy": "balanced", "task": "code", "min_size_billions": 9})
    assert best.reason == (
        "balanced: number 1 of 1 that fit, 4 configured; score 0.52 (quality 0.8, speed 0.6, 0.01 USD)"
    )
