"""Streams of chat completions, as the many servers that learned them word their chunks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.base import ModelReply, ToolCall
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.compatible_adapter import CompatibleAdapter
from tests.conformance.compatible_wire import call as tool_call
from tests.conformance.compatible_wire import chunk, echo, usage
from tests.conformance.model_server import ModelServer
from tests.conformance.scripted_server import event_stream

Caller = AnyCaller[ModelServer]


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv(CompatibleAdapter.key_variable, "sk-test")
    return AnyCaller(CompatibleAdapter(), model_server.script(otherwise=echo))


def streamed(call: Caller, *events: str, **fields: Any) -> tuple[ModelReply, list[str]]:
    call.server.script(event_stream(*events))
    return call.streamed(**fields)


class TestStream:
    def test_of_a_server_that_sends_no_usage(self, call: Caller) -> None:
        reply, pieces = streamed(call, chunk({"content": "a"}), chunk({"content": "b"}, "stop"), "[DONE]")
        assert (reply.text, pieces, reply.usage) == ("ab", ["a", "b"], Usage())
        assert any("count of tokens" in warning for warning in reply.warnings)

    def test_of_a_server_that_counts_with_every_chunk(self, call: Caller) -> None:
        first, last = usage(output_tokens=1), usage(output_tokens=2)
        reply, _ = streamed(call, chunk({"content": "a"}, usage=first), chunk({"content": "b"}, "stop", usage=last))
        assert (reply.usage.output_tokens, reply.raw_usage) == (2, last)

    def test_done_without_a_reason_is_cut_short(self, call: Caller) -> None:
        call.server.script(event_stream(chunk({"content": "half"}), "[DONE]"))
        error, pieces = call.broke_off()
        assert (error.kind, error.retryable, pieces) == (FailureKind.TRUNCATED, True, ["half"])

    def test_a_reason_without_done_is_whole(self, call: Caller) -> None:
        assert streamed(call, chunk({"content": "a"}, "stop"))[0].text == "a"

    def test_reasoning_is_not_told_and_comes_back_with_the_calls(self, call: Caller) -> None:
        asked = {"index": 0, **tool_call("1", "look_up", "{}")}
        reply, pieces = streamed(
            call,
            chunk({"role": "assistant", "content": None, "reasoning_content": "let me "}),
            chunk({"role": "assistant", "reasoning_content": "see", "reasoning_details": [{"text": "a"}]}),
            chunk({"content": "Well.", "reasoning_details": [{"text": "b"}]}),
            chunk({"tool_calls": [asked]}, "tool_calls"),
        )
        assert (reply.text, pieces, reply.finish_reason) == ("Well.", ["Well."], "tools")
        assert reply.native == {
            "role": "assistant",
            "content": "Well.",
            "reasoning_content": "let me see",
            "reasoning_details": [{"text": "a"}, {"text": "b"}],
            "tool_calls": [tool_call("1", "look_up", "{}")],
        }

    @pytest.mark.parametrize("place", [{"index": 0}, {}, {"index": None}], ids=["one index", "no index", "null"])
    def test_calls_are_told_apart_by_their_ids(self, call: Caller, place: dict[str, Any]) -> None:
        reply, _ = streamed(
            call,
            chunk({"tool_calls": [{**place, **tool_call("1", "a", '{"n": ')}]}),
            chunk({"tool_calls": [{**place, "function": {"arguments": "1}"}}]}),
            chunk({"tool_calls": [{**place, **tool_call("2", "b", '{"n": 2}'), "extra_content": "sign"}]}, "stop"),
        )
        assert reply.calls == (ToolCall("1", "a", {"n": 1}), ToolCall("2", "b", {"n": 2}))
        assert "sign" in json.dumps(reply.native)

    def test_of_interleaved_calls(self, call: Caller) -> None:
        reply, _ = streamed(
            call,
            chunk({"tool_calls": [{"index": 0, **tool_call("1", "a", "{")}, {"index": 1, **tool_call("2", "b", "{")}]}),
            chunk({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "a", "arguments": "}"}}]}),
            chunk({"tool_calls": [{"index": 1, "id": "", "function": {"name": None, "arguments": "}"}}]}, "tool_calls"),
        )
        assert reply.calls == (ToolCall("1", "a", {}), ToolCall("2", "b", {}))

    def test_arguments_that_came_parsed(self, call: Caller) -> None:
        whole = {"index": 0, "id": "1", "function": {"name": "a", "arguments": {"n": 1}}}
        assert streamed(call, chunk({"tool_calls": [whole]}, "stop"))[0].calls[0].arguments == {"n": 1}

    def test_a_refusal_in_pieces(self, call: Caller) -> None:
        call.server.script(event_stream(chunk({"refusal": "I will "}), chunk({"refusal": "not"}, "stop")))
        error, pieces = call.broke_off()
        assert "I will not" in str(error)
        assert (error.kind, pieces) == (FailureKind.CONTENT_FILTER, [])

    def test_only_the_first_choice_is_the_reply(self, call: Caller) -> None:
        second = json.dumps({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}]})
        reply, pieces = streamed(call, chunk({"content": "a"}), second, chunk({}, "stop"))
        assert (reply.text, pieces, reply.finish_reason) == ("a", ["a"], "stop")

    def test_line_separators_are_text(self, call: Caller) -> None:
        said = json.dumps(
            {"choices": [{"delta": {"content": "a\u2028b\u0085c"}, "finish_reason": "stop"}]}, ensure_ascii=False
        )
        assert streamed(call, said)[0].text == "a\u2028b\u0085c"

    @pytest.mark.parametrize(
        "noise",
        [
            "null",
            "3",
            "{}",
            '{"choices": "x"}',
            '{"choices": [null, {"delta": null}]}',
            chunk({"content": 3, "tool_calls": "x", "reasoning": {}, "refusal": 3}),
            chunk({"content": [{"type": "thinking", "thinking": []}]}),
        ],
    )
    def test_chunks_that_say_nothing(self, call: Caller, noise: str) -> None:
        reply, pieces = streamed(
            call, noise, chunk({"content": "a", "reasoning": "x", "refusal": "y"}), chunk({}, "stop")
        )
        assert (reply.text, pieces) == ("a", ["a"])

    @pytest.mark.parametrize(
        ("event", "kind", "shown"),
        [
            ('{"error": "the model has crashed"}', FailureKind.SERVER, "the model has crashed"),
            ('{"error": {"message": "busy", "code": 429}}', FailureKind.RATE_LIMIT, "busy"),
            ('{"error": {"message": "no", "type": "overloaded_error"}}', FailureKind.OVERLOAD, "no"),
            ('{"object": "error", "message": "no such thing", "code": 400}', FailureKind.BAD_REQUEST, "no such thing"),
            ('{"choices": [{"delta": {}, "error": {"code": 504}}]}', FailureKind.TIMEOUT, "504"),
            (
                '{"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 503, "message": "b"}}]}',
                FailureKind.OVERLOAD,
                "b",
            ),
        ],
    )
    def test_errors_on_the_way(self, call: Caller, event: str, kind: FailureKind, shown: str) -> None:
        call.server.script(event_stream(chunk({"content": "half"}), event, "[DONE]"))
        error, pieces = call.broke_off()
        assert (error.kind, pieces) == (kind, ["half"])
        assert shown in str(error)
