"""What only OpenAI's wire format has in its requests: strict schemas, sealed reasoning, and what is not kept there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_client.contract.project import ProviderSection
from orchestrator_worker.providers.base import Media, Message, ToolOffer, ToolReturn
from orchestrator_worker.providers.openai import schema as openai_schema
from orchestrator_worker.providers.openai.client import OpenAI
from tests.conformance.adapter import ClosableProvider
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.caller import SuiteCaller as Caller
from tests.conformance.model_server import ModelServer, calls, stream, text
from tests.conformance.openai_adapter import OpenAIAdapter

CLOSED: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return AnyCaller(OpenAIAdapter(), model_server)


def test_nothing_is_stored_at_openai(call: Caller) -> None:
    call()
    assert call.server.requests[0].body["store"] is False


class WithHeaders(OpenAIAdapter):
    def provider(self, root: str) -> ClosableProvider:
        return OpenAI(ProviderSection(base_url=f"{root}/v1", headers={"x-team": "blue"}))


def test_headers_of_the_section_are_sent(call: Caller) -> None:
    AnyCaller(WithHeaders(), call.server)()
    assert call.server.requests[0].headers["x-team"] == "blue"


class TestSampling:
    @pytest.mark.parametrize(
        ("model", "sent"),
        [
            ("gpt-4o", 0.5),
            ("gpt-4.1-mini", 0.5),
            ("gpt-5-chat-latest", 0.5),
            ("ft:gpt-4o-mini:acme", 0.5),
            ("my-model", 0.5),
            ("gpt-5", None),
            ("gpt-5-mini-2025-08-07", None),
            ("gpt-6.1", None),
            ("o1", None),
            ("o3-mini", None),
            ("ft:o4-mini:acme", None),
        ],
    )
    def test_temperature_goes_to_models_that_take_one(self, call: Caller, model: str, sent: float | None) -> None:
        reply = call(model=model, temperature=0.5)
        assert call.server.requests[0].body.get("temperature") == sent
        assert bool(reply.warnings) is (sent is None)

    @pytest.mark.parametrize("field", ["temperature", "top_p"])
    def test_a_model_that_is_told_not_to_reason_takes_both(self, call: Caller, field: str) -> None:
        reply = call(model="gpt-5.2", reasoning_effort="none", **{field: 0.5})
        body = call.server.requests[0].body
        assert (body[field], body["reasoning"], reply.warnings) == (0.5, {"effort": "none"}, ())

    @pytest.mark.parametrize(
        ("model", "is_sent"),
        [("o3", True), ("gpt-6.1", True), ("my-model", True), ("gpt-4.1", False), ("gpt-5-chat-latest", False)],
    )
    def test_an_effort_goes_to_models_that_may_reason(self, call: Caller, model: str, is_sent: bool) -> None:
        reply = call(model=model, reasoning_effort="low")
        assert call.server.requests[0].body.get("reasoning") == ({"effort": "low"} if is_sent else None)
        assert bool(reply.warnings) is not is_sent


def test_options_are_merged_into_objects(call: Caller) -> None:
    call.server.script(text("x"))
    call(model="o3", reasoning_effort="low", options={"reasoning": {"summary": "auto"}, "store": None, "input": "all"})
    body = call.server.requests[0].body
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert (body["store"], body["input"]) == (None, "all")


class TestSchema:
    @pytest.mark.parametrize(
        ("schema", "is_strict"),
        [
            (CLOSED, True),
            ({**CLOSED, "description": "A place", "title": "Place"}, True),
            ({**CLOSED, "properties": {"city": {"type": ["string", "null"]}}}, True),
            ({**CLOSED, "properties": {"city": {"$ref": "#/$defs/c"}}, "$defs": {"c": CLOSED}}, True),
            ({**CLOSED, "properties": {"city": {"anyOf": [{"type": "string"}, CLOSED]}}}, True),
            ({**CLOSED, "properties": {"city": {"type": "array", "items": CLOSED}}}, True),
            ({**CLOSED, "properties": {"city": {"type": "string", "format": "date"}}}, True),
            ({**CLOSED, "required": []}, False),
            ({**CLOSED, "additionalProperties": True}, False),
            ({name: value for name, value in CLOSED.items() if name != "additionalProperties"}, False),
            ({**CLOSED, "properties": {"city": {"type": "string", "default": "Roma"}}}, False),
            ({**CLOSED, "properties": {"city": {"type": "string", "format": "uri"}}}, False),
            ({**CLOSED, "properties": {"city": {"type": "array"}}}, False),
            ({**CLOSED, "properties": {"city": {"type": ["object", "null"]}}}, False),
            ({**CLOSED, "properties": {"city": {}}}, False),
            ({**CLOSED, "properties": {"city": True}}, False),
            ({**CLOSED, "properties": {"city": {"anyOf": [{"type": "object"}]}}}, False),
            ({**CLOSED, "$defs": {"c": {"type": "string", "minLength": 1}}}, False),
            ({**CLOSED, "oneOf": [CLOSED]}, False),
            ({"type": "object"}, False),
        ],
    )
    def test_is_strict_where_strict_mode_takes_it(self, call: Caller, schema: Any, is_strict: bool) -> None:
        call(schema=schema)
        assert call.server.requests[0].body["text"]["format"] == {
            "type": "json_schema",
            "name": "reply",
            "schema": schema,
            "strict": is_strict,
        }

    @pytest.mark.parametrize(
        ("schema", "reply"),
        [
            ({"type": "array", "items": {"type": "string"}}, ["Köln", "Roma"]),
            ({"type": "integer"}, 4),
            ({"enum": ["yes", "no"]}, "yes"),
            ({"$ref": "#/$defs/c", "$defs": {"c": CLOSED}}, {"city": "Köln"}),
            ({}, None),
        ],
    )
    def test_of_anything_but_an_object_is_asked_for_within_one(self, call: Caller, schema: Any, reply: Any) -> None:
        wrapped = json.dumps({openai_schema.KEY: reply})
        call.server.script(text(wrapped), stream(wrapped[:7], wrapped[7:]))
        assert json.loads(call(schema=schema).text) == reply
        streamed, pieces = call.streamed(schema=schema)
        assert json.loads(streamed.text) == reply
        assert pieces == [streamed.text]
        sent = call.server.requests[0].body["text"]["format"]["schema"]
        assert sent["type"] == "object"
        assert sent.get("$defs") == schema.get("$defs")

    def test_a_reply_that_keeps_to_no_wrapper_stays_as_it_is(self, call: Caller) -> None:
        call.server.script(text("[1, 2]"), text("no JSON"))
        assert [call(schema={"type": "array"}).text for _ in range(2)] == ["[1, 2]", "no JSON"]

    @pytest.mark.parametrize(("parameters", "is_strict"), [(CLOSED, True), ({"type": "object"}, False)])
    def test_of_a_tool_says_whether_it_is_strict(self, call: Caller, parameters: Any, is_strict: bool) -> None:
        call(tools=(ToolOffer("look", "", parameters),))
        assert call.server.requests[0].body["tools"][0]["strict"] is is_strict


class TestReasoning:
    LOOK = ToolOffer("look", "Look it up.", CLOSED)

    @pytest.mark.parametrize(
        ("model", "is_offered", "include"),
        [
            ("gpt-5", True, ["reasoning.encrypted_content"]),
            ("gpt-5", False, None),
            ("gpt-4o", True, None),
            ("my-model", True, None),
        ],
    )
    def test_comes_sealed_where_it_must_come_back(
        self, call: Caller, model: str, is_offered: bool, include: Any
    ) -> None:
        call(model=model, tools=(self.LOOK,) if is_offered else ())
        assert call.server.requests[0].body.get("include") == include

    def test_goes_back_as_it_came(self, call: Caller) -> None:
        call.server.script(calls(("call_1", "look", {"city": "Köln"}), text="I look."))
        reply = call(tools=(self.LOOK,))
        call(messages=(Message("assistant", ("I look.",), calls=reply.calls, native=reply.native),))
        sent = call.server.requests[1].body["input"]
        assert [item["type"] for item in sent] == ["reasoning", "message", "function_call"]
        assert sent[0]["encrypted_content"] == "gAAAA-sealed"
        assert sent[2]["arguments"] == '{"city": "K\\u00f6ln"}'

    def test_without_its_content_stays_behind(self, call: Caller) -> None:
        call.server.script(text("said"))
        reply = call(tools=(self.LOOK,))
        assert [item["type"] for item in reply.native] == ["message"]  # type: ignore[union-attr]

    def test_is_not_kept_where_no_tool_is_offered(self, call: Caller) -> None:
        call.server.script(calls(text="said"))
        assert call().native is None


class TestMedia:
    def sent(self, call: Caller, media: Media) -> Any:
        call.server.script(text("seen"))
        call(messages=(Message("user", ("look", media)),))
        [message] = call.server.requests[0].body["input"]
        first, second = message["content"]
        assert first == {"type": "input_text", "text": "look"}
        return second

    def test_image(self, call: Caller) -> None:
        url = "data:image/png;base64,iVBORw=="
        media = Media("image/png", b"\x89PNG")
        assert self.sent(call, media) == {"type": "input_image", "image_url": url, "detail": "auto"}

    def test_document(self, call: Caller) -> None:
        assert self.sent(call, Media("application/pdf", b"%PDF")) == {
            "type": "input_file",
            "filename": "document.pdf",
            "file_data": "data:application/pdf;base64,JVBERg==",
        }

    def test_document_by_url(self, call: Caller) -> None:
        media = Media("application/pdf", url="https://papers.example/a.pdf")
        assert self.sent(call, media) == {"type": "input_file", "file_url": "https://papers.example/a.pdf"}

    @pytest.mark.parametrize("media", [Media("audio/wav", b"x"), Media("video/mp4", b"x"), Media("image/png")])
    def test_what_it_does_not_take_fails_before_the_call(self, call: Caller, media: Media) -> None:
        error = call.failed(messages=(Message("user", (media,)),))
        assert (error.kind, call.server.requests) == (FailureKind.UNSENT, [])
        assert media.media_type in str(error)

    def test_of_an_assistant_fails_before_the_call(self, call: Caller) -> None:
        error = call.failed(messages=(Message("assistant", (Media("image/png", b"x"),)),))
        assert (error.kind, call.server.requests) == (FailureKind.UNSENT, [])

    def test_of_a_system_message_is_an_item_of_the_input(self, call: Caller) -> None:
        call.server.script(text("seen"))
        call(messages=(Message("system", ("Our logo:", Media("image/png", b"x"))), Message.of("user", "hi")))
        body = call.server.requests[0].body
        assert "instructions" not in body
        assert [item["role"] for item in body["input"]] == ["system", "user"]


def test_a_failed_return_says_so(call: Caller) -> None:
    call.server.script(text("x"))
    call(messages=(Message("tool", returns=(ToolReturn("call_1", "look", "no such city", failed=True),)),))
    assert call.server.requests[0].body["input"] == [
        {"type": "function_call_output", "call_id": "call_1", "output": "Error: no such city"}
    ]
