"""What Google is asked, in its own words: media, efforts, schemas, calls without ids, signatures of thoughts."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_worker.providers.base import Media, Message, ToolCall, ToolOffer, ToolReturn
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.google_adapter import GoogleAdapter
from tests.conformance.google_wire import calls, candidate, echo, text
from tests.conformance.model_server import ModelServer

Caller = AnyCaller[ModelServer]


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-test")
    return AnyCaller(GoogleAdapter(), model_server.script(otherwise=echo))


class TestRequest:
    def test_the_server_is_told_the_timeout(self, call: Caller) -> None:
        call(seconds=2.5)
        assert call.server.requests[0].headers["x-server-timeout"] == "3"

    def test_nothing_but_what_was_asked_is_sent(self, call: Caller) -> None:
        call()
        assert set(call.server.requests[0].body) <= {"contents", "generationConfig"}

    def test_system_messages_go_first_wherever_they_stand(self, call: Caller) -> None:
        call(messages=(Message.of("user", "a"), Message.of("system", "Be brief."), Message.of("user", "b")))
        sent = call.adapter.sent(call.server.requests[0])
        assert (sent.system, sent.messages) == ("Be brief.", [("user", "a"), ("user", "b")])

    @pytest.mark.parametrize("temperature", [float("nan"), float("inf")])
    def test_a_temperature_that_is_no_number_is_not_sent(self, call: Caller, temperature: float) -> None:
        assert not call.failed(temperature=temperature).retryable
        assert call.server.requests == []

    @pytest.mark.parametrize(
        "fields",
        [
            {"messages": (Message.of("system", "Be brief."),)},
            {"messages": (Message("user", (Media("application/zip", b"PK"),)),)},
            {"messages": (Message("user", (Media("image/png"),)),)},
            {"messages": (Message("system", (Media("image/png", b"x"),)), Message.of("user", "hi"))},
            {"options": {"generationConfig": {"topK": float("nan")}}},
        ],
    )
    def test_what_google_has_no_word_for_is_not_sent(self, call: Caller, fields: dict[str, Any]) -> None:
        failure = call.failed(**fields)
        assert (failure.kind, failure.retryable) == (FailureKind.UNSENT, False)
        assert call.server.requests == []

    @pytest.mark.parametrize("spelled", ["generationConfig", "generation_config"])
    def test_options_are_merged_into_what_is_ours(self, call: Caller, spelled: str) -> None:
        options = {spelled: {"topK": 3, "temperature": 1}, "safetySettings": [], "labels": {"a_b": None}}
        call(temperature=0.5, max_tokens=7, options=options)
        body = call.server.requests[0].body
        assert body["generationConfig"] == {"temperature": 1, "maxOutputTokens": 7, "topK": 3}
        assert (body["safetySettings"], body["labels"]) == ([], {"a_b": None})

    def test_media_by_bytes_and_by_url(self, call: Caller) -> None:
        media = Media("image/png", bytes(range(250, 256))), Media("video/mp4", url="https://a.test/v")
        call.server.script(text("seen"))
        call(messages=(Message("user", ("look", *media)),))
        assert call.server.requests[0].body["contents"][0]["parts"] == [
            {"text": "look"},
            {"inlineData": {"mimeType": "image/png", "data": "+vv8/f7/"}},
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://a.test/v"}},
        ]

    @pytest.mark.parametrize(
        ("model", "effort", "config", "warned"),
        [
            ("gemini-2.5-flash", "none", {"thinkingBudget": 0}, False),
            ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192}, False),
            ("gemini-2.5-pro", "none", {"thinkingBudget": 128}, True),
            ("gemini-3-flash", "minimal", {"thinkingLevel": "MINIMAL"}, False),
            ("gemini-3-flash", "none", {"thinkingLevel": "MINIMAL"}, True),
            ("gemini-3.1-pro-preview", "minimal", {"thinkingLevel": "LOW"}, True),
            ("gemini-flash-latest", "high", {"thinkingLevel": "HIGH"}, False),
            ("gemini-2.0-flash", "high", None, True),
            ("gemma-3", "high", None, True),
            ("gemini-3-flash", "immense", None, True),
        ],
    )
    def test_effort(self, call: Caller, model: str, effort: str, config: Any, warned: bool) -> None:
        reply = call(model=model, reasoning_effort=effort)
        assert call.server.requests[0].body["generationConfig"].get("thinkingConfig") == config
        assert bool(reply.warnings) is warned

    def test_nothing_stands_beside_a_reference_in_a_schema(self, call: Caller) -> None:
        referring = {"$ref": "#/$defs/b", "description": "the b", "default": None}
        schema = {"type": "object", "properties": {"b": referring}, "$defs": {"b": {"type": "string", "const": "x"}}}
        call(schema=schema)
        sent = call.adapter.sent(call.server.requests[0])
        assert sent.schema == schema | {"properties": {"b": {"$ref": "#/$defs/b"}}}

    @pytest.mark.parametrize("model", ["../files", "gemini?key=x"])
    def test_a_model_that_is_no_name_is_not_sent(self, call: Caller, model: str) -> None:
        assert not call.failed(model=model).retryable
        assert call.server.requests == []


class TestTools:
    ASKED = Message.of("user", "weather?")

    def test_calls_without_ids_get_some_that_are_not_sent_back(self, call: Caller) -> None:
        call.server.script(calls(("", "f", {"a_b": 1}), ("", "g", {})))
        reply = call()
        assert reply.finish_reason == "tools"
        assert reply.calls == (ToolCall("call_1", "f", {"a_b": 1}), ToolCall("call_2", "g", {}))
        returns = (ToolReturn("call_1", "f", "sunny"), ToolReturn("call_2", "g", "no such place", failed=True))
        answer = Message("assistant", (reply.text,), reply.calls, native=reply.native)
        call.server.script(text("done"))
        call(messages=(self.ASKED, answer, Message("tool", returns=returns)))
        _, said, returned = call.server.requests[1].body["contents"]
        assert said["parts"] == [
            {"functionCall": {"name": "f", "args": {"a_b": 1}}, "thoughtSignature": "EqQB+/8="},
            {"functionCall": {"name": "g", "args": {}}},
        ]
        assert returned == {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "sunny"}}},
                {"functionResponse": {"name": "g", "response": {"error": "no such place"}}},
            ],
        }

    def test_an_id_that_looks_made_up_but_is_googles_is_sent_back(self, call: Caller) -> None:
        call.server.script(calls(("call_1", "f", {})))
        reply = call()
        answer = Message("assistant", calls=reply.calls, native=reply.native)
        call.server.script(text("done"))
        call(messages=(self.ASKED, answer, Message("tool", returns=(ToolReturn("call_1", "f", "sunny"),))))
        assert call.server.requests[1].body["contents"][2]["parts"][0]["functionResponse"]["id"] == "call_1"

    def test_what_is_native_is_sent_back_as_it_was(self, call: Caller) -> None:
        parts = [
            {"text": "hm", "thought": True},
            {"text": "a", "thoughtSignature": "+/8=", "aNewField": {"a_b": [None, 1.5]}},
            {"aNewKind": {"x": None}},
        ]
        call.server.script(candidate(parts))
        reply = call()
        assert (reply.text, reply.native) == ("a", {"role": "model", "parts": parts})
        call.server.script(text("done"))
        call(messages=(self.ASKED, Message("assistant", ("a",), native=reply.native), Message.of("user", "go on")))
        assert call.server.requests[1].body["contents"][1] == reply.native

    def test_what_is_native_to_another_is_worded_anew(self, call: Caller) -> None:
        foreign = Message("assistant", ("a",), (ToolCall("toolu_1", "f", {}),), native=[{"type": "text", "text": "a"}])
        call.server.script(text("done"))
        call(messages=(self.ASKED, foreign, Message("tool", returns=(ToolReturn("toolu_1", "f", "x"),))))
        assert call.server.requests[0].body["contents"][1] == {
            "role": "model",
            "parts": [{"text": "a"}, {"functionCall": {"id": "toolu_1", "name": "f", "args": {}}}],
        }

    @pytest.mark.parametrize(
        ("asked", "problem"),
        [({"name": "f", "args": ["x"]}, "no JSON object"), ({"args": {}}, "names no tool"), ({"name": "f"}, "")],
    )
    def test_a_call_that_is_none_says_so(self, call: Caller, asked: Any, problem: str) -> None:
        call.server.script(candidate([{"functionCall": asked}]))
        (read,) = call().calls
        assert (problem in read.problem, bool(read.problem), read.arguments) == (True, bool(problem), {})

    def test_one_tool_alone_may_be_called(self, call: Caller) -> None:
        call(tools=(ToolOffer("f", "d", {"type": "object"}), ToolOffer("g", "d", {"type": "object"})), tool_choice="g")
        assert call.server.requests[0].body["toolConfig"] == {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}
        }
