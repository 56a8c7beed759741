"""What every provider reads of the account's limits in an answer's headers, and how the headers are read."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator_client.contract.limits import Dimension, RateLimit
from orchestrator_worker.providers.headers import RESET_CAP_SECONDS, rate_limits
from tests.conformance.caller import SuiteCaller as Caller

REQUESTS, TOKENS = (500, 499, 0.5), (30_000, 29_000, 62.0)


def told(call: Caller) -> dict[str, str]:
    headers = call.adapter.limit_headers(REQUESTS, TOKENS)
    if headers is None:
        pytest.skip(f"{call.adapter.name} tells no limits")
    return headers


def assert_told(limits: tuple[RateLimit, ...], began: float) -> None:
    """A moment is told to the second, so a reset may be off by one, and has come nearer since `began`."""
    passed = time.monotonic() - began
    by_dimension = {limit.dimension: limit for limit in limits}
    for dimension, (limit, remaining, reset) in {Dimension.REQUESTS: REQUESTS, Dimension.TOKENS: TOKENS}.items():
        found = by_dimension[dimension]
        assert (found.limit, found.remaining) == (limit, remaining)
        assert found.reset_seconds is not None
        assert reset - passed - 1.5 <= found.reset_seconds <= reset + 1.5


class TestProviders:
    def test_of_a_reply(self, call: Caller) -> None:
        began = time.monotonic()
        call.server.script(call.adapter.text("x", headers=told(call)))
        assert_told(call().limits, began)

    def test_of_a_stream(self, call: Caller) -> None:
        began = time.monotonic()
        call.server.script(call.adapter.stream("x", headers=told(call)))
        assert_told(call.streamed()[0].limits, began)

    def test_of_a_refusal(self, call: Caller) -> None:
        began = time.monotonic()
        call.server.script(call.adapter.error(429, headers=told(call)))
        assert_told(call.failed().limits, began)

    def test_of_one_dimension(self, call: Caller) -> None:
        told(call)
        headers = call.adapter.limit_headers(REQUESTS, None)
        call.server.script(call.adapter.text("x", headers=headers))
        assert [limit.dimension for limit in call().limits] == [Dimension.REQUESTS]

    def test_none_are_told(self, call: Caller) -> None:
        assert call().limits == ()

    def test_nonsense_is_as_if_it_were_not_there(self, call: Caller) -> None:
        headers = dict.fromkeys(told(call), "soon")
        call.server.script(call.adapter.text("x", headers=headers))
        assert call().limits == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12s", 12.0),
        ("6m0s", 360.0),
        ("280ms", 0.28),
        ("1h2m3.5s", 3723.5),
        ("1m0.25s", 60.25),
        ("20", 20.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("0s", 0.0),
        (" 12s ", 12.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1.2.3s", None),
        ("12 s", None),
        ("s", None),
        ("1760000000", None),
        (f"{RESET_CAP_SECONDS + 1}", None),
        ("9" * 400 + "s", None),
        ("2026-11-22", None),
        ("2026-11-22T10:00:00", None),
    ],
)
def test_a_reset(text: str, seconds: float | None) -> None:
    expected = () if seconds is None else (RateLimit(Dimension.REQUESTS, reset_seconds=pytest.approx(seconds)),)
    assert rate_limits({"x-ratelimit-reset-requests": text}) == expected


@pytest.mark.parametrize(("ahead", "seconds"), [(90.0, 90.0), (-90.0, 0.0)])
def test_a_moment(ahead: float, seconds: float) -> None:
    began = time.monotonic()
    moment = (datetime.now(UTC) + timedelta(seconds=ahead)).isoformat().replace("+00:00", "Z")
    [limit] = rate_limits({"anthropic-ratelimit-input-tokens-reset": moment}, "anthropic-ratelimit-")
    passed = time.monotonic() - began
    assert limit.dimension == Dimension.INPUT_TOKENS
    assert limit.reset_seconds is not None
    assert seconds - passed - 1 <= limit.reset_seconds <= seconds + 1


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("17", 17),
        ("-1", None),
        ("1.5", None),
        ("١٢", None),
        ("²", None),
        ("1" * 16, None),
        ("9" * 5000, None),
    ],
)
def test_what_remains(text: str, count: int | None) -> None:
    expected = () if count is None else (RateLimit(Dimension.TOKENS, remaining=count),)
    assert rate_limits({"x-ratelimit-remaining-tokens": text}) == expected


def test_a_limit_of_nothing_is_none() -> None:
    assert rate_limits({"x-ratelimit-limit-requests": "0"}) == ()


def test_both_layouts() -> None:
    after = {"x-ratelimit-limit-output-tokens": "8", "x-ratelimit-remaining-output-tokens": "7"}
    before = {"x-ratelimit-output-tokens-limit": "8", "x-ratelimit-output-tokens-remaining": "7"}
    assert rate_limits(after) == rate_limits(before) == (RateLimit(Dimension.OUTPUT_TOKENS, 8, 7),)
