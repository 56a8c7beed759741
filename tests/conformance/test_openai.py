"""What only OpenAI's wire format has: its statuses, its usage record, and what is not kept there."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.openai import OpenAI
from tests.conformance.adapters import ClosableProvider, OpenAIAdapter
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.model_server import ModelServer, error, response, text

Caller = AnyCaller[ModelServer]


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return AnyCaller(OpenAIAdapter(), model_server)


def said(content: str) -> list[dict[str, Any]]:
    return [{"type": "output_text", "text": content}]


def test_nothing_is_stored_at_openai(call: Caller) -> None:
    call()
    assert call.server.requests[0].body["store"] is False


class AddressedByEnvironment(OpenAIAdapter):
    def provider(self, root: str) -> ClosableProvider:
        return OpenAI()


def test_address_from_the_environment(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", call.server.url)
    assert AnyCaller(AddressedByEnvironment(), call.server)("hello").text == "hello"


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
def test_temperature_goes_to_models_that_take_one(call: Caller, model: str, sent: float | None) -> None:
    reply = call(model=model, temperature=0.5)
    assert call.server.requests[0].body.get("temperature") == sent
    assert bool(reply.warnings) is (sent is None)


@pytest.mark.parametrize(
    ("fields", "retryable", "shown"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "our fault"}}, True, "our fault"),
        ({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "busy"}}, True, "busy"),
        ({"status": "failed", "error": {"code": "invalid_prompt", "message": "unsafe"}}, False, "unsafe"),
        ({"status": "failed", "error": {"code": "bio_policy", "message": "unsafe"}}, False, "unsafe"),
        ({"status": "failed", "error": None, "output": None}, True, "failed"),
        ({"status": "cancelled"}, True, "cancelled"),
        ({"status": "in_progress"}, True, "in_progress"),
        ({"status": "incomplete", "incomplete_details": None}, True, "incomplete"),
        ({"status": None}, True, "None"),
        ({"output": None}, True, "no response object"),
        ({"output": "text"}, True, "no response object"),
    ],
)
def test_only_a_completed_response_is_a_reply(
    call: Caller, fields: dict[str, Any], retryable: bool, shown: str
) -> None:
    call.server.script(response(said("half a reply"), fields=fields))
    failure = call.failed()
    assert failure.retryable is retryable
    assert shown in str(failure)


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ([], ""),
        ([None, 3, {"type": "message"}, {"type": "message", "content": 3}], ""),
        ([{"type": "message", "content": [None, {"type": "output_text"}, {"type": "output_text", "text": 3}]}], ""),
        ([{"type": "message", "content": said("a") + said("b")}, {"type": "message", "content": said("c")}], "abc"),
        ([{"type": "reasoning", "content": [{"type": "output_text", "text": "hm"}]}], ""),
    ],
)
def test_text_is_what_the_messages_say(call: Caller, output: Any, read: str) -> None:
    call.server.script(response([], fields={"output": output}))
    assert call().text == read


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        {},
        {"input_tokens": -5, "output_tokens": 1},
        {"input_tokens": 10**12, "output_tokens": 1},
        {"input_tokens": 1.5, "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
    ],
)
def test_an_incredible_count_is_none(call: Caller, usage: Any) -> None:
    call.server.script(response(said("x"), usage=usage))
    reply = call()
    assert (reply.text, reply.usage, reply.raw_usage) == ("x", Usage(), {})
    assert any("count of tokens" in warning for warning in reply.warnings)


@pytest.mark.parametrize("details", [{}, {"input_tokens_details": None, "output_tokens_details": []}])
def test_usage_without_details(call: Caller, details: dict[str, Any]) -> None:
    call.server.script(response(said("x"), usage={"input_tokens": 7, "output_tokens": 2, **details}))
    assert call().usage == Usage(input_tokens=7, output_tokens=2)


def test_quota_is_told_by_the_type_where_there_is_no_code(call: Caller) -> None:
    call.server.script(error(429, kind="insufficient_quota"))
    assert not call.failed().retryable


def test_a_body_is_read_whatever_its_content_type(call: Caller) -> None:
    call.server.script(text("plain", content_type="text/plain"))
    assert call().text == "plain"
