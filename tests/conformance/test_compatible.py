"""What only a configured server has: an address, a key or none, the words of chat completions, errors of any form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator_client.contract.errors import CredentialMissing, FailureKind, ModelFailed, ParametersInvalid
from orchestrator_client.contract.limits import Dimension, RateLimit
from orchestrator_client.contract.project import Project, ProviderSection
from orchestrator_worker.providers.base import Media, Message, ToolCall, ToolOffer, ToolReturn
from orchestrator_worker.providers.compatible.client import OpenAICompatible
from orchestrator_worker.providers.registry import Providers
from tests.conformance import openai_wire
from tests.conformance.adapter import ClosableProvider
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.compatible_adapter import CompatibleAdapter
from tests.conformance.compatible_wire import call as tool_call
from tests.conformance.compatible_wire import echo, limit_headers, text
from tests.conformance.model_server import ModelServer
from tests.conformance.scripted_server import Answer

Caller = AnyCaller[ModelServer]

LOOK_UP = ToolOffer("look_up", "Looks a word up.", {"type": "object", "properties": {"word": {"type": "string"}}})


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv(CompatibleAdapter.key_variable, "sk-test")
    return AnyCaller(CompatibleAdapter(), model_server.script(otherwise=echo))


class Configured(CompatibleAdapter):
    """As the section says, at the test's server."""

    def __init__(self, **section: Any) -> None:
        self.section = section

    def provider(self, root: str) -> ClosableProvider:
        return OpenAICompatible(ProviderSection(base_url=f"{root}/v1", **self.section), self.name)


def configured(call: Caller, **section: Any) -> Caller:
    return AnyCaller(Configured(**section), call.server)


class TestConfiguration:
    def test_without_an_address_it_says_where_one_goes(self) -> None:
        with pytest.raises(ParametersInvalid, match=r"\[providers.ollama\] base_url"):
            OpenAICompatible(ProviderSection(), "ollama")

    def test_any_section_of_an_unknown_name_is_one(self) -> None:
        providers = Providers(Project(providers={"ollama": ProviderSection(base_url="http://127.0.0.1:1/v1")}))
        assert isinstance(providers("ollama"), OpenAICompatible)
        assert providers("ollama").name == "ollama"

    def test_without_a_key_none_is_sent(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
        monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-of-openai")
        assert configured(call)("hello").text == "hello"
        assert "authorization" not in call.server.requests[0].headers

    def test_a_header_in_the_keys_place_is_kept(self, call: Caller) -> None:
        configured(call, headers={"Authorization": "Basic bG9jYWw="})("hello")
        assert call.server.requests[0].headers["authorization"] == "Basic bG9jYWw="

    def test_openais_own_address_and_key_stay_at_home(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
        call("hello")
        assert call.server.requests[0].headers["authorization"] == "Bearer sk-test"

    def test_openais_account_is_not_told_to_others(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
        call("hello")
        assert "secret" not in str(dict(call.server.requests[0].headers))

    def test_without_a_key_a_refused_one_is_looked_for_in_the_configuration(self, call: Caller) -> None:
        call.server.script(openai_wire.error(401, "key please"))
        error = configured(call).failed()
        assert "key please" in str(error)
        assert "`key` of [providers.gateway]" in str(error)
        assert error.kind is FailureKind.AUTH

    def test_another_account(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TEAM_B", "sk-b")
        keyless = configured(call, credentials={"b": "TEAM_B"})
        keyless(credential="b")
        keyless()
        assert [received.headers.get("authorization") for received in call.server.requests] == ["Bearer sk-b", None]

    def test_an_unknown_account(self, call: Caller) -> None:
        with pytest.raises(CredentialMissing, match="no credential 'c'"):
            configured(call)(credential="c")

    def test_extra_headers(self, call: Caller) -> None:
        configured(call, headers={"x-title": "pipelines"})("hello")
        assert call.server.requests[0].headers["x-title"] == "pipelines"


class TestRequest:
    def test_the_older_name_of_the_limit(self, call: Caller) -> None:
        call(max_tokens=3)
        assert call.server.requests[0].body == {
            "model": "llama-3.1-8b-instruct",
            "messages": [{"role": "user", "content": "hi"}],
            "max_tokens": 3,
        }

    def test_everything_goes_as_it_is(self, call: Caller) -> None:
        reply = call(
            temperature=0.2,
            top_p=0.9,
            stop=("a", "b"),
            seed=7,
            reasoning_effort="high",
            options={"top_k": 40, "seed": 8},
        )
        body = call.server.requests[0].body
        wanted = {
            "temperature": 0.2,
            "top_p": 0.9,
            "stop": ["a", "b"],
            "seed": 8,
            "reasoning_effort": "high",
            "top_k": 40,
        }
        assert {name: body[name] for name in wanted} == wanted
        assert reply.warnings == ()

    def test_first_system_messages_are_one_and_a_later_one_keeps_its_place(self, call: Caller) -> None:
        roles = ("system", "system", "user", "system", "user")
        call(messages=tuple(Message.of(role, str(n)) for n, role in enumerate(roles)))
        assert call.server.requests[0].body["messages"] == [
            {"role": "system", "content": "0\n\n1"},
            {"role": "user", "content": "2"},
            {"role": "system", "content": "3"},
            {"role": "user", "content": "4"},
        ]

    def test_what_the_system_shows_is_not_lost(self, call: Caller) -> None:
        call.server.script(text("seen"))
        picture = Media("image/png", url="https://example.com/a.png")
        call(messages=(Message.of("system", "0"), Message("system", ("1", picture)), Message.of("user", "2")))
        first, second, _ = call.server.requests[0].body["messages"]
        assert first == {"role": "system", "content": "0"}
        assert [part["type"] for part in second["content"]] == ["text", "image_url"]

    def test_media(self, call: Caller) -> None:
        parts = (
            "look: ",
            Media("image/png", b"\x89PNG"),
            Media("image/jpeg", url="https://example.com/a.jpg"),
            Media("audio/mpeg", b"ID3"),
            Media("audio/flac", b"fLaC"),
            Media("application/pdf", b"%PDF", name="a.pdf"),
            Media("application/pdf", b"%PDF"),
            Media("text/plain; charset=utf-8", "naïve".encode(), name="a&b.txt"),
        )
        call.server.script(text("seen"))
        call(messages=(Message("user", parts),))
        assert call.server.requests[0].body["messages"][0]["content"] == [
            {"type": "text", "text": "look: "},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
            {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
            {"type": "input_audio", "input_audio": {"data": "ZkxhQw==", "format": "flac"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
            {"type": "text", "text": '<document name="a&amp;b.txt">\nnaïve\n</document>'},
        ]

    @pytest.mark.parametrize(
        ("message", "shown"),
        [
            (Message("user", (Media("audio/wav", url="https://example.com/a.wav"),)), "audio/wav is given by its URL"),
            (Message("user", (Media("application/pdf", url="https://example.com/a.pdf"),)), "takes its bytes"),
            (Message("user", (Media("image/png"),)), "neither bytes nor a URL"),
            (Message("user", (Media("text/plain", b"\xff", name="old.txt"),)), "old.txt is no UTF-8"),
            (Message("user", (Media("video/mp4", b"mp4"),)), "video/mp4"),
            (Message("assistant", (Media("image/png", b"png"),)), "move it to a user message"),
        ],
    )
    def test_what_the_api_has_no_word_for_fails_before_it_is_sent(
        self, call: Caller, message: Message, shown: str
    ) -> None:
        error = call.failed(messages=(message,))
        assert shown in str(error)
        assert (error.kind, error.retryable) == (FailureKind.UNSENT, False)
        assert call.server.requests == []

    def test_calls_and_returns(self, call: Caller) -> None:
        call.server.script(text("done"))
        asked = (ToolCall("1", "look_up", {"word": "é"}), ToolCall("2", "look_up", {}, problem="not JSON"))
        given = (ToolReturn("1", "look_up", "an e"), ToolReturn("2", "look_up", "no word", failed=True))
        call(messages=(Message("assistant", calls=asked), Message("tool", returns=given)), tools=(LOOK_UP,))
        body = call.server.requests[0].body
        assert body["messages"] == [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [tool_call("1", "look_up", '{"word": "é"}'), tool_call("2", "look_up", "{}")],
            },
            {"role": "tool", "tool_call_id": "1", "content": "an e"},
            {"role": "tool", "tool_call_id": "2", "content": "Error: no word"},
        ]

    @pytest.mark.parametrize(
        ("choice", "sent"),
        [
            ("auto", None),
            ("none", "none"),
            ("required", "required"),
            ("look_up", {"type": "function", "function": {"name": "look_up"}}),
        ],
    )
    def test_tool_choice(self, call: Caller, choice: str, sent: Any) -> None:
        call(tools=(LOOK_UP,), tool_choice=choice)
        assert call.server.requests[0].body.get("tool_choice") == sent

    def test_no_choice_among_no_tools(self, call: Caller) -> None:
        call(tool_choice="required")
        assert "tool_choice" not in call.server.requests[0].body

    def test_a_stream_is_asked_for_its_usage(self, call: Caller) -> None:
        call.streamed()
        body = call.server.requests[0].body
        assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


class TestRefusal:
    @pytest.mark.parametrize(
        ("status", "body", "kind", "shown"),
        [
            (400, {"error": "model 'x' is not here"}, FailureKind.BAD_REQUEST, ": model 'x' is not here"),
            (404, {"detail": "Not Found"}, FailureKind.BAD_REQUEST, ": Not Found"),
            (500, {"message": "out of memory"}, FailureKind.SERVER, ": out of memory"),
            (500, {"error": {"message": {"text": "deep"}}}, FailureKind.SERVER, "deep"),
            (
                422,
                {"detail": [{"loc": ["body", "n"], "msg": "not an integer"}]},
                FailureKind.BAD_REQUEST,
                "not an integer",
            ),
            (502, ["what"], FailureKind.SERVER, "what"),
            (
                429,
                {"error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": "tier 1 is full"}}},
                FailureKind.RATE_LIMIT,
                "(429): Provider returned error tier 1 is full",
            ),
            (
                400,
                {"error": {"code": 400, "message": "no room", "type": "exceed_context_size_error", "n_ctx": 4096}},
                FailureKind.CONTEXT_LENGTH,
                "(400 exceed_context_size_error): no room",
            ),
            (529, {"error": {"message": "busy", "code": "busy"}}, FailureKind.OVERLOAD, "(529 busy): busy"),
            (
                400,
                {
                    "object": "error",
                    "message": "This model's maximum context length is 4096 tokens.",
                    "type": "BadRequestError",
                    "code": 400,
                },
                FailureKind.CONTEXT_LENGTH,
                "(400 BadRequestError): This model's maximum",
            ),
            (
                400,
                {"error": {"message": "prompt too long; exceeded max context length by 12 tokens", "code": None}},
                FailureKind.CONTEXT_LENGTH,
                "by 12 tokens",
            ),
        ],
    )
    def test_in_the_servers_own_form(self, call: Caller, status: int, body: Any, kind: FailureKind, shown: str) -> None:
        call.server.script(Answer(status, json.dumps(body).encode()))
        error = call.failed()
        assert shown in str(error)
        assert error.kind is kind

    def test_tells_the_accounts_limits(self, call: Caller) -> None:
        call.server.script(openai_wire.error(429, headers=limit_headers((60, 0, 1.5), None)))
        assert call.failed().limits == (RateLimit(Dimension.REQUESTS, 60, 0, 1.5),)

    def test_without_a_key_its_words_are_shown_as_they_are(self, call: Caller) -> None:
        call.server.script(openai_wire.error(400, "none of it is right"))
        assert ": none of it is right" in str(configured(call).failed())


class TestResponses:
    def test_a_server_that_speaks_the_newer_api(self, call: Caller) -> None:
        call.server.script(openai_wire.text("hello", input_tokens=7), openai_wire.stream("hel", "lo"))
        newer = configured(call, api="responses", key=CompatibleAdapter.key_variable)
        reply = newer("hi", max_tokens=3)
        assert (reply.text, reply.usage.input_tokens) == ("hello", 7)
        assert newer.streamed()[1] == ["hel", "lo"]
        received = call.server.requests[0]
        assert (received.path, received.headers["authorization"]) == ("/v1/responses", "Bearer sk-test")
        assert received.body["max_output_tokens"] == 3

    def test_without_a_key(self, call: Caller) -> None:
        call.server.script(openai_wire.text("hello"), Answer(400, b'{"detail": "not so"}'))
        newer = configured(call, api="responses")
        assert newer().text == "hello"
        assert "authorization" not in call.server.requests[0].headers
        error: ModelFailed = newer.failed()
        assert str(error).startswith("gateway refused the request (400): not so")
