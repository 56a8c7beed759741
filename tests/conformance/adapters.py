"""The providers that the shared suite holds to one contract."""

from __future__ import annotations

from tests.conformance.adapter import Adapter, ClosableProvider
from tests.conformance.anthropic_adapter import AnthropicAdapter
from tests.conformance.compatible_adapter import CompatibleAdapter
from tests.conformance.google_adapter import GoogleAdapter
from tests.conformance.openai_adapter import OpenAIAdapter

__all__ = ["ADAPTERS", "Adapter", "ClosableProvider", "GoogleAdapter"]

ADAPTERS: list[Adapter] = [OpenAIAdapter(), AnthropicAdapter(), GoogleAdapter(), CompatibleAdapter()]
