"""What a call cost. Expected amounts are OpenAI's list prices, worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.contract.usage import Usage
from orchestrator_worker.pricing import price


def raw(read: int = 1000, cached: int = 0, written: int = 500, reasoning: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": reasoning},
    }


@pytest.mark.parametrize(
    ("model", "record", "usd"),
    [
        # gpt-4o-mini: 0.15 / 0.075 / 0.60 USD per million tokens read / read from the cache / written
        ("gpt-4o-mini", raw(), "0.00045"),
        ("gpt-4o-mini-2024-07-18", raw(), "0.00045"),
        ("gpt-4o-mini", raw(cached=400), "0.00042"),
        # gpt-5: 1.25 / 0.125 / 10 USD; reasoning is written and paid as such
        ("gpt-5", raw(cached=400, reasoning=300), "0.0058"),
        ("gpt-5", raw(0, written=0), "0"),
    ],
)
def test_list_prices(model: str, record: dict[str, Any], usd: str) -> None:
    assert price("openai", model, record, Usage()) == Decimal(usd)


def test_counts_are_priced_where_the_provider_left_no_record() -> None:
    usage = Usage(input_tokens=1000, cached_input_tokens=400, output_tokens=500)
    assert price("openai", "gpt-4o-mini", {}, usage) == Decimal("0.00042")


def test_the_record_goes_before_the_counts() -> None:
    assert price("openai", "gpt-4o-mini", raw(), Usage(input_tokens=9, output_tokens=9)) == Decimal("0.00045")


@pytest.mark.parametrize(
    ("provider", "model", "record"),
    [
        ("openai", "a-model-of-ours", raw()),
        ("nobody", "gpt-4o-mini", raw()),
        ("openai", "", raw()),
        ("openai", "gpt-4o-mini", {}),
        ("openai", "gpt-4o-mini", {"total_tokens": 12}),
        ("openai", "gpt-4o-mini", raw(read=-1)),
        ("openai", "gpt-4o-mini", raw(read=10, cached=11)),
        ("openai", "gpt-4o-mini", {"input_tokens": "many", "output_tokens": None}),
    ],
)
def test_unknown_is_none_and_no_error(provider: str, model: str, record: dict[str, Any]) -> None:
    assert price(provider, model, record, Usage()) is None


def test_importing_the_module_does_not_load_the_price_list() -> None:
    code = "import sys, orchestrator_worker.pricing; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
