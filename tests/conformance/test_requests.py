"""How every provider words a request: messages, media, parameters and the vendor's own options."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind, ModelFailed
from orchestrator_worker.providers.base import Media, Message
from tests.conformance.caller import KEY
from tests.conformance.caller import SuiteCaller as Caller


class TestRequest:
    def test_says_what_was_asked_and_nothing_else(self, call: Caller) -> None:
        call("hello")
        sent = call.adapter.sent(call.server.requests[0])
        assert sent.path == call.adapter.path
        assert sent.key == KEY
        assert sent.model == call.adapter.plain_model
        assert (sent.system, sent.max_tokens, sent.temperature) == (None, call.adapter.default_max_tokens, None)
        assert sent.messages == [("user", "hello")]

    def test_system_message(self, call: Caller) -> None:
        call(messages=(Message.of("system", "Be brief."), Message.of("system", "Be kind."), Message.of("user", "hi")))
        sent = call.adapter.sent(call.server.requests[0])
        assert sent.system == "Be brief.\n\nBe kind."
        assert sent.messages == [("user", "hi")]

    def test_conversation(self, call: Caller) -> None:
        said = [("user", "1+1?"), ("assistant", "2"), ("user", "and 2+2?")]
        call(messages=tuple(Message.of(role, text) for role, text in said))
        assert call.adapter.sent(call.server.requests[0]).messages == said

    def test_max_tokens_and_temperature(self, call: Caller) -> None:
        reply = call("one two three four", max_tokens=2, temperature=0.0)
        sent = call.adapter.sent(call.server.requests[0])
        assert (sent.max_tokens, sent.temperature) == (2, 0.0 if call.adapter.takes_temperature else None)
        assert (reply.text, reply.finish_reason) == ("one two", "length")

    def test_a_temperature_that_the_model_refuses_is_left_out_with_a_warning(self, call: Caller) -> None:
        if call.adapter.reasoning_model is None:
            pytest.skip(f"all models of {call.adapter.name} take one")
        reply = call(model=call.adapter.reasoning_model, temperature=0.2)
        assert call.adapter.sent(call.server.requests[0]).temperature is None
        assert any("temperature" in warning for warning in reply.warnings)

    def test_a_request_that_json_cannot_say_fails_at_once(self, call: Caller) -> None:
        error = call.failed(max_tokens=float("nan"))
        assert (error.kind, error.retryable) == (FailureKind.UNSENT, False)
        assert call.server.requests == []

    @pytest.mark.parametrize(("field", "value"), [("top_p", 0.5), ("stop", ("END", "---")), ("seed", 7)])
    def test_a_parameter_is_sent_or_warned_of(self, call: Caller, field: str, value: Any) -> None:
        reply = call(**{field: value})
        sent = getattr(call.adapter.sent(call.server.requests[0]), field)
        is_warned = any(f"takes no {field}" in warning for warning in reply.warnings)
        expected = list(value) if isinstance(value, tuple) else value
        assert (sent, is_warned) in [(expected, False), ([] if field == "stop" else None, True)]

    @pytest.mark.parametrize("effort", ["low", "high"])
    def test_an_effort_goes_to_a_model_that_reasons(self, call: Caller, effort: str) -> None:
        reply = call(model=call.adapter.reasoning_model or call.adapter.plain_model, reasoning_effort=effort)
        sent = call.adapter.sent(call.server.requests[0]).reasoning_effort
        is_warned = any("takes no reasoning_effort" in warning for warning in reply.warnings)
        assert (sent, is_warned) in [(effort, False), (None, True)]

    def test_options_are_merged_last(self, call: Caller) -> None:
        call(options={"model": "another", "x_new_of_the_vendors": {"deep": [1, None, "three"]}})
        body = call.adapter.sent(call.server.requests[0]).body
        assert body["x_new_of_the_vendors"] == {"deep": [1, None, "three"]}
        assert body["model"] == "another"


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
MEDIA = {
    "image": Media("image/png", PNG),
    "image by URL": Media("image/jpeg", url="https://pictures.example/cat.jpg"),
    "document": Media("application/pdf", b"%PDF-1.7 \xff\x00", name="report.pdf"),
    "document by URL": Media("application/pdf", url="https://papers.example/report.pdf"),
    "sound": Media("audio/wav", b"RIFF\x00\x00\x00\x00WAVE"),
}


class TestMedia:
    @pytest.mark.parametrize("kind", list(MEDIA))
    def test_is_sent_between_its_texts_or_refused_before_the_call(self, call: Caller, kind: str) -> None:
        media = MEDIA[kind]
        call.server.script(call.adapter.text("seen"))
        message = Message("user", ("before ", media, " after"))
        outcome = call.outcome(messages=(message,))
        if isinstance(outcome, ModelFailed):
            assert (outcome.kind, outcome.retryable) == (FailureKind.UNSENT, False)
            assert media.media_type in str(outcome)
            assert call.server.requests == []
            assert kind not in ("image", "document"), "every vendor takes these"
            return
        sent = call.adapter.sent(call.server.requests[0])
        [(media_type, content)] = sent.media
        assert content == (media.url if media.data is None else media.data)
        assert media_type in ("", media.media_type)
        assert [role for role, _ in sent.messages] == ["user"]
        assert sent.messages[0][1].split() == ["before", "after"]

    def test_a_text_document_reaches_the_model(self, call: Caller) -> None:
        call.server.script(call.adapter.text("read"))
        note = Media("text/plain", "Grüße aus der Datei".encode(), name="note.txt")
        assert call(messages=(Message("user", (note, "What does it say?")),)).text == "read"
        sent = call.adapter.sent(call.server.requests[0])
        carried = [content.decode() for _, content in sent.media if isinstance(content, bytes)]
        assert any("Grüße aus der Datei" in text for text in [*carried, json.dumps(sent.body, ensure_ascii=False)])

    def test_keeps_its_order_over_several_messages(self, call: Caller) -> None:
        call.server.script(call.adapter.text("seen"))
        first, second = Media("image/png", PNG), Media("image/png", PNG[::-1])
        call(messages=(Message("user", ("one", first)), Message.of("assistant", "and?"), Message("user", (second,))))
        sent = call.adapter.sent(call.server.requests[0])
        assert [content for _, content in sent.media] == [PNG, PNG[::-1]]

    @pytest.mark.parametrize("media_type", ["model/gltf-binary", "font/woff2"])
    def test_what_no_vendor_takes_is_refused_before_the_call(self, call: Caller, media_type: str) -> None:
        error = call.failed(messages=(Message("user", (Media(media_type, b"x"),)),))
        assert (error.kind, error.retryable) == (FailureKind.UNSENT, False)
        assert media_type in str(error)
        assert call.server.requests == []
