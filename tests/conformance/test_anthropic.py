"""What only Anthropic's wire format has: stop reasons, a usage record and errors of its own, and no temperature."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.contract.usage import Usage
from orchestrator_worker.pricing import price
from orchestrator_worker.providers.anthropic import Anthropic
from orchestrator_worker.providers.base import Message
from tests.conformance.adapters import AnthropicAdapter, ClosableProvider
from tests.conformance.anthropic_wire import HEADERS, echo, error, message, text
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.model_server import Answer, ModelServer

Caller = AnyCaller[ModelServer]


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    return AnyCaller(AnthropicAdapter(), model_server.script(otherwise=echo))


def said(content: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}]


class AddressedByEnvironment(AnthropicAdapter):
    def provider(self, root: str) -> ClosableProvider:
        return Anthropic()


def test_address_from_the_environment(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", call.server.root)
    assert AnyCaller(AddressedByEnvironment(), call.server)("hello").text == "hello"


def test_another_credential_in_the_environment_is_not_sent(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "a-token-of-another-program")
    call()
    assert call.server.requests[0].headers["authorization"] == "Bearer sk-ant-test"


@pytest.mark.parametrize("max_tokens", [1, 4096, 21_334, 128_000])
def test_any_limit_may_be_asked_for(call: Caller, max_tokens: int) -> None:
    call(max_tokens=max_tokens)
    assert call.server.requests[0].body["max_tokens"] == max_tokens


@pytest.mark.parametrize(("max_tokens", "warned"), [(None, True), (4096, False)])
def test_a_reply_cut_at_the_default_says_so(call: Caller, max_tokens: int | None, warned: bool) -> None:
    call.server.script(text("half a", finish_reason="length"))
    reply = call(max_tokens=max_tokens)
    assert reply.finish_reason == "length"
    assert any("max_tokens" in warning for warning in reply.warnings) is warned


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-4-6", "my-model"])
def test_no_model_is_sent_a_temperature(call: Caller, model: str) -> None:
    reply = call(model=model, temperature=0.5)
    assert "temperature" not in call.server.requests[0].body
    assert any("temperature" in warning for warning in reply.warnings)


def test_a_system_message_that_comes_late_stands_with_the_others(call: Caller) -> None:
    call(messages=(Message("system", "Be brief."), Message("user", "hi"), Message("system", "Be kind.")))
    body = call.server.requests[0].body
    assert body["system"] == "Be brief.\n\nBe kind."
    assert body["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(("stop_reason", "finish_reason"), [("end_turn", "stop"), ("stop_sequence", "stop")])
def test_a_reply_that_ended_by_itself(call: Caller, stop_reason: str, finish_reason: str) -> None:
    call.server.script(message(said("done"), fields={"stop_reason": stop_reason}))
    assert call().finish_reason == finish_reason


@pytest.mark.parametrize(
    ("fields", "retryable", "shown"),
    [
        ({"stop_reason": None}, True, "not complete"),
        ({"stop_reason": "pause_turn"}, True, "not complete"),
        ({"stop_reason": "tool_use"}, True, "not complete"),
        ({"stop_reason": ["odd"]}, True, "not complete"),
        ({"stop_reason": "x" * 5000}, True, "not complete"),
        ({"stop_reason": "model_context_window_exceeded"}, False, "shorten the prompt"),
        ({"stop_reason": "refusal"}, False, "half a reply"),
        ({"stop_reason": "refusal", "content": []}, False, "no explanation"),
        ({"stop_reason": "refusal", "content": [], "stop_details": {"category": "bio"}}, False, "bio"),
        ({"content": None}, True, "no message"),
        ({"content": "text"}, True, "no message"),
    ],
)
def test_only_a_reply_that_ended_well_is_one(call: Caller, fields: dict[str, Any], retryable: bool, shown: str) -> None:
    call.server.script(message(said("half a reply"), fields=fields))
    failure = call.failed()
    assert failure.retryable is retryable
    assert shown in str(failure)
    assert len(str(failure)) < 500


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ([], ""),
        ([None, 3, {"type": "text"}, {"type": "text", "text": 3}], ""),
        (said("a") + said("b"), "ab"),
        ([{"type": "thinking", "thinking": "hm", "text": "hm"}, *said("a")], "a"),
    ],
)
def test_text_is_what_the_text_blocks_say(call: Caller, content: Any, read: str) -> None:
    call.server.script(message([], fields={"content": content}))
    assert call().text == read


def test_usage_counts_what_the_cache_gave_and_took(call: Caller) -> None:
    record = {
        "input_tokens": 600,
        "cache_read_input_tokens": 400,
        "cache_creation_input_tokens": 100,
        "output_tokens": 300,
    }
    call.server.script(message(said("x"), usage=record))
    reply = call()
    assert reply.usage == Usage(input_tokens=1100, cached_input_tokens=400, output_tokens=300)
    # 600 at 1 USD a million, 400 at 0.10, 100 at 1.25, 300 at 5
    assert price("anthropic", reply.model, reply.raw_usage, reply.usage) == Decimal("0.002265")


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"cache_read_input_tokens": None, "cache_creation_input_tokens": None, "output_tokens_details": None},
        {"output_tokens_details": []},
    ],
)
def test_usage_without_details(call: Caller, details: dict[str, Any]) -> None:
    call.server.script(message(said("x"), usage={"input_tokens": 7, "output_tokens": 2, **details}))
    reply = call()
    assert reply.usage == Usage(input_tokens=7, output_tokens=2)
    assert price("anthropic", reply.model, reply.raw_usage, reply.usage) is not None


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        {},
        {"input_tokens": -5, "output_tokens": 1},
        {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": -1},
        {"input_tokens": 5, "output_tokens": 1, "cache_creation_input_tokens": "all"},
        {"input_tokens": 10**12, "output_tokens": 1},
        {"input_tokens": 1.5, "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
    ],
)
def test_an_incredible_count_is_none(call: Caller, usage: Any) -> None:
    call.server.script(message(said("x"), usage=usage))
    reply = call()
    assert (reply.text, reply.usage, reply.raw_usage) == ("x", Usage(), {})
    assert any("count of tokens" in warning for warning in reply.warnings)


@pytest.mark.parametrize(
    ("answer", "retryable", "shown"),
    [
        (error(400, "prompt is too long: 210000 tokens"), False, "(400 invalid_request_error): prompt is too long"),
        (error(402, "Your credit balance is too low"), False, "quota is used up"),
        (error(429, error_code="contract_spend_limit_reached"), False, "quota is used up"),
        (error(429, error_code="ramp_limit_exceeded"), True, "limits the rate (429 ramp_limit_exceeded)"),
        (error(413), False, "(413 request_too_large)"),
        (error(504), True, "(504 timeout_error)"),
        (error(529, "Overloaded"), True, "(529 overloaded_error): Overloaded"),
        (Answer(500, b'{"type": "error", "error": "odd"}'), True, "odd"),
        (Answer(503, b'["odd"]'), True, "odd"),
    ],
)
def test_an_error_in_its_own_words(call: Caller, answer: Answer, retryable: bool, shown: str) -> None:
    call.server.script(answer)
    failure = call.failed()
    assert failure.retryable is retryable
    assert shown in str(failure)


@pytest.mark.parametrize(
    ("kind", "retryable", "shown"),
    [
        ("overloaded_error", True, "in trouble (529 overloaded_error)"),
        ("rate_limit_error", True, "limits the rate (429 rate_limit_error)"),
        ("timeout_error", True, "in trouble (504 timeout_error)"),
        ("invalid_request_error", False, "refused the request (400 invalid_request_error)"),
        ("authentication_error", False, "refused the key (401 authentication_error)"),
        ("an_error_to_come", True, "in trouble (500 an_error_to_come)"),
    ],
)
def test_an_error_in_the_body_of_a_success(call: Caller, kind: str, retryable: bool, shown: str) -> None:
    call.server.script(Answer(body=error(500, "says the gateway", kind=kind).body))
    failure = call.failed()
    assert failure.retryable is retryable
    assert shown in str(failure)
    assert "says the gateway" in str(failure)


def test_the_wait_is_that_of_retry_after_and_not_of_the_reset(call: Caller) -> None:
    call.server.script(error(429, headers={"retry-after": "17"}), error(429))
    assert (call.failed().retry_after_seconds, call.failed().retry_after_seconds) == (17.0, None)
    assert "anthropic-ratelimit-requests-reset" in HEADERS


def test_a_body_is_read_whatever_its_content_type(call: Caller) -> None:
    call.server.script(text("plain", content_type="text/plain"))
    assert call().text == "plain"
