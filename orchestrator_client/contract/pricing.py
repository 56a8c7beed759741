"""What model calls cost: from the provider's own count and a price list that is installed, never fetched, or from the
prices that the project states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from orchestrator_client.contract.models import bare_name, provider_of
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import ModelSection, Project, ProviderKind, ProviderSection
from orchestrator_client.contract.usage import Usage

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation, TieredPrices

API_FLAVORS: Mapping[str, str] = {"openai": "responses"}
"""Which of a provider's usage records `raw_usage` is, where the provider has several."""

MILLION = Decimal(1_000_000)
"""Tokens to which prices are quoted."""

_SNAPSHOT = re.compile(r"(.+?)-(?:\d{4}-\d{2}-\d{2}|\d{8}|00\d|latest)")
"""A model's name with the date or number of one of its releases."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Price of one token, in US dollars."""

    input_usd: Decimal
    output_usd: Decimal

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Price of so many."""
        return self.input_usd * input_tokens + self.output_usd * output_tokens


class Prices:
    """The price list, with the project's own prices before it."""

    def __init__(self, project: Project) -> None:
        self._vendors = {name: _vendor(name, section) for name, section in project.providers.items()}
        self._sections = {
            (provider_of(model), bare_name(model).lower()): section for model, section in project.models.items()
        }

    def of_call(self, provider: str, model: str, raw_usage: Mapping[str, Json], usage: Usage) -> Decimal | None:
        """US dollars that the call cost; None if no price is known.

        Of the list's prices the provider's own record is paid where there is one, because it tells apart what `usage`
        sums up (tokens written to a cache, for one). A call without any count of tokens has no known price, which is
        not the same as none.
        """
        section = self._section(provider, model)
        if section is None or not _has_prices(section):
            vendor, is_certain = self._vendor(provider)
            return _listed_call(vendor, model, raw_usage if is_certain else {}, usage)
        rate = self.rate(provider, model)
        is_counted = usage.input_tokens or usage.output_tokens
        return _stated_call(section, rate, usage) if rate and is_counted else None

    def rate(self, provider: str, model: str) -> Rate | None:
        """What a token costs at most: at list price in the highest tier, or as the project states; None if unknown.

        Only text is counted: sound costs more at some providers, and so does writing to a cache.
        """
        section = self._section(provider, model) or ModelSection()
        listed = None
        if section.input_usd_per_million is None or section.output_usd_per_million is None:
            listed = _listed_rate(self._vendor(provider)[0], model)
        read = _per_token(section.input_usd_per_million, listed.input_usd if listed else None)
        written = _per_token(section.output_usd_per_million, listed.output_usd if listed else None)
        return None if read is None or written is None else Rate(read, written)

    def _vendor(self, provider: str) -> tuple[str, bool]:
        """Whose list a provider is on, and whether its usage records are sure to be that vendor's."""
        if provider not in self._vendors:
            return provider, True
        vendor = self._vendors[provider]
        return vendor or provider, vendor is not None

    def _section(self, provider: str, model: str) -> ModelSection | None:
        """What the project says of the model; a release that has no section of its own goes by its model's."""
        name = model.lower()
        release = _SNAPSHOT.fullmatch(name)
        found = self._sections.get((provider, name))
        return found or (self._sections.get((provider, release[1])) if release else None)


def _vendor(name: str, section: ProviderSection) -> str | None:
    """The vendor whose API a configured provider speaks; None for a server of anybody's."""
    if section.kind is None:
        return name if name in list(ProviderKind) else None
    return None if section.kind is ProviderKind.OPENAI_COMPATIBLE else section.kind.value


def _has_prices(section: ModelSection) -> bool:
    """Whether the project states any price of the model."""
    prices = (section.input_usd_per_million, section.cached_input_usd_per_million, section.output_usd_per_million)
    return any(price is not None for price in prices)


def _stated_call(section: ModelSection, rate: Rate, usage: Usage) -> Decimal:
    """The call at the project's prices; what was read from the provider's cache has one of its own, if stated."""
    cached = _per_token(section.cached_input_usd_per_million, rate.input_usd)
    cached_tokens = min(usage.cached_input_tokens, usage.input_tokens)
    fresh = rate.of(usage.input_tokens - cached_tokens, usage.output_tokens)
    return fresh + cached_tokens * (rate.input_usd if cached is None else cached)


def _per_token(usd_per_million: Decimal | None, otherwise: Decimal | None) -> Decimal | None:
    return otherwise if usd_per_million is None else usd_per_million / MILLION


def _listed_call(vendor: str, model: str, raw_usage: Mapping[str, Json], usage: Usage) -> Decimal | None:
    """The call at list price; None if the list lacks the model or is not installed."""
    try:
        import genai_prices
    except ImportError:
        return None
    try:
        if raw_usage:
            flavor = API_FLAVORS.get(vendor, "default")
            record = dict(raw_usage)
            # Under Google's names too: the price list looks for those of the provider that it is asked about.
            response = {"model": model, "usage": record, "modelVersion": model, "usageMetadata": record}
            extracted = genai_prices.extract_usage(response, provider_id=vendor, api_flavor=flavor)
            return Decimal(_of_vendor(extracted.calc_price(), vendor).total_price)
        if usage.input_tokens or usage.output_tokens:
            found = genai_prices.calc_price(_counts(usage), model, provider_id=vendor)
            return Decimal(_of_vendor(found, vendor).total_price)
    except (LookupError, ValueError):
        return None
    return None


def _listed_rate(vendor: str, model: str) -> Rate | None:
    """The list's prices in their highest tier; None if the list lacks the model or is not installed."""
    try:
        import genai_prices
    except ImportError:
        return None
    try:
        one_of_each = genai_prices.Usage(input_tokens=1, output_tokens=1)
        found = _of_vendor(genai_prices.calc_price(one_of_each, model, provider_id=vendor), vendor).model_price
    except (LookupError, ValueError):
        return None
    read, written = (_highest(price) for price in (found.input_mtok, found.output_mtok))
    # A model that writes nothing (of embeddings, for one) has one price; one without any has none that is known.
    return None if read is None else Rate(read / MILLION, (written or Decimal(0)) / MILLION)


def _highest(price: Decimal | TieredPrices | None) -> Decimal | None:
    """The price that a request of any length stays below."""
    if price is None or isinstance(price, Decimal):
        return price
    prices: list[Decimal] = [price.base, *(tier.price for tier in price.tiers)]
    return max(prices)


def _of_vendor(found: PriceCalculation, vendor: str) -> PriceCalculation:
    """What was found, if it is that vendor's: the list takes a provider's name by what it contains.

    Raises:
        LookupError: it is another's.
    """
    if found.provider.id != vendor:
        raise LookupError(vendor)
    return found


def _counts(usage: Usage) -> object:
    """Our counts in the price list's words; there too, what was read from the cache is part of what was read."""
    import genai_prices

    return genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        output_tokens=usage.output_tokens,
    )
