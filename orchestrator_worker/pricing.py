"""What a model call cost, from the provider's own count and a price list that is installed, never fetched."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage

API_FLAVORS: Mapping[str, str] = {"openai": "responses"}
"""Which of a provider's usage records `raw_usage` is, where the provider has several."""


def price(provider: str, model: str, raw_usage: Mapping[str, Json], usage: Usage) -> Decimal | None:
    """US dollars that the call cost at list price; None if the list lacks the model or is not installed.

    The provider's own record is priced where there is one, because it tells apart what `usage` sums up (tokens written
    to a cache, for one). A call without any count of tokens has no known price, which is not the same as none.
    """
    try:
        import genai_prices
    except ImportError:
        return None
    try:
        if raw_usage:
            flavor = API_FLAVORS.get(provider, "default")
            record = dict(raw_usage)
            # Under Google's names too: the price list looks for those of the provider that it is asked about.
            response = {"model": model, "usage": record, "modelVersion": model, "usageMetadata": record}
            extracted = genai_prices.extract_usage(response, provider_id=provider, api_flavor=flavor)
            return Decimal(extracted.calc_price().total_price)
        if usage.input_tokens or usage.output_tokens:
            return Decimal(genai_prices.calc_price(_counts(usage), model, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None
    return None


def _counts(usage: Usage) -> object:
    """Our counts in the price list's words; there too, what was read from the cache is part of what was read."""
    import genai_prices

    return genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        output_tokens=usage.output_tokens,
    )
