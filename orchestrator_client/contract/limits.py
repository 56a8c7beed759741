"""A provider's limits: whose they are, what they count, and what an answer says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Self

from pydantic import ConfigDict, Field

from orchestrator_client.contract.plan import Record

DEFAULT_CREDENTIAL = "default"
"""Name of a provider's first account."""


class Dimension(StrEnum):
    """What a limit counts, each a minute."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    """Of input and output together."""
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the headers of one answer say of one limit."""

    dimension: Dimension
    limit: int | None = None
    """Per minute."""
    remaining: int | None = None
    reset_seconds: float | None = None
    """Until the whole limit is there again."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a limit applies to. Its text is `provider/credential/model`."""

    provider: str
    credential: str
    """Name of the account; never its key."""
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.credential}/{self.model}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From its text, or from `provider/model`; a model's name may hold slashes.

        Raises:
            ValueError: it has no slash.
        """
        provider, slash, rest = text.partition("/")
        if not slash:
            raise ValueError(f"'{text}' is no scope; write provider/credential/model, or provider/model")
        credential, slash, model = rest.partition("/")
        return cls(provider, credential, model) if slash else cls(provider, DEFAULT_CREDENTIAL, rest)


class Limits(Record):
    """What one scope may use. None: no limit is known, and it is learned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int | None = Field(default=None, gt=0)
    tokens_per_minute: int | None = Field(default=None, gt=0)
    input_tokens_per_minute: int | None = Field(default=None, gt=0)
    output_tokens_per_minute: int | None = Field(default=None, gt=0)
    in_flight: int | None = Field(default=None, gt=0)
    """Calls at a time."""

    def of(self, dimension: Dimension) -> int | None:
        """The limit a minute."""
        limit: int | None = getattr(self, f"{dimension}_per_minute")
        return limit


def limits_for(scope: Scope, configured: Mapping[str, Limits]) -> Limits:
    """The limits of the most specific pattern that fits: `provider`, `provider/model` or `provider/credential/model`,
    each part with `*` if need be."""
    fitting = [pattern for pattern in configured if fnmatchcase(str(scope), _full(pattern))]
    return configured[max(fitting, key=lambda pattern: len(_full(pattern).replace("*", "")))] if fitting else Limits()


def _full(pattern: str) -> str:
    parts = pattern.split("/", 2)
    match len(parts):
        case 1:
            return f"{parts[0]}/*/*"
        case 2:
            return f"{parts[0]}/*/{parts[1]}"
        case _:
            return pattern
