"""The providers that this build can call, by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from typing import cast

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_worker.providers.base import Provider

PROVIDERS: Mapping[str, str] = {
    "anthropic": "orchestrator_worker.providers.anthropic:Anthropic",
    "google": "orchestrator_worker.providers.google:Google",
    "openai": "orchestrator_worker.providers.openai:OpenAI",
}
"""Provider -> `module:class`, imported when a step first asks for it."""


@cache
def provider(name: str) -> Provider:
    """The one instance of a provider in this process.

    Raises:
        ParametersInvalid: this build has no such provider.
    """
    if name not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        raise ParametersInvalid(f"no provider '{name}'; this build has: {known}; change the step's model")
    module, _, class_name = PROVIDERS[name].partition(":")
    return cast(Provider, getattr(importlib.import_module(module), class_name)())
