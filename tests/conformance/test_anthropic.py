"""What only Anthropic's answers have: stop reasons, a usage record, errors of its own, blocks to send back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orchestrator_client.contract.limits import Dimension
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import Project
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.anthropic.client import Anthropic
from orchestrator_worker.providers.base import Message, ToolCall, ToolReturn
from tests.conformance.adapter import ClosableProvider
from tests.conformance.anthropic_adapter import AnthropicAdapter
from tests.conformance.anthropic_wire import (
    SIGNATURE,
    call_block,
    calls,
    echo,
    error,
    limit_headers,
    message,
    text,
)
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.model_server import Answer, ModelServer

Caller = AnyCaller[ModelServer]


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    return AnyCaller(AnthropicAdapter(), model_server.script(otherwise=echo))


def said(content: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content, **fields}]


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


@pytest.mark.parametrize(("max_tokens", "warned"), [(None, True), (4096, False)])
def test_a_reply_cut_at_the_default_says_so(call: Caller, max_tokens: int | None, warned: bool) -> None:
    call.server.script(text("half a", finish_reason="length"))
    reply = call(max_tokens=max_tokens)
    assert reply.finish_reason == "length"
    assert any("max_tokens" in warning for warning in reply.warnings) is warned


@pytest.mark.parametrize(("stop_reason", "finish_reason"), [("end_turn", "stop"), ("stop_sequence", "stop")])
def test_a_reply_that_ended_by_itself(call: Caller, stop_reason: str, finish_reason: str) -> None:
    call.server.script(message(said("done"), fields={"stop_reason": stop_reason}))
    assert call().finish_reason == finish_reason


@pytest.mark.parametrize(
    ("fields", "kind", "shown"),
    [
        ({"stop_reason": None}, "truncated", "not complete"),
        ({"stop_reason": "pause_turn"}, "truncated", "not complete"),
        ({"stop_reason": "tool_use"}, "truncated", "not complete"),
        ({"stop_reason": ["odd"]}, "truncated", "not complete"),
        ({"stop_reason": "x" * 5000}, "truncated", "not complete"),
        ({"stop_reason": "model_context_window_exceeded"}, "context_length", "shorten the prompt"),
        ({"stop_reason": "refusal"}, "content_filter", "half a reply"),
        ({"stop_reason": "refusal", "content": []}, "content_filter", "no explanation"),
        ({"stop_reason": "refusal", "content": [], "stop_details": {"category": "bio"}}, "content_filter", "bio"),
        ({"content": None}, "bad_response", "no message"),
        ({"content": "text"}, "bad_response", "no message"),
    ],
)
def test_only_a_reply_that_ended_well_is_one(call: Caller, fields: dict[str, Any], kind: str, shown: str) -> None:
    call.server.script(message(said("half a reply"), fields=fields))
    failure = call.failed()
    assert failure.kind == kind
    assert failure.retryable is (kind in ("truncated", "bad_response"))
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
    assert Prices(Project()).of_call("anthropic", reply.model, reply.raw_usage, reply.usage) == Decimal("0.002265")


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
    assert Prices(Project()).of_call("anthropic", reply.model, reply.raw_usage, reply.usage) is not None


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
    ("answer", "kind", "shown"),
    [
        (error(400, "prompt is too long: 210000 tokens"), "context_length", "(400 invalid_request_error): prompt is"),
        (error(402, "Your credit balance is too low"), "quota", "quota is used up"),
        (error(429, error_code="contract_spend_limit_reached"), "quota", "quota is used up"),
        (error(429, error_code="ramp_limit_exceeded"), "rate_limit", "limits the rate (429 ramp_limit_exceeded)"),
        (error(413), "context_length", "(413 request_too_large)"),
        (error(504), "timeout", "(504 timeout_error)"),
        (error(529, "Overloaded"), "overload", "(529 overloaded_error): Overloaded"),
        (Answer(500, b'{"type": "error", "error": "odd"}'), "server", "odd"),
        (Answer(503, b'["odd"]'), "overload", "odd"),
    ],
)
def test_an_error_in_its_own_words(call: Caller, answer: Answer, kind: str, shown: str) -> None:
    call.server.script(answer)
    failure = call.failed()
    assert failure.kind == kind
    assert failure.retryable is (kind not in ("context_length", "quota"))
    assert shown in str(failure)


IN_A_SUCCESS = [
    ("overloaded_error", "overload", "in trouble (529 overloaded_error)"),
    ("rate_limit_error", "rate_limit", "limits the rate (429 rate_limit_error)"),
    ("timeout_error", "timeout", "in trouble (504 timeout_error)"),
    ("invalid_request_error", "bad_request", "refused the request (400 invalid_request_error)"),
    ("authentication_error", "auth", "refused the key (401 authentication_error)"),
    ("an_error_to_come", "server", "in trouble (500 an_error_to_come)"),
]


@pytest.mark.parametrize(("type_", "kind", "shown"), IN_A_SUCCESS)
def test_an_error_in_the_body_of_a_success(call: Caller, type_: str, kind: str, shown: str) -> None:
    call.server.script(Answer(body=error(500, "says the gateway", kind=type_).body))
    failure = call.failed()
    assert failure.kind == kind
    assert shown in str(failure)
    assert "says the gateway" in str(failure)


def test_the_wait_is_that_of_retry_after_and_not_of_the_reset(call: Caller) -> None:
    limits = limit_headers(requests=(50, 0, 40.0))
    call.server.script(error(429, headers={**limits, "retry-after": "17"}), error(429, headers=limits))
    assert (call.failed().retry_after_seconds, call.failed().retry_after_seconds) == (17.0, None)


def test_input_and_output_have_limits_of_their_own(call: Caller) -> None:
    headers = limit_headers(input_tokens=(40_000, 39_000, 1.5), output_tokens=(8_000, 0, 30.0))
    call.server.script(text("x", headers=headers))
    seen = [(limit.dimension, limit.limit, limit.remaining) for limit in call().limits]
    assert seen == [(Dimension.INPUT_TOKENS, 40_000, 39_000), (Dimension.OUTPUT_TOKENS, 8_000, 0)]


def test_a_message_goes_back_with_its_signatures(call: Caller) -> None:
    call.server.script(calls(("toolu_1", "look", {"at": "sky"}), text="Let me see."))
    asked = call()
    call(
        messages=(
            Message.of("user", "What color is it?"),
            Message("assistant", (asked.text,), asked.calls, native=asked.native),
            Message("tool", returns=(ToolReturn("toolu_1", "look", "blue"),)),
        )
    )
    _, again, returned = call.server.requests[1].body["messages"]
    assert again["content"] == [
        {"type": "thinking", "thinking": "", "signature": SIGNATURE},
        *said("Let me see.", citations=None),
        call_block(("toolu_1", "look", {"at": "sky"})),
    ]
    assert returned == {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "blue"}],
    }


def test_a_message_of_text_alone_needs_not_go_back_as_it_was(call: Caller) -> None:
    call.server.script(message([], fields={"content": said("plain", citations=None)}))
    assert call().native is None


def test_what_the_api_would_not_take_back_is_not_sent_back(call: Caller) -> None:
    odd = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": "sky"}
    content = [*said(""), {"type": "redacted_thinking", "data": "EmwK"}, odd]
    call.server.script(message([], fields={"content": content, "stop_reason": "tool_use"}))
    reply = call()
    assert reply.calls[0].problem
    assert reply.native == {"role": "assistant", "content": [content[1], {**odd, "input": {}}]}


@pytest.mark.parametrize("native", [None, [{"type": "function_call"}], {"role": "model", "parts": []}, "text"])
def test_the_message_of_another_provider_is_worded_anew(call: Caller, native: Any) -> None:
    asks = (ToolCall("call:1|fc_2", "look", {"at": "sky"}),)
    answers = (ToolReturn("call:1|fc_2", "look", "no sky", failed=True),)
    call(
        messages=(
            Message.of("user", "Look."),
            Message("assistant", ("Yes.",), asks, native=native),
            Message("tool", returns=answers),
        )
    )
    _, asked, returned = call.server.requests[0].body["messages"]
    plain_call = {"type": "tool_use", "id": "call_1_fc_2", "name": "look", "input": {"at": "sky"}}
    assert asked == {"role": "assistant", "content": [*said("Yes."), plain_call]}
    result = {"type": "tool_result", "tool_use_id": "call_1_fc_2", "content": "no sky", "is_error": True}
    assert returned == {"role": "user", "content": [result]}


def test_a_call_cut_off_at_the_limit_is_not_to_be_made(call: Caller) -> None:
    call.server.script(
        calls(("toolu_1", "look", {"at": "sky"}), ("toolu_2", "look", {}), finish_reason="length"),
    )
    reply = call(max_tokens=20)
    assert reply.finish_reason == "length"
    assert [bool(asked.problem) for asked in reply.calls] == [False, True]
    assert "max_tokens" in reply.calls[1].problem


@pytest.mark.parametrize(
    ("answered", "read"),
    [
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ("```\n[1]```\n", "[1]"),
        ('{"a": "```"}', '{"a": "```"}'),
        ("```", "```"),
    ],
)
def test_json_comes_without_a_code_fence(call: Caller, answered: str, read: str) -> None:
    call.server.script(text(answered), text(answered))
    assert call(schema={"type": "object"}).text == read
    assert call().text == answered


def test_a_body_is_read_whatever_its_content_type(call: Caller) -> None:
    call.server.script(text("plain", content_type="text/plain"))
    assert call().text == "plain"
