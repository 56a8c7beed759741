"""What a provider's refusal, silence or nonsense means for the attempt: its message, and whether to try again.

Shared by all providers, and free of any SDK: not all exceptions of SDKs pickle, so only their text gets here. What is
done about a failure is decided elsewhere, by its kind: the gate closes for some, the step tries again after others.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Self, TypeVar

from orchestrator_client.contract.errors import FailureKind, ModelFailed
from orchestrator_client.contract.keys import key_of
from orchestrator_client.contract.limits import RateLimit

T = TypeVar("T")

EXCERPT_CHARACTERS = 300
"""Of a vendor's words in a message: enough for its longest errors, too little to fill a record."""

RETRY_AFTER_CAP_SECONDS = 3600.0
"""A longer wait is a mistake of the server's, or outlives the run."""

EXHAUSTED = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
    }
)
"""Codes that say that the money is gone, OpenAI's and then Anthropic's: no wait cures that, even where it is a 429."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Words and verdicts for one call of one provider. No text that passes here keeps the key."""

    provider: str
    key_variable: str
    """Environment variable that holds the key."""
    key: str = field(repr=False)
    """Empty for a server that is called without one."""

    @classmethod
    def with_key(cls, provider: str, *key_variables: str) -> Self:
        """With the key in the worker's environment: in the first of the variables that holds something.

        Raises:
            CredentialMissing: there is none, or one that no HTTP header can carry. The message never shows it.
        """
        return cls(provider, *key_of(provider, *key_variables))

    async def within(self, seconds: float, exchange: Awaitable[T], failure: Callable[[Exception], ModelFailed]) -> T:
        """What the exchange gives in time; `failure` tells what an exception of the SDK's means.

        Raises:
            ModelFailed: there is none.
        """
        try:
            async with asyncio.timeout(seconds):
                return await exchange
        except TimeoutError:
            raise self.late(seconds) from None
        except ModelFailed:
            raise
        except Exception as error:  # noqa: BLE001
            # Whatever the SDK raises stays here: its exceptions may not pickle, and some hold the request's headers.
            raise failure(error) from None

    def excerpt(self, text: str) -> str:
        """`text` on one line, without the key, at most `EXCERPT_CHARACTERS` long."""
        # An empty text would be found between any two letters.
        keyless = text.replace(self.key, "[key]") if self.key else text
        line = " ".join(keyless.split())
        return line if len(line) <= EXCERPT_CHARACTERS else line[: EXCERPT_CHARACTERS - 1] + "…"

    def refused(
        self, status: int, code: str, text: str, headers: Mapping[str, str], limits: tuple[RateLimit, ...] = ()
    ) -> ModelFailed:
        """An answer with an HTTP status other than success. `code` is the vendor's, or empty; `limits` is what the
        headers say of the account's limits."""
        retryable = _passes(status, code)
        said = f"({status}{' ' + code if code else ''}): {self.excerpt(text) or 'no explanation'}"
        return ModelFailed(
            f"{self.provider} {self._refusal(status, code)} {said}{self._remedy(status, code)}",
            retryable,
            retry_after_seconds(headers) if retryable else None,
            _kind(status, code, text),
            limits,
        )

    def bad_response(self, what: str, body: str) -> ModelFailed:
        """An answer that claims success and is not one: nothing of it can be used, and the next may be whole."""
        return ModelFailed(
            f"{self.provider} sent a bad response, {what}: {self.excerpt(body) or 'an empty body'}",
            kind=FailureKind.BAD_RESPONSE,
        )

    def truncated(self, text: str) -> ModelFailed:
        """A stream that ended before its end; `text` is what had come until then."""
        return ModelFailed(
            f"{self.provider}'s stream ended without the reason that ends a reply, after {len(text)} characters",
            kind=FailureKind.TRUNCATED,
        )

    def filtered(self, message: str) -> ModelFailed:
        """The vendor's filter, or the model, refused: asked the same again, it would again."""
        return ModelFailed(message, retryable=False, kind=FailureKind.CONTENT_FILTER)

    def unreachable(self, host: str, text: str) -> ModelFailed:
        """The exchange broke off, or never began."""
        return ModelFailed(
            f"{self.provider} was not reached at {host}, or hung up: {self.excerpt(text)};"
            " check the worker's network if it persists",
            kind=FailureKind.CONNECTION,
        )

    def late(self, seconds: float) -> ModelFailed:
        """No complete answer came in time."""
        return ModelFailed(
            f"{self.provider} gave no complete answer within {seconds:g} s; if the model needs longer, raise the"
            " step's timeout",
            kind=FailureKind.TIMEOUT,
        )

    def unsent(self, text: str) -> ModelFailed:
        """The request cannot be made at all, today or tomorrow."""
        return ModelFailed(
            f"the call of {self.provider} could not be made: {self.excerpt(text)}",
            retryable=False,
            kind=FailureKind.UNSENT,
        )

    def _refusal(self, status: int, code: str) -> str:
        """What the provider did, for the reader who does not know its status codes by heart."""
        if _refuses_the_key(status, code):
            return "refused the key"
        if _exhausted(code):
            return "says that the account's quota is used up"
        if status == 429:
            return "limits the rate"
        return "is in trouble" if _passes(status, code) else "refused the request"

    def _remedy(self, status: int, code: str) -> str:
        """What a person can do about it; nothing where waiting or the vendor's words say it."""
        if _refuses_the_key(status, code):
            return f"; check {self.key_variable} on the workers"
        if _exhausted(code):
            return f"; add credit, or give the workers another {self.key_variable}"
        return "; check the step's model" if status == 404 else ""


def _refuses_the_key(status: int, code: str) -> bool:
    """Whether it is the key that is wrong. Google's answer to one that it does not know is 400 API_KEY_INVALID."""
    return status in (401, 403) or code.startswith("API_KEY_")


def _exhausted(code: str) -> bool:
    """Whether what is used up stays so for the run: money, or one of Google's quotas for a day."""
    return code in EXHAUSTED or "PerDay" in code


def _passes(status: int, code: str) -> bool:
    """Whether the same call may go better a moment later: timeouts, conflicts, rate limits and all server errors."""
    return not _exhausted(code) and (status in (408, 409, 429) or status >= 500)


_TOO_LONG = re.compile(
    r"context.length|context.window|context.size|too.long|maximum number of tokens|token count", re.IGNORECASE
)
"""How vendors say in a code, or in words alone, that a prompt does not fit. `context.size`: servers built on llama.cpp,
`exceed_context_size_error`."""


def _kind(status: int, code: str, text: str) -> FailureKind:
    """What a refusal is called in our words.

    Codes are looked at before statuses, which several failures share, and words last, which any server may change.
    """
    if _refuses_the_key(status, code):
        return FailureKind.AUTH
    if _exhausted(code) or status == 402:
        return FailureKind.QUOTA
    if status == 429:
        return FailureKind.RATE_LIMIT
    # 529 is Anthropic's own, and gateways pass it on.
    if status in (503, 529):
        return FailureKind.OVERLOAD
    if status in (408, 504):
        return FailureKind.TIMEOUT
    if status >= 500 or status == 409:
        return FailureKind.SERVER
    if status == 413 or _TOO_LONG.search(f"{code} {text}"):
        return FailureKind.CONTEXT_LENGTH
    return (
        FailureKind.CONTENT_FILTER if "content_policy" in code or "content_filter" in code else FailureKind.BAD_REQUEST
    )


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The wait that the answer asks for, at most `RETRY_AFTER_CAP_SECONDS`; None if it asks for none, or nonsense.

    `retry-after-ms` counts milliseconds and is the more exact; `retry-after` is seconds or an HTTP date.
    """
    for name, read in (("retry-after-ms", _milliseconds), ("retry-after", _seconds_or_date)):
        seconds = read(headers[name]) if name in headers else None
        if seconds is not None and math.isfinite(seconds) and seconds >= 0:
            return min(seconds, RETRY_AFTER_CAP_SECONDS)
    return None


def _milliseconds(text: str) -> float | None:
    """Seconds from a number of milliseconds; None for nonsense."""
    seconds = _seconds(text)
    return None if seconds is None else seconds / 1000


def _seconds_or_date(text: str) -> float | None:
    """Seconds from now, by this machine's clock where a date is given; None for nonsense."""
    seconds = _seconds(text)
    if seconds is not None:
        return seconds
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _seconds(text: str) -> float | None:
    """A number of seconds, which need not be finite; None for nonsense."""
    try:
        return float(text)
    except ValueError:
        return None
