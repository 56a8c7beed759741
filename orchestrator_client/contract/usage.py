"""What a model call used, and what it cost."""

from __future__ import annotations

from decimal import Decimal

from orchestrator_client.contract.plan import Record


class Usage(Record):
    """Tokens of one or more model calls, as the provider counted them.

    `input_tokens` include those read from the provider's cache; `output_tokens` include reasoning. `cost_usd` is None
    where no price is known for the model, which is not the same as free.
    """

    requests: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    """Sound, in and out; counted in the two sums above."""
    cost_usd: Decimal | None = None

    def __add__(self, other: Usage) -> Usage:
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            audio_tokens=self.audio_tokens + other.audio_tokens,
            cost_usd=(self.cost_usd or Decimal(0)) + (other.cost_usd or Decimal(0)) if known else None,
        )


NO_USAGE = Usage(requests=0, cost_usd=Decimal(0))
"""Start of a sum."""
