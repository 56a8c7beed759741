"""What servers that learned chat completions answer, each in a way of its own."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.base import Message, ModelReply, ToolReturn
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.compatible_adapter import CompatibleAdapter
from tests.conformance.compatible_wire import call as tool_call
from tests.conformance.compatible_wire import completion, echo, stream, text
from tests.conformance.model_server import ModelServer
from tests.conformance.scripted_server import Answer

Caller = AnyCaller[ModelServer]


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv(CompatibleAdapter.key_variable, "sk-test")
    return AnyCaller(CompatibleAdapter(), model_server.script(otherwise=echo))


def answered(call: Caller, message: dict[str, Any], **fields: Any) -> ModelReply:
    call.server.script(completion(message, **fields))
    return call()


class TestReply:
    @pytest.mark.parametrize(
        ("reason", "read"),
        [
            ("stop", "stop"),
            ("eos", "stop"),
            ("STOP", "stop"),
            ("end_turn", "stop"),
            ("length", "length"),
            ("max_tokens", "length"),
        ],
    )
    def test_reasons_to_stop(self, call: Caller, reason: str, read: str) -> None:
        assert answered(call, {"content": "x"}, finish_reason=reason).finish_reason == read

    @pytest.mark.parametrize("reason", [None, "", "abort", "insufficient_system_resource"])
    def test_a_reply_that_did_not_end_is_none(self, call: Caller, reason: str | None) -> None:
        call.server.script(completion({"content": "half a"}, finish_reason=reason))
        error = call.failed()
        assert (error.kind, error.retryable) == (FailureKind.BAD_RESPONSE, True)
        assert f"'{reason}'" in str(error)

    def test_a_choice_that_failed(self, call: Caller) -> None:
        failed = {"index": 0, "message": {"content": "half"}, "finish_reason": "error"}
        failed["error"] = {"code": 429, "message": "upstream is busy"}
        call.server.script(completion({}, fields={"choices": [failed]}))
        error = call.failed()
        assert error.kind is FailureKind.RATE_LIMIT
        assert "upstream is busy" in str(error)

    def test_an_error_with_status_200(self, call: Caller) -> None:
        call.server.script(Answer(body=b'{"error": {"code": 502, "message": "Provider returned error"}}'))
        error = call.failed()
        assert error.kind is FailureKind.SERVER
        assert "Provider returned error" in str(error)

    @pytest.mark.parametrize("choices", [None, "x", [], [None], [{}], [{"message": None}], [{"message": "x"}]])
    def test_what_is_no_completion(self, call: Caller, choices: Any) -> None:
        call.server.script(completion({}, fields={"choices": choices}))
        assert call.failed().kind is FailureKind.BAD_RESPONSE

    @pytest.mark.parametrize(
        ("content", "read"),
        [
            (None, ""),
            (3, ""),
            ([], ""),
            (
                [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}],
                "yes",
            ),
            ([None, {"type": "text"}, {"type": "text", "text": 3}], ""),
        ],
    )
    def test_text(self, call: Caller, content: Any, read: str) -> None:
        assert answered(call, {"content": content}).text == read

    @pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
    def test_reasoning_is_no_text(self, call: Caller, field: str) -> None:
        reply = answered(call, {"content": "yes", field: "hm"})
        assert (reply.text, reply.native) == ("yes", None)

    def test_tools_are_asked_for_whatever_the_reason_says(self, call: Caller) -> None:
        reply = answered(call, {"content": None, "tool_calls": [tool_call("1", "look_up", "{}")]}, finish_reason="stop")
        assert (reply.text, reply.finish_reason, reply.native) == ("", "tools", None)

    def test_a_call_cut_at_the_limit(self, call: Caller) -> None:
        cut = tool_call("1", "look_up", '{"word": "e')
        reply = answered(call, {"content": None, "tool_calls": [cut]}, finish_reason="length")
        assert reply.finish_reason == "length"
        assert reply.calls[0].problem

    def test_arguments_that_came_parsed_or_not_at_all(self, call: Caller) -> None:
        worded: list[Any] = [tool_call("1", "a", "{}"), tool_call("2", "b", ""), None]
        worded[0]["function"]["arguments"] = {"word": "x"}
        calls = answered(call, {"tool_calls": worded}).calls
        assert [(asked.name, asked.arguments) for asked in calls] == [("a", {"word": "x"}), ("b", {}), ("", {})]
        assert [bool(asked.problem) for asked in calls] == [False, False, True]

    def test_calls_without_an_id_get_one_each(self, call: Caller) -> None:
        first, second = answered(
            call, {"tool_calls": [tool_call("", "a", "{}"), {**tool_call("", "a", "{}"), "id": None}]}
        ).calls
        assert first.id
        assert second.id
        assert first.id != second.id

    def test_what_a_server_wants_back_comes_back(self, call: Caller) -> None:
        signed = {**tool_call("", "look_up", '{"word": "e"}'), "index": 0, "extra_content": {"google": {"sign": "Eq"}}}
        message = {"content": None, "reasoning_content": "hm", "tool_calls": [signed], "annotations": []}
        reply = answered(call, message, finish_reason="tool_calls")
        asked = reply.calls[0]
        call.server.script(text("done"))
        turns = (
            Message("assistant", calls=reply.calls, native=reply.native),
            Message("tool", returns=(ToolReturn(asked.id, asked.name, "an e"),)),
        )
        call(messages=turns)
        native, returned = call.server.requests[1].body["messages"]
        assert native == {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {**tool_call(asked.id, "look_up", '{"word": "e"}'), "extra_content": {"google": {"sign": "Eq"}}}
            ],
        }
        assert returned["tool_call_id"] == asked.id

    def test_what_another_provider_wanted_back_does_not(self, call: Caller) -> None:
        call.server.script(text("done"))
        call(messages=(Message.of("user", "a"), Message("assistant", ("b",), native=[{"type": "message"}])))
        assert call.server.requests[0].body["messages"][1] == {"role": "assistant", "content": "b"}


class TestSchema:
    OPEN = {"type": "object", "properties": {"word": {"type": "string", "minLength": 1}}}  # noqa: RUF012
    CLOSED = {  # noqa: RUF012
        "type": "object",
        "properties": {"word": {"type": "string"}},
        "required": ["word"],
        "additionalProperties": False,
    }

    @pytest.mark.parametrize(("schema", "strict"), [(OPEN, {}), (CLOSED, {"strict": True})])
    def test_is_strict_where_it_may_be(self, call: Caller, schema: Any, strict: dict[str, bool]) -> None:
        call.server.script(text('{"word": "e"}'))
        assert call(schema=schema).text == '{"word": "e"}'
        wanted = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, **strict}}
        assert call.server.requests[0].body["response_format"] == wanted

    def test_of_no_object_comes_within_one(self, call: Caller) -> None:
        call.server.script(text('{"reply": [1, 2]}'), stream('{"reply":', " [1, 2]}"))
        schema = {"type": "array", "items": {"type": "integer"}}
        assert call(schema=schema).text == "[1, 2]"
        reply, pieces = call.streamed(schema=schema)
        assert (reply.text, pieces) == ("[1, 2]", ["[1, 2]"])
        assert call.server.requests[0].body["response_format"]["json_schema"]["schema"]["properties"]["reply"] == schema


class TestUsage:
    @pytest.mark.parametrize("raw", [None, "many", {}, {"prompt_tokens": -5, "completion_tokens": 1}])
    def test_an_incredible_count_is_none(self, call: Caller, raw: Any) -> None:
        reply = answered(call, {"content": "x"}, fields={"usage": raw})
        assert (reply.text, reply.usage, reply.raw_usage) == ("x", Usage(), {})
        assert any("count of tokens" in warning for warning in reply.warnings)

    @pytest.mark.parametrize(
        ("more", "read"),
        [
            ({}, {}),
            ({"prompt_tokens_details": None, "completion_tokens_details": None}, {}),
            ({"prompt_tokens_details": {"cached_tokens": None}, "completion_tokens_details": []}, {}),
            ({"prompt_tokens_details": {"cached_tokens": 4}}, {"cached_input_tokens": 4}),
            ({"prompt_cache_hit_tokens": 4}, {"cached_input_tokens": 4}),
            (
                {"prompt_tokens_details": {"audio_tokens": 3}, "completion_tokens_details": {"audio_tokens": 1}},
                {"audio_tokens": 4},
            ),
            ({"completion_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 9}, {"reasoning_tokens": 1}),
            (
                {"completion_tokens_details": {"reasoning_tokens": 30}, "total_tokens": 39},
                {"reasoning_tokens": 30, "output_tokens": 32},
            ),
        ],
    )
    def test_details(self, call: Caller, more: dict[str, Any], read: dict[str, int]) -> None:
        reply = answered(call, {"content": "x"}, fields={"usage": {"prompt_tokens": 7, "completion_tokens": 2, **more}})
        assert reply.usage == Usage.model_validate({"input_tokens": 7, "output_tokens": 2, **read})
