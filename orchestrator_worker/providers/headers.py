"""What an answer's headers say of the account's limits, in the layouts that vendors and gateways use."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime

from orchestrator_client.contract.limits import Dimension, RateLimit

COUNT_DIGITS = 15
"""A longer number was not counted."""

RESET_CAP_SECONDS = 7 * 86400.0
"""A limit that is whole again only after a week is a moment mistaken for a duration, or nonsense."""

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(d|h|ms|us|µs|ns|m|s)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


def rate_limits(headers: Mapping[str, str], prefix: str = "x-ratelimit-") -> tuple[RateLimit, ...]:
    """One record for each dimension of which the headers say anything; what cannot be read is as if it were not there.

    Two layouts are known, OpenAI's `x-ratelimit-limit-requests` and Anthropic's `anthropic-ratelimit-requests-limit`.
    Both put `limit`, `remaining` and `reset` in a header each; a reset is a duration (`6m0s`, `280ms`, plain seconds)
    or a moment (RFC 3339), of which the time from now counts by this machine's clock. Header names are in lower case,
    or `headers` does not mind.
    """
    read = [_rate_limit(headers, prefix, dimension) for dimension in Dimension]
    return tuple(limit for limit in read if (limit.limit, limit.remaining, limit.reset_seconds) != (None, None, None))


def _rate_limit(headers: Mapping[str, str], prefix: str, dimension: Dimension) -> RateLimit:
    """What is said of one dimension."""

    def said(field: str) -> str:
        counted = dimension.replace("_", "-")
        return (headers.get(f"{prefix}{field}-{counted}") or headers.get(f"{prefix}{counted}-{field}") or "").strip()

    # A gateway that knows no limit sends 0; nobody has an account with which no call can be made.
    return RateLimit(dimension, _count(said("limit")) or None, _count(said("remaining")), _wait_seconds(said("reset")))


def _count(text: str) -> int | None:
    """A whole number that somebody may have counted."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= COUNT_DIGITS else None


def _wait_seconds(text: str) -> float | None:
    """Seconds from now, 0 for a moment that has passed; None for nonsense."""
    for read in (_seconds, duration_seconds, _moment_seconds):
        seconds = read(text)
        if seconds is not None:
            return seconds if 0 <= seconds <= RESET_CAP_SECONDS else None
    return None


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def duration_seconds(text: str) -> float | None:
    """A duration as Go spells it, numbers with units: `6m0s`, `1.5s`, `280ms`; None for anything else."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in _PART.findall(text))


def _moment_seconds(text: str) -> float | None:
    """From now until a moment that names its zone."""
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else max(0.0, moment.timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
