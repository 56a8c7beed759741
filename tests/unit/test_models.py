"""Whose model a name means."""

from __future__ import annotations

import pytest

from orchestrator_client.contract.models import bare_name, provider_of


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
    qualified = f"{provider_of(model)}/{bare_name(model)}"
    assert (provider_of(qualified), bare_name(qualified)) == (provider_of(model), bare_name(model))
