"""What only Google's wire format has: reasons for an end, details of errors, a usage record of its own, versions."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.contract.errors import CredentialMissing, FailureKind
from orchestrator_client.contract.limits import Dimension, RateLimit
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import Project, ProviderSection
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.google.client import Google
from tests.conformance.adapter import ClosableProvider
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.google_adapter import GoogleAdapter
from tests.conformance.google_wire import (
    candidate,
    echo,
    error,
    error_info,
    quota_failure,
    response,
    retry_info,
    text,
)
from tests.conformance.model_server import Answer, ModelServer

Caller = AnyCaller[ModelServer]

DAILY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-test")
    return AnyCaller(GoogleAdapter(), model_server.script(otherwise=echo))


class AddressedByEnvironment(GoogleAdapter):
    def provider(self, root: str) -> ClosableProvider:
        return Google()


class OfASection(GoogleAdapter):
    def provider(self, root: str) -> ClosableProvider:
        return Google(ProviderSection(base_url=root, api_version="v1beta", headers={"x-tenant": "a"}))


class TestEnvironment:
    @pytest.mark.parametrize("end", ["", "/", "/a/gateway"])
    def test_address(self, call: Caller, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", call.server.root + end)
        assert AnyCaller(AddressedByEnvironment(), call.server)("hello").text == "hello"
        assert call.server.requests[0].path == f"{end.rstrip('/')}/v1/models/gemini-2.5-flash:generateContent"

    def test_version(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v1beta")
        call()
        assert call.server.requests[0].path == "/v1beta/models/gemini-2.5-flash:generateContent"

    def test_the_sections_version_wins(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v1alpha")
        AnyCaller(OfASection(), call.server)()
        assert call.server.requests[0].path == "/v1beta/models/gemini-2.5-flash:generateContent"
        assert call.server.requests[0].headers["x-tenant"] == "a"

    @pytest.mark.parametrize("first", [None, "", "  "])
    def test_the_other_name_of_the_key(self, call: Caller, monkeypatch: pytest.MonkeyPatch, first: str | None) -> None:
        monkeypatch.delenv("GOOGLE_API_KEY")
        if first is not None:
            monkeypatch.setenv("GOOGLE_API_KEY", first)
        monkeypatch.setenv("GEMINI_API_KEY", "AIza-other")
        call.server.script(error(401))
        assert "check GEMINI_API_KEY" in str(call.failed())
        assert call.server.requests[0].headers["x-goog-api-key"] == "AIza-other"

    def test_the_first_name_of_the_key_wins(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GEMINI_API_KEY", "AIza-other")
        call()
        assert call.server.requests[0].headers["x-goog-api-key"] == "AIza-test"

    def test_without_a_key_both_names_are_told(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GOOGLE_API_KEY")
        with pytest.raises(CredentialMissing, match="GOOGLE_API_KEY or GEMINI_API_KEY"):
            call()

    @pytest.mark.parametrize("variable", ["GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE"])
    def test_another_api_of_googles_is_not_called(
        self, call: Caller, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        monkeypatch.setenv(variable, "true")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "a-project")
        assert call("hello").text == "hello"
        assert call.server.requests[0].path == call.adapter.path


class TestEnd:
    @pytest.mark.parametrize(
        "reason",
        ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "LANGUAGE", "PUP_LIMITED_DISABLED"],
    )
    def test_a_filter_is_named_and_stays(self, call: Caller, reason: str) -> None:
        call.server.script(candidate([{"text": "half a"}], finish_reason=reason, finish_message="It was unsafe."))
        failure = call.failed()
        assert not failure.retryable
        assert f"content filter stopped the reply ({reason}): It was unsafe." in str(failure)

    @pytest.mark.parametrize("reason", ["PROHIBITED_CONTENT", "OTHER", "SOMETHING_NEW"])
    def test_a_prompt_that_is_blocked_is_named_and_stays(self, call: Caller, reason: str) -> None:
        call.server.script(response(None, fields={"promptFeedback": {"blockReason": reason}}))
        failure = call.failed()
        assert not failure.retryable
        assert f"refused the prompt ({reason})" in str(failure)

    @pytest.mark.parametrize(
        "reason",
        [
            None,
            "FINISH_REASON_UNSPECIFIED",
            "OTHER",
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "SOMETHING_NEW",
        ],
    )
    def test_an_end_without_a_good_reason_may_go_better(self, call: Caller, reason: str | None) -> None:
        call.server.script(candidate([{"text": "half a"}], finish_reason=reason))
        failure = call.failed()
        assert failure.retryable
        assert str(reason) in str(failure)

    def test_a_missing_signature_stays_missing(self, call: Caller) -> None:
        call.server.script(candidate([], finish_reason="MISSING_THOUGHT_SIGNATURE"))
        failure = call.failed()
        assert (failure.kind, failure.retryable) == (FailureKind.BAD_REQUEST, False)

    @pytest.mark.parametrize("candidates", [None, [], [None], ["text"], "text", {}])
    def test_no_candidate(self, call: Caller, candidates: Any) -> None:
        call.server.script(response(candidates))
        failure = call.failed()
        assert failure.retryable
        assert "no candidates" in str(failure)

    def test_a_reply_cut_at_the_services_limit_is_kept_in_one_call(self, call: Caller) -> None:
        answer = json.loads(candidate([{"text": "half a"}], finish_reason="CONTINUATION").body)
        answer["candidates"][0]["continuationToken"] = "dG9rZW4="
        call.server.script(Answer(body=json.dumps(answer).encode()))
        reply = call()
        assert (reply.text, reply.finish_reason) == ("half a", "length")
        assert any("its own limit" in warning for warning in reply.warnings)
        assert len(call.server.requests) == 1


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (None, ""),
        ({"role": "model"}, ""),
        ({"parts": None}, ""),
        ({"parts": [None, 3, {}, {"text": 3}, {"functionCall": 3}]}, ""),
        ({"parts": [{"text": "a"}, {"text": "b"}]}, "ab"),
        ({"parts": [{"text": "hm", "thought": True}, {"text": "a"}]}, "a"),
    ],
)
def test_text_is_what_the_candidate_says(call: Caller, content: Any, read: str) -> None:
    call.server.script(response([{"content": content, "finishReason": "STOP"}]))
    assert call().text == read


class TestUsage:
    @pytest.mark.parametrize(
        "usage",
        [
            None,
            "many",
            {},
            {"candidatesTokenCount": 5},
            {"promptTokenCount": -5},
            {"promptTokenCount": 10**12},
            {"promptTokenCount": 1.5},
            {"promptTokenCount": 1, "candidatesTokenCount": "many"},
            {"promptTokenCount": 1, "candidatesTokenCount": 10, "thoughtsTokenCount": -5},
        ],
    )
    def test_an_incredible_count_is_none(self, call: Caller, usage: Any) -> None:
        call.server.script(candidate([{"text": "x"}], usage=usage))
        reply = call()
        assert (reply.text, reply.usage, reply.raw_usage) == ("x", Usage(), {})
        assert any("count of tokens" in warning for warning in reply.warnings)

    def test_counts_that_are_zero_are_left_out(self, call: Caller) -> None:
        call.server.script(
            candidate([], finish_reason="length", usage={"promptTokenCount": 7, "thoughtsTokenCount": 9})
        )
        assert call().usage == Usage(input_tokens=7, output_tokens=9, reasoning_tokens=9)

    def test_sound_and_what_googles_own_tools_read(self, call: Caller) -> None:
        usage = {
            "promptTokenCount": 30,
            "toolUsePromptTokenCount": 12,
            "candidatesTokenCount": 9,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}, {"modality": "TEXT", "tokenCount": 10}],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}, None, {"modality": "AUDIO"}],
        }
        call.server.script(candidate([{"text": "x"}], usage=usage))
        assert call().usage == Usage(input_tokens=42, output_tokens=9, audio_tokens=24)

    def test_has_a_price(self, call: Caller) -> None:
        # gemini-2.5-flash: 0.30 / 0.03 / 2.50 USD per million tokens read / read from the cache / written
        call.server.script(text("x", input_tokens=1000, cached_tokens=400, output_tokens=500, reasoning_tokens=300))
        reply = call()
        assert Prices(Project()).of_call("google", reply.model, reply.raw_usage, reply.usage) == Decimal("0.001442")


class TestRefusal:
    @pytest.mark.parametrize(
        ("delay", "seconds"),
        [("17s", 17.0), ("1.5s", 1.5), ("0s", 0.0), ("86400s", 3600.0), ("-1s", None), ("soon", None), (17, None)],
    )
    def test_the_wait_is_in_the_body(self, call: Caller, delay: Any, seconds: float | None) -> None:
        call.server.script(error(429, details=[error_info("RATE_LIMIT_EXCEEDED"), retry_info(delay)]))
        failure = call.failed()
        assert (failure.retryable, failure.retry_after_seconds) == (True, seconds)

    def test_a_header_is_believed_before_the_body(self, call: Caller) -> None:
        call.server.script(error(503, details=[retry_info("17s")], headers={"retry-after": "3"}))
        assert call.failed().retry_after_seconds == 3.0

    @pytest.mark.parametrize(("quota", "retryable"), [(DAILY, False), (DAILY.replace("PerDay", "PerMinute"), True)])
    def test_a_quota_for_the_day_is_used_up_for_the_run(self, call: Caller, quota: str, retryable: bool) -> None:
        call.server.script(error(429, details=[error_info("RATE_LIMIT_EXCEEDED"), quota_failure(quota)]))
        failure = call.failed()
        assert failure.retryable is retryable
        assert ("quota is used up" in str(failure)) is not retryable
        assert (DAILY in str(failure)) is not retryable

    def test_limits_that_a_gateway_tells_of(self, call: Caller) -> None:
        headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
        told = (RateLimit(Dimension.REQUESTS, 60, 0),)
        call.server.script(text("x", headers=headers), error(429, headers=headers))
        assert call().limits == told
        assert call.failed().limits == told

    def test_an_error_that_claims_success_is_one(self, call: Caller) -> None:
        call.server.script(Answer(200, error(503, "overloaded").body))
        assert call.failed().kind is FailureKind.OVERLOAD

    def test_an_unknown_key_is_told_although_its_status_is_400(self, call: Caller) -> None:
        call.server.script(error(400, "API key not valid.", details=[error_info("API_KEY_INVALID")]))
        failure = call.failed()
        assert not failure.retryable
        assert "refused the key (400 API_KEY_INVALID)" in str(failure)
        assert "check GOOGLE_API_KEY" in str(failure)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b'"overloaded"',
            b'{"error": "overloaded"}',
            b'{"error": {"message": {}, "status": 3, "details": "none"}}',
            b'{"error": {"details": [null, {"violations": [null, {}]}, {"reason": 3}, {"retryDelay": null}]}}',
            b'[{"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}]',
            b"\xff\xfe\xff",
            b"[" * 60_000,
        ],
    )
    def test_a_body_of_any_shape(self, call: Caller, body: bytes) -> None:
        call.server.script(Answer(503, body))
        failure = call.failed()
        assert failure.retryable
        assert failure.retry_after_seconds is None
