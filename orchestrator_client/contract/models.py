"""Whose model a name means: `openai/gpt-5`, `ollama:llama3.2:1b`, or a plain name that its maker is known by."""

from __future__ import annotations

import re
from collections.abc import Mapping

DEFAULT_PROVIDER = "openai"
"""Whose a plain name is that tells nothing: gateways to other models mostly speak OpenAI's dialect."""

FAMILIES: Mapping[str, str] = {
    "gpt-": "openai",
    "chatgpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "ft:": "openai",
    "claude-": "anthropic",
    "gemini-": "google",
}
"""Beginnings of plain names -> provider. `ft:` heads OpenAI's names of tuned models, whose colons part nothing."""

_QUALIFIED = re.compile(r"\s*([A-Za-z][\w.-]*)\s*[/:]\s*(\S.*?)\s*")


def provider_of(model: str, default: str = DEFAULT_PROVIDER) -> str:
    """Provider of a model, in lower case; `default` for a plain name of no known family, and for a template."""
    provider, name = _split(model)
    return provider or _family(name) or default


def bare_name(model: str) -> str:
    """The model without its provider, as the provider itself calls it."""
    return _split(model)[1]


def _family(name: str) -> str | None:
    """Whose models have names that begin so; None if nobody's."""
    return next((provider for beginning, provider in FAMILIES.items() if name.lower().startswith(beginning)), None)


def _split(model: str) -> tuple[str | None, str]:
    """Provider and name, parted at the first slash or colon; None for the provider where there is neither."""
    qualified = _QUALIFIED.fullmatch(model)
    if qualified is None or model.lower().lstrip().startswith("ft:"):
        return None, model.strip()
    return qualified[1].lower(), qualified[2]
