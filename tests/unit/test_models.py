"""Whose model a name means."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator_client.contract.models import (
    AUTO,
    Expertise,
    Selection,
    Strategy,
    bare_name,
    provider_of,
    qualified,
    task_of,
)


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("openai/gpt-5", "openai", "gpt-5"),
        ("openai:gpt-5", "openai", "gpt-5"),
        ("OpenAI/gpt-5", "openai", "gpt-5"),
        (" openai / gpt-5 ", "openai", "gpt-5"),
        ("gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("GPT-4o", "openai", "GPT-4o"),
        ("o1", "openai", "o1"),
        ("o3-mini", "openai", "o3-mini"),
        ("chatgpt-4o-latest", "openai", "chatgpt-4o-latest"),
        ("ft:gpt-4o-mini:acme::abc", "openai", "ft:gpt-4o-mini:acme::abc"),
        ("openai/ft:gpt-4o-mini:acme", "openai", "ft:gpt-4o-mini:acme"),
        ("claude-sonnet-4-20250514", "anthropic", "claude-sonnet-4-20250514"),
        ("anthropic/claude-haiku-4-5", "anthropic", "claude-haiku-4-5"),
        ("gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("ollama:llama3.2:1b", "ollama", "llama3.2:1b"),
        ("ollama/library/llama3", "ollama", "library/llama3"),
        ("openrouter/anthropic/claude-haiku", "openrouter", "anthropic/claude-haiku"),
        ("my-model", "openai", "my-model"),
        ("", "openai", ""),
        ("openai/", "openai", "openai/"),
        ("/gpt-5", "openai", "/gpt-5"),
        ("{{ inputs.model or 'anthropic/claude' }}", "openai", "{{ inputs.model or 'anthropic/claude' }}"),
    ],
)
def test_provider_and_name(model: str, provider: str, name: str) -> None:
    assert (provider_of(model), bare_name(model)) == (provider, name)


def test_default_is_for_names_of_no_family() -> None:
    assert provider_of("my-model", default="anthropic") == "anthropic"
    assert provider_of("gpt-5", default="anthropic") == "openai"
    assert provider_of("google/my-model", default="anthropic") == "google"


@pytest.mark.parametrize("model", ["gpt-5", "ollama:llama3.2:1b", "ft:gpt-4o:acme"])
def test_a_name_qualified_with_its_provider_means_the_same(model: str) -> None:
    name = qualified(model)
    assert (provider_of(name), bare_name(name)) == (provider_of(model), bare_name(model))
    assert qualified(name) == name


@pytest.mark.parametrize(("model", "provider"), [(AUTO, "auto"), (" AUTO ", "auto"), ("auto", "openai")])
def test_auto_is_nobodys_model_and_in_capitals(model: str, provider: str) -> None:
    assert provider_of(model) == provider


@pytest.mark.parametrize(
    ("word", "task"),
    [("analyze", "analysis"), ("Image Analysis", "vision"), ("chat", "chat"), ("Our-Task", "our_task")],
)
def test_tasks(word: str, task: str) -> None:
    assert task_of(word) == task


class TestSelection:
    @pytest.mark.parametrize(
        ("entry", "given", "read"),
        [
            ("strategy", "Cost", Strategy.COST),
            ("expertise", "very_high", Expertise.VERY_HIGH),
            ("expertise", "Very High", Expertise.VERY_HIGH),
            ("modalities", "image", frozenset({"image"})),
            ("modalities", ["text", "image"], frozenset({"text", "image"})),
            ("min_size_billions", "7B", 7),
            ("min_size_billions", "350m", 0.35),
            ("min_size_billions", "1.5T", 1500),
            ("min_size_billions", 7, 7),
            ("context_tokens", "8000", 8000),
            ("max_usd", "0.05", Decimal("0.05")),
            ("max_usd", 0.05, Decimal("0.05")),
        ],
    )
    def test_spellings(self, entry: str, given: Any, read: Any) -> None:
        selection = Selection.model_validate({entry: given})
        assert getattr(selection, entry) == read
        assert Selection.model_validate(selection.model_dump(mode="json")) == selection

    @pytest.mark.parametrize(
        "given",
        [
            {"strategy": "cheapest"},
            {"expertise": "wizard"},
            {"min_size_billions": "big"},
            {"min_size_billions": 0},
            {"context_tokens": -1},
            {"max_usd": -1},
        ],
    )
    def test_what_it_refuses(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Selection.model_validate(given)

    def test_expertise_is_ordered(self) -> None:
        assert [level.rank for level in Expertise] == [0, 1, 2, 3]
