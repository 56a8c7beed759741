"""What only Anthropic's requests have: two ways to ask for thought, no temperature any more, schemas of its own."""

from __future__ import annotations

import os
from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_client.contract.project import ProviderSection
from orchestrator_worker.providers.anthropic.client import Anthropic
from orchestrator_worker.providers.base import Media, Message, ModelReply, ToolOffer
from tests.conformance.adapter import ClosableProvider
from tests.conformance.anthropic_adapter import AnthropicAdapter
from tests.conformance.anthropic_wire import echo
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.model_server import ModelServer

Caller = AnyCaller[ModelServer]

LOOK = ToolOffer("look", "Looks.", {"properties": {"at": {"type": "string"}}})


class Configured(AnthropicAdapter):
    """With a section of the test's own."""

    def __init__(self, **section: Any) -> None:
        self._section = section

    def provider(self, root: str) -> ClosableProvider:
        return Anthropic(ProviderSection(base_url=root, **self._section))


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    return AnyCaller(AnthropicAdapter(), model_server.script(otherwise=echo))


@pytest.fixture
def old(call: Caller) -> Caller:
    """The same server, in the last version of the API that knows a temperature."""
    return AnyCaller(Configured(api_version="2023-06-01"), call.server)


def body(call: Caller, **fields: Any) -> tuple[dict[str, Any], ModelReply]:
    """What is sent for a request with these fields, and the reply."""
    reply = call(**fields)
    return call.server.requests[-1].body, reply


def asks_media(call: Caller, *parts: str | Media) -> Any:
    call(messages=(Message("user", parts),))
    return call.server.requests[-1].body["messages"][0]["content"]


class TestVersion:
    def test_is_the_sdks_own(self, call: Caller) -> None:
        call()
        assert call.server.requests[0].headers["anthropic-version"] == "2026-10-21"

    def test_is_that_of_the_section(self, old: Caller) -> None:
        old()
        assert old.server.requests[0].headers["anthropic-version"] == "2023-06-01"

    def test_further_headers_go_with_every_request(self, call: Caller) -> None:
        AnyCaller(Configured(headers={"anthropic-beta": "some-2026-01-01"}), call.server)()
        assert call.server.requests[0].headers["anthropic-beta"] == "some-2026-01-01"

    def test_another_account_has_another_key(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECOND_KEY", "sk-ant-second")
        AnyCaller(Configured(credentials={"second": "SECOND_KEY"}), call.server)(credential="second")
        assert call.server.requests[0].headers["authorization"] == "Bearer sk-ant-second"
        assert os.environ["ANTHROPIC_API_KEY"] == "sk-ant-test"


class TestSampling:
    @pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-4-6", "my-model"])
    def test_no_model_is_sent_a_temperature(self, call: Caller, model: str) -> None:
        sent, reply = body(call, model=model, temperature=0.5, top_p=0.9)
        assert not {"temperature", "top_p"} & set(sent)
        assert [warning.split(";")[0] for warning in reply.warnings] == [
            "anthropic takes no temperature",
            "anthropic takes no top_p",
        ]

    @pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-sonnet-4-6", "my-model"])
    def test_but_in_a_former_version(self, old: Caller, model: str) -> None:
        sent, reply = body(old, model=model, temperature=0.5, top_p=0.9)
        assert (sent["temperature"], sent["top_p"], reply.warnings) == (0.5, 0.9, ())

    @pytest.mark.parametrize(
        "fields", [{"model": "claude-opus-4-7"}, {"model": "claude-sonnet-5-5"}, {"reasoning_effort": "high"}]
    )
    def test_nor_a_model_that_takes_none_in_any_version(self, old: Caller, fields: dict[str, Any]) -> None:
        sent, reply = body(old, temperature=0.5, **fields)
        assert "temperature" not in sent
        assert any("temperature" in warning for warning in reply.warnings)

    def test_no_seed(self, call: Caller) -> None:
        sent, reply = body(call, seed=7)
        assert "seed" not in sent
        assert reply.warnings == ("anthropic takes no seed; the one given was left out",)

    def test_no_blank_text_to_stop_at(self, call: Caller) -> None:
        sent, reply = body(call, stop=("\n\n", "END"))
        assert sent["stop_sequences"] == ["END"]
        assert "'\\n\\n'" in reply.warnings[0]

    @pytest.mark.parametrize("max_tokens", [1, 4096, 21_334, 128_000])
    def test_any_limit_may_be_asked_for(self, call: Caller, max_tokens: int) -> None:
        assert body(call, max_tokens=max_tokens)[0]["max_tokens"] == max_tokens


class TestThought:
    @pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-opus-4-8", "claude-fable-5-2", "a-model-to-come"])
    @pytest.mark.parametrize(("effort", "said"), [("minimal", "low"), ("low", "low"), ("high", "high"), ("max", "max")])
    def test_by_effort(self, call: Caller, model: str, effort: str, said: str) -> None:
        sent, reply = body(call, model=model, reasoning_effort=effort)
        assert (sent["thinking"], sent["output_config"]) == ({"type": "adaptive"}, {"effort": said})
        assert reply.warnings == ()

    @pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
    @pytest.mark.parametrize(
        "model",
        [
            "claude-haiku-4-5",
            "claude-haiku-4-5-20251001",
            "claude-opus-4-20250514",
            "claude-sonnet-4",
            "claude-opus-4-1",
            "claude-3-7-sonnet-latest",
            "anthropic/claude-sonnet-4.5",
        ],
    )
    @pytest.mark.parametrize(("effort", "budget"), [("minimal", 2048), ("low", 2048), ("medium", 4096), ("high", 6144)])
    def test_by_budget(self, call: Caller, model: str, effort: str, budget: int) -> None:
        sent, reply = body(call, model=model, reasoning_effort=effort, max_tokens=8192)
        assert sent["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert "output_config" not in sent
        assert reply.warnings == ()

    @pytest.mark.parametrize(
        ("fields", "thinking"),
        [
            ({"model": "claude-opus-4-6"}, {"type": "disabled"}),
            ({"model": "claude-haiku-4-5"}, None),
            ({"model": "claude-3-haiku-20240307"}, None),
        ],
    )
    def test_none(self, call: Caller, fields: dict[str, Any], thinking: Any) -> None:
        sent, reply = body(call, reasoning_effort="none", **fields)
        assert (sent.get("thinking"), reply.warnings) == (thinking, ())

    @pytest.mark.parametrize(
        ("fields", "shown"),
        [
            ({"model": "claude-mythos-5", "reasoning_effort": "none"}, "'none' for claude-mythos-5"),
            ({"model": "claude-3-haiku-20240307", "reasoning_effort": "high"}, "for claude-3-haiku-20240307"),
            ({"reasoning_effort": "low", "max_tokens": 2000}, "with a max_tokens of 2000"),
            ({"reasoning_effort": "low", "tools": (LOOK,), "tool_choice": "look"}, "where a tool is forced"),
        ],
    )
    def test_is_left_out_where_the_api_would_refuse_it(self, call: Caller, fields: dict[str, Any], shown: str) -> None:
        sent, reply = body(call, **fields)
        assert "thinking" not in sent
        assert any("reasoning_effort" in warning and shown in warning for warning in reply.warnings)

    def test_is_off_where_a_tool_is_forced(self, call: Caller) -> None:
        sent, _ = body(call, model="claude-opus-4-6", reasoning_effort="high", tools=(LOOK,), tool_choice="required")
        assert (sent["thinking"], sent["tool_choice"]) == ({"type": "disabled"}, {"type": "any"})

    def test_a_model_that_always_thinks_cannot_be_forced(self, call: Caller) -> None:
        sent, reply = body(call, model="claude-fable-5-1", tools=(LOOK,), tool_choice="required")
        assert "tool_choice" not in sent
        assert "tool_choice" in reply.warnings[0]


class TestTools:
    def test_parameters_are_an_objects(self, call: Caller) -> None:
        sent, _ = body(call, tools=(LOOK, ToolOffer("wait", "", {})))
        assert sent["tools"] == [
            {"name": "look", "description": "Looks.", "input_schema": {"type": "object", **LOOK.parameters}},
            {"name": "wait", "input_schema": {"type": "object"}},
        ]
        assert "tool_choice" not in sent


class TestSchema:
    def test_that_the_api_takes(self, call: Caller) -> None:
        schema = {
            "type": "object",
            "properties": {
                "age": {"type": "integer", "minimum": 0},
                "kind": {"enum": ["a", "b"]},
                "note": {"type": ["string", "null"]},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}, "minItems": 2},
            },
            "required": ["age"],
            "$defs": {"part": {"type": "object", "properties": {"n": {"oneOf": [{"type": "number"}, {"const": 1}]}}}},
        }
        sent, reply = body(call, schema=schema)
        asked = sent["output_config"]["format"]
        assert (asked["type"], reply.warnings) == ("json_schema", ())
        assert asked["schema"]["additionalProperties"] is False
        assert asked["schema"]["$defs"]["part"]["additionalProperties"] is False
        assert asked["schema"]["required"] == ["age"]
        properties = asked["schema"]["properties"]
        assert "minimum" not in properties["age"]
        assert "minimum: 0" in properties["age"]["description"]
        assert properties["kind"] == {"enum": ["a", "b"]}
        assert properties["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
        assert "system" not in sent

    @pytest.mark.parametrize(
        ("schema", "obstacle"),
        [
            ({"type": "object"}, "any properties"),
            ({"type": "object", "additionalProperties": {"type": "string"}}, "any properties"),
            ({"type": "object", "properties": {"a": {}}}, "anything may stand"),
            ({"type": "object", "properties": {"a": True}}, "anything may stand"),
            ({"type": "array"}, "anything may stand"),
            ({"type": "any"}, "anything may stand"),
            ({"enum": [{"a": 1}]}, "objects or arrays"),
            ({"allOf": [{"type": "object", "properties": {"a": {"type": "null"}}}]}, "all at once"),
            ({"$ref": "https://example.com/schema"}, "$defs"),
            ({"$ref": "#/$defs/gone", "$defs": {}}, "$defs"),
            (
                {
                    "$ref": "#/$defs/node",
                    "$defs": {
                        "node": {
                            "type": "object",
                            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                        }
                    },
                },
                "holds itself",
            ),
            (True, "anything may stand"),
        ],
    )
    def test_that_it_would_refuse_or_change_is_asked_for_in_words(
        self, call: Caller, schema: Any, obstacle: str
    ) -> None:
        sent, reply = body(call, schema=schema, messages=(Message.of("system", "Be brief."), Message.of("user", "hi")))
        assert "output_config" not in sent
        assert sent["system"].startswith("Be brief.\n\nAnswer with JSON and nothing else")
        assert obstacle in reply.warnings[0]

    def test_stands_beside_an_effort_and_options(self, call: Caller) -> None:
        sent, _ = body(
            call,
            model="claude-opus-4-6",
            schema={"type": "array", "items": {"type": "string"}},
            reasoning_effort="low",
            options={"output_config": {"effort": "xhigh"}, "service_tier": "standard_only", "to_come": [1]},
        )
        assert sent["output_config"]["effort"] == "xhigh"
        assert sent["output_config"]["format"]["schema"] == {"type": "array", "items": {"type": "string"}}
        assert (sent["service_tier"], sent["to_come"]) == ("standard_only", [1])


class TestMedia:
    def test_texts_and_media_keep_their_order(self, call: Caller) -> None:
        content = asks_media(
            call, "This", Media("image/jpg", b"\x89"), "and", "", Media("image/webp", url="http://i/w")
        )
        assert content == [
            {"type": "text", "text": "This"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "iQ=="}},
            {"type": "text", "text": "and"},
            {"type": "image", "source": {"type": "url", "url": "http://i/w"}},
        ]

    @pytest.mark.parametrize(
        ("media", "source"),
        [
            (
                Media("application/pdf", b"%PDF"),
                {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            ),
            (Media("application/pdf", url="http://i/p"), {"type": "url", "url": "http://i/p"}),
            (
                Media("text/csv", "\ufeffä,b".encode()),
                {"type": "text", "media_type": "text/plain", "data": "ä,b"},
            ),
            (
                Media('text/plain; charset="latin-1"', "ä".encode("latin-1")),
                {"type": "text", "media_type": "text/plain", "data": "ä"},
            ),
        ],
    )
    def test_documents(self, call: Caller, media: Media, source: dict[str, Any]) -> None:
        assert asks_media(call, media) == [{"type": "document", "source": source}]

    def test_a_documents_name_is_its_title(self, call: Caller) -> None:
        [document] = asks_media(call, Media("text/plain", b"x", name="notes.txt"))
        assert document["title"] == "notes.txt"

    @pytest.mark.parametrize(
        ("message", "shown"),
        [
            (Message("user", (Media("audio/wav", b"RIFF"),)), "takes no audio/wav; make text of it"),
            (Message("user", (Media("image/tiff", b"II"),)), "takes no image/tiff; convert it"),
            (Message("user", (Media("text/html", url="http://i/h"),)), "takes no text/html by URL; fetch"),
            (Message("user", (Media("text/plain", b"\xff"),)), "say its charset"),
            (Message("user", (Media("text/plain; charset=klingon", b"x"),)), "say its charset"),
            (Message("user", (Media("image/png"),)), "neither bytes nor a URL"),
            (Message("system", (Media("image/png", b"x"),)), "role system"),
            (Message("assistant", (Media("image/png", b"x"),)), "role assistant"),
        ],
    )
    def test_what_it_does_not_take_is_not_sent(self, call: Caller, message: Message, shown: str) -> None:
        failure = call.failed(messages=(message, Message.of("user", "hi")))
        assert shown in str(failure)
        assert (failure.kind, failure.retryable) == (FailureKind.UNSENT, False)
        assert call.server.requests == []


def test_a_system_message_that_comes_late_stands_with_the_others(call: Caller) -> None:
    sent, _ = body(
        call,
        messages=(Message.of("system", "Be brief."), Message.of("user", "hi"), Message.of("system", "Be kind.")),
    )
    assert sent["system"] == "Be brief.\n\nBe kind."
    assert sent["messages"] == [{"role": "user", "content": "hi"}]
