"""What a call cost. Expected amounts are list prices, worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.contract.pricing import Prices, Rate
from orchestrator_client.contract.project import ModelSection, Project, ProviderKind, ProviderSection
from orchestrator_client.contract.usage import Usage

LIST = Prices(Project())


def price(provider: str, model: str, record: dict[str, Any], usage: Usage) -> Decimal | None:
    """At list price."""
    return LIST.of_call(provider, model, record, usage)


def prices(**stated: str | int) -> Prices:
    """The list, with prices of the project's own for one model."""
    return Prices(Project(models={"openai/gpt-4o-mini": ModelSection.model_validate(stated)}))


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
    code = "import sys, orchestrator_client.contract.pricing; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


USAGE = Usage(input_tokens=1000, cached_input_tokens=400, output_tokens=500)


class TestOwnPrices:
    @pytest.mark.parametrize(
        ("stated", "usd"),
        [
            # 600 fresh, 400 cached, 500 written
            ({"input_usd_per_million": 2, "output_usd_per_million": 10}, "0.007"),
            (
                {"input_usd_per_million": 2, "output_usd_per_million": 10, "cached_input_usd_per_million": 1},
                "0.0066",
            ),
            ({"input_usd_per_million": 0, "output_usd_per_million": 0}, "0"),
            # The list has the other price: 0.60 USD per million written, 0.15 read.
            ({"input_usd_per_million": 2}, "0.0023"),
            ({"output_usd_per_million": 10}, "0.00515"),
            ({"cached_input_usd_per_million": 0}, "0.00039"),
        ],
    )
    def test_they_replace_the_list(self, stated: dict[str, Any], usd: str) -> None:
        assert prices(**stated).of_call("openai", "gpt-4o-mini", raw(), USAGE) == Decimal(usd)

    def test_a_section_without_prices_leaves_the_list(self) -> None:
        assert prices(quality=1).of_call("openai", "gpt-4o-mini", raw(), USAGE) == Decimal("0.00045")

    @pytest.mark.parametrize("model", ["gpt-4o-mini-2024-07-18", "GPT-4o-mini", "gpt-4o-mini-latest"])
    def test_a_release_goes_by_its_model(self, model: str) -> None:
        assert prices(input_usd_per_million=1, output_usd_per_million=1).of_call(
            "openai", model, raw(), USAGE
        ) == Decimal("0.0015")

    def test_another_model_does_not(self) -> None:
        ours = prices(input_usd_per_million=1, output_usd_per_million=1)
        assert ours.of_call("openai", "gpt-5", raw(), USAGE) == price("openai", "gpt-5", raw(), USAGE)
        assert ours.of_call("lab", "gpt-4o-mini", {}, USAGE) is None

    def test_a_model_that_no_list_has(self) -> None:
        section = ModelSection(input_usd_per_million=Decimal(3), output_usd_per_million=Decimal(0))
        ours = Prices(Project(models={"lab:llama3.2:1b": section}))
        assert ours.of_call("lab", "llama3.2:1b", {}, USAGE) == Decimal("0.003")
        half = Prices(Project(models={"lab:x": ModelSection(input_usd_per_million=Decimal(3))}))
        assert half.of_call("lab", "x", {}, USAGE) is None

    def test_a_call_that_nobody_counted_has_no_known_price(self) -> None:
        ours = prices(input_usd_per_million=1, output_usd_per_million=1)
        assert ours.of_call("openai", "gpt-4o-mini", {}, Usage()) is None


class TestOtherNames:
    def test_a_provider_of_a_vendors_kind_has_its_prices(self) -> None:
        ours = Prices(Project(providers={"eu": ProviderSection(kind=ProviderKind.OPENAI)}))
        assert ours.of_call("eu", "gpt-4o-mini", raw(), Usage()) == Decimal("0.00045")
        assert ours.rate("eu", "gpt-4o-mini") == LIST.rate("openai", "gpt-4o-mini")

    def test_a_compatible_server_has_those_of_its_own_name_only(self) -> None:
        servers = {"my-openai": ProviderSection(), "groq": ProviderSection(kind=ProviderKind.OPENAI_COMPATIBLE)}
        ours = Prices(Project(providers=servers))
        assert ours.of_call("my-openai", "gpt-4o-mini", raw(), USAGE) is None
        assert ours.rate("my-openai", "gpt-4o-mini") is None
        # 0.05 / 0.08 USD per million; by the counts, since the record may be in anybody's words
        usage = Usage(input_tokens=1000, output_tokens=500)
        assert ours.of_call("groq", "llama-3.1-8b-instant", raw(9), usage) == Decimal("0.00009")


class TestRate:
    @pytest.mark.parametrize(
        ("provider", "model", "read", "written"),
        [
            ("openai", "gpt-4o-mini", "0.15", "0.6"),
            ("anthropic", "claude-sonnet-4-20250514", "3", "15"),
            # Up to 200,000 tokens 1.25 and 10 USD, above 2.50 and 15
            ("google", "gemini-2.5-pro", "2.5", "15"),
            ("openai", "text-embedding-3-small", "0.02", "0"),
        ],
    )
    def test_it_is_the_highest_of_the_list(self, provider: str, model: str, read: str, written: str) -> None:
        assert LIST.rate(provider, model) == Rate(Decimal(read) / 1_000_000, Decimal(written) / 1_000_000)

    def test_it_bounds_the_price_of_a_long_request(self) -> None:
        usage = Usage(input_tokens=300_000, output_tokens=1000)
        rate = LIST.rate("google", "gemini-2.5-pro")
        assert rate is not None
        assert rate.of(300_000, 1000) == price("google", "gemini-2.5-pro", {}, usage) == Decimal("0.765")

    def test_the_project_goes_before_the_list(self) -> None:
        rate = prices(output_usd_per_million=1).rate("openai", "gpt-4o-mini")
        assert rate == Rate(Decimal("0.15") / 1_000_000, Decimal(1) / 1_000_000)

    @pytest.mark.parametrize(("provider", "model"), [("openai", "ours"), ("nobody", "gpt-5"), ("lab", "x")])
    def test_unknown_is_none(self, provider: str, model: str) -> None:
        assert LIST.rate(provider, model) is None
