"""What only Anthropic's streams have: blocks that grow, counts that are totals, errors and ends of their own."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers import http
from tests.conformance.anthropic_adapter import AnthropicAdapter
from tests.conformance.anthropic_wire import (
    SIGNATURE,
    Call,
    block_events,
    call_block,
    calls,
    echo,
    ending,
    error,
    event,
    stream,
    text,
    text_delta,
    usage,
)
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.model_server import Answer, ModelServer, event_stream

Caller = AnyCaller[ModelServer]


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    return AnyCaller(AnthropicAdapter(), model_server.script(otherwise=echo))


def opening(**fields: Any) -> bytes:
    return event("message_start", message={"type": "message", "model": "m", "usage": usage(), **fields})


def text_events(*pieces: str) -> list[bytes]:
    return list(block_events(0, {"type": "text", "text": ""}, map(text_delta, pieces)))


def test_is_the_same_reply_as_without(call: Caller) -> None:
    asked: list[Call] = [("toolu_1", "look", {"at": "sky"}), ("toolu_2", "wait", {})]
    counts: dict[str, Any] = {"input_tokens": 20, "cached_tokens": 8, "output_tokens": 9, "reasoning_tokens": 3}
    call.server.script(stream("Let me ", "see.", calls=asked, **counts), calls(*asked, text="Let me see.", **counts))
    streamed, pieces = call.streamed()
    whole = call()
    assert pieces == ["Let me ", "see."]
    assert (streamed.text, streamed.calls, streamed.usage) == (whole.text, whole.calls, whole.usage)
    assert (streamed.finish_reason, streamed.model) == (whole.finish_reason, whole.model)
    assert streamed.native == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "", "signature": SIGNATURE},
            {"type": "text", "text": "Let me see."},
            *map(call_block, asked),
        ],
    }
    assert call.server.requests[0].body["stream"] is True
    assert "stream" not in call.server.requests[1].body or call.server.requests[1].body["stream"] is False


def test_thoughts_are_kept_and_not_told(call: Caller) -> None:
    thought = [{"type": "thinking_delta", "thinking": "h"}, {"type": "thinking_delta", "thinking": "m"}]
    signed = {"type": "signature_delta", "signature": "sig"}
    events = block_events(1, {"type": "thinking", "thinking": ""}, iter([*thought, signed]))
    call.server.script(event_stream(opening(), *text_events("a"), *events, *ending("end_turn", usage())))
    reply, pieces = call.streamed()
    assert (reply.text, pieces) == ("a", ["a"])
    assert reply.native["content"][1] == {"type": "thinking", "thinking": "hm", "signature": "sig"}


def test_citations_are_kept(call: Caller) -> None:
    cited = {"type": "citations_delta", "citation": {"cited_text": "x"}}
    events = block_events(0, {"type": "text", "text": ""}, iter([text_delta("a"), cited, cited]))
    call.server.script(event_stream(opening(), *events, *ending("end_turn", usage())))
    content = call.streamed()[0].native["content"]
    assert content == [{"type": "text", "text": "a", "citations": [{"cited_text": "x"}] * 2}]


def test_counts_are_totals(call: Caller) -> None:
    last = {"output_tokens": 12, "cache_read_input_tokens": None, "input_tokens": 30}
    end = [event("message_delta", delta={"stop_reason": "end_turn"}, usage=last), event("message_stop")]
    first = opening(usage={"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1})
    call.server.script(event_stream(first, *text_events("a"), *end))
    assert call.streamed()[0].usage == Usage(input_tokens=34, cached_input_tokens=4, output_tokens=12)


@pytest.mark.parametrize("raw", ['{"at": "sk', "[1]", '"sky"', '{"at": NaN}'])
def test_arguments_that_cannot_be_read_are_a_problem(call: Caller, raw: str) -> None:
    asked = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    events = block_events(0, asked, iter([{"type": "input_json_delta", "partial_json": raw}]))
    call.server.script(event_stream(opening(), *events, *ending("tool_use", usage())))
    reply, _ = call.streamed()
    assert (reply.finish_reason, reply.calls[0].arguments) == ("tools", {})
    assert "arguments are no" in reply.calls[0].problem
    assert reply.native == {"role": "assistant", "content": [asked]}


def test_what_we_do_not_know_is_passed_over(call: Caller) -> None:
    odd = [
        event("an_event_to_come", text="x"),
        b"data: []\n\n",
        b": a comment\n\n",
        event("content_block_delta", index=0, delta={"type": "a_delta_to_come", "text": "x"}),
        event("content_block_delta", index=0, delta={"type": "text_delta"}),
        event("content_block_delta", index="x", delta=None),
    ]
    call.server.script(event_stream(opening(), *odd, *text_events("a"), *odd, *ending("end_turn", usage())))
    reply, pieces = call.streamed()
    assert (reply.text, pieces, reply.native) == ("a", ["a"], None)


def test_text_of_a_block_that_was_not_announced_is_text(call: Caller) -> None:
    delta = event("content_block_delta", index=0, delta=text_delta("a"))
    call.server.script(event_stream(opening(), delta, *ending("end_turn", usage())))
    assert call.streamed()[0].text == "a"


@pytest.mark.parametrize(
    ("kind", "failed"),
    [
        ("overloaded_error", FailureKind.OVERLOAD),
        ("rate_limit_error", FailureKind.RATE_LIMIT),
        ("api_error", FailureKind.SERVER),
        ("timeout_error", FailureKind.TIMEOUT),
        ("invalid_request_error", FailureKind.BAD_REQUEST),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["twice", "once"])
def test_an_error_event_is_told_apart_by_its_type(call: Caller, kind: str, failed: FailureKind, named: bool) -> None:
    said = event("error", error={"type": kind, "message": "says the server"})
    if not named:
        said = said.replace(b'"type": "error", ', b"")
    call.server.script(event_stream(opening(), *text_events("half"), said))
    failure, pieces = call.broke_off()
    assert (failure.kind, pieces) == (failed, ["half"])
    assert "says the server" in str(failure)


def test_a_stream_that_was_not_asked_for_is_read(call: Caller) -> None:
    call.server.script(stream("a", "b"))
    assert call().text == "ab"


def test_a_message_that_came_whole_is_told_once(call: Caller) -> None:
    call.server.script(text("all of it"))
    reply, pieces = call.streamed()
    assert (reply.text, pieces) == ("all of it", ["all of it"])


def test_an_error_that_came_whole(call: Caller) -> None:
    call.server.script(Answer(body=error(529).body))
    failure, pieces = call.broke_off()
    assert (failure.kind, pieces) == (FailureKind.OVERLOAD, [])


@pytest.mark.parametrize("end", ["cut", "stalls"])
def test_what_comes_after_the_end_of_the_message_costs_nothing(call: Caller, end: str) -> None:
    events = [opening(), *text_events("a"), *ending("end_turn", usage())]
    call.server.script(event_stream(*events, fault=end))
    assert call.streamed()[0].text == "a"


def test_a_connection_is_used_again(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DRAIN_SECONDS", 30.0)  # a busy machine's server may be slow to end its answer
    call.many([call.request("hello")], rounds=3, on_text=lambda text: None)
    assert len({received.port for received in call.server.requests}) == 1


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([], FailureKind.TRUNCATED),
        ([b"data: \xff\xfe\n\n"], FailureKind.BAD_RESPONSE),
        ([opening(), event("message_delta", delta={"stop_reason": None}, usage={})], FailureKind.TRUNCATED),
        ([opening(), event("message_stop")], FailureKind.TRUNCATED),
        ([opening(), *ending("pause_turn", usage())], FailureKind.TRUNCATED),
        ([opening(), *ending("refusal", usage())], FailureKind.CONTENT_FILTER),
    ],
)
def test_a_stream_that_is_no_reply(call: Caller, events: list[bytes], kind: FailureKind) -> None:
    call.server.script(event_stream(*events, b": the end\n\n"))
    assert call.broke_off()[0].kind == kind
