"""What only OpenAI's wire format has in its answers: its statuses, its usage record, and the events of its streams."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.base import ToolOffer
from orchestrator_worker.providers.openai.client import OpenAI
from tests.conformance.adapter import ClosableProvider
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.caller import SuiteCaller as Caller
from tests.conformance.model_server import ModelServer, error, event_stream, response, stream, text
from tests.conformance.openai_adapter import OpenAIAdapter

CLOCK = ToolOffer("clock", "The time.", {"type": "object", "properties": {}})


@pytest.fixture
def call(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return AnyCaller(OpenAIAdapter(), model_server)


def said(content: str) -> list[dict[str, Any]]:
    return [{"type": "output_text", "text": content}]


class AddressedByEnvironment(OpenAIAdapter):
    def provider(self, root: str) -> ClosableProvider:
        return OpenAI()


def test_address_from_the_environment(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", call.server.url)
    assert AnyCaller(AddressedByEnvironment(), call.server)("hello").text == "hello"


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
    ("code", "kind", "wait"),
    [
        ("rate_limit_exceeded", FailureKind.RATE_LIMIT, 1.898),
        ("server_is_overloaded", FailureKind.OVERLOAD, 1.898),
        ("slow_down", FailureKind.OVERLOAD, 1.898),
        ("insufficient_quota", FailureKind.QUOTA, None),
        ("context_length_exceeded", FailureKind.CONTEXT_LENGTH, None),
        ("invalid_prompt", FailureKind.BAD_REQUEST, None),
        ("bio_policy", FailureKind.CONTENT_FILTER, None),
        ("image_content_policy_violation", FailureKind.CONTENT_FILTER, None),
        ("invalid_image_url", FailureKind.BAD_REQUEST, None),
        ("server_error", FailureKind.SERVER, 1.898),
        ("never_heard_of", FailureKind.SERVER, 1.898),
        (None, FailureKind.SERVER, 1.898),
    ],
)
@pytest.mark.parametrize("place", ["response", "event", "nested event", "failed event"])
def test_an_error_within_an_answer_goes_by_its_code(
    call: Caller, place: str, code: str | None, kind: FailureKind, wait: float | None
) -> None:
    told = {"code": code, "message": "No. Please try again in 1.898s."}
    failed = {"status": "failed", "error": told, "output": []}
    call.server.script(
        {
            "response": response([], fields=failed),
            "event": event_stream(json.dumps({"type": "error", "param": None, **told})),
            "nested event": event_stream(json.dumps({"type": "error", "error": told})),
            "failed event": event_stream(json.dumps({"type": "response.failed", "response": failed})),
        }[place]
    )
    failure = call.failed() if place == "response" else call.broke_off()[0]
    assert (failure.kind, failure.retry_after_seconds) == (kind, wait)
    assert "No." in str(failure)


@pytest.mark.parametrize(
    "told", [{"code": 529}, {"code": "529"}, {"code": 529, "type": "busy"}, {"type": "overloaded_error"}]
)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_529_within_an_answer_is_an_overload_and_shows_as_one(
    call: Caller, is_streamed: bool, told: dict[str, Any]
) -> None:
    wrong = {"message": "Busy.", **told}
    call.server.script(
        event_stream(json.dumps({"type": "error", "error": wrong}))
        if is_streamed
        else response([], fields={"status": "failed", "error": wrong, "output": []})
    )
    failure = call.broke_off()[0] if is_streamed else call.failed()
    assert (failure.kind, failure.retryable) == (FailureKind.OVERLOAD, True)
    assert "529" in str(failure)


@pytest.mark.parametrize(
    ("message", "wait"),
    [("Please try again in 6m0s.", 360.0), ("Please try again in 280ms. Visit", 0.28), ("try again in a moment", None)],
)
def test_a_wait_that_is_told_in_words(call: Caller, message: str, wait: float | None) -> None:
    call.server.script(error(429, message, code="rate_limit_exceeded"))
    assert call.failed().retry_after_seconds == wait


def test_a_wait_in_the_headers_goes_before_words(call: Caller) -> None:
    call.server.script(error(429, "try again in 20s", code="rate_limit_exceeded", headers={"retry-after": "3"}))
    assert call.failed().retry_after_seconds == 3.0


@pytest.mark.parametrize("status", [429, 500])
def test_an_overload_is_told_by_its_code(call: Caller, status: int) -> None:
    call.server.script(error(status, code="slow_down"))
    assert call.failed().kind == FailureKind.OVERLOAD


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


def test_audio_tokens_are_counted(call: Caller) -> None:
    usage = {
        "input_tokens": 70,
        "input_tokens_details": {"audio_tokens": 40},
        "output_tokens": 20,
        "output_tokens_details": {"audio_tokens": 9},
    }
    call.server.script(response(said("x"), usage=usage))
    assert call().usage == Usage(input_tokens=70, output_tokens=20, audio_tokens=49)


def test_quota_is_told_by_the_type_where_there_is_no_code(call: Caller) -> None:
    call.server.script(error(429, kind="insufficient_quota"))
    assert not call.failed().retryable


def test_a_body_is_read_whatever_its_content_type(call: Caller) -> None:
    call.server.script(text("plain", content_type="text/plain"))
    assert call().text == "plain"


class TestCalls:
    @pytest.mark.parametrize(("raw", "read"), [("", {}), (" ", {}), (None, {}), ({"city": "Roma"}, {"city": "Roma"})])
    def test_arguments_that_some_servers_send(self, call: Caller, raw: Any, read: dict[str, Any]) -> None:
        item = {"type": "function_call", "call_id": "call_1", "name": "clock", "arguments": raw}
        call.server.script(response([], fields={"output": [item]}))
        [asked] = call(tools=(CLOCK,)).calls
        assert (asked.arguments, asked.problem) == (read, "")

    def test_one_without_an_id_gets_one(self, call: Caller) -> None:
        items = [{"type": "function_call", "name": "clock", "arguments": "{}"} for _ in range(2)]
        call.server.script(response([], fields={"output": items}))
        assert len({asked.id for asked in call(tools=(CLOCK,)).calls}) == 2

    def test_one_without_a_name_is_a_problem(self, call: Caller) -> None:
        item = {"type": "function_call", "call_id": "call_1", "arguments": "{}"}
        call.server.script(response([], fields={"output": [item]}))
        assert call(tools=(CLOCK,)).calls[0].problem

    def test_cut_at_its_limit(self, call: Caller) -> None:
        item = {"type": "function_call", "call_id": "call_1", "name": "clock", "arguments": '{"zo'}
        ended = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [item]}
        call.server.script(response([], fields=ended))
        reply = call(tools=(CLOCK,))
        assert reply.finish_reason == "length"
        assert reply.calls[0].problem


class TestStream:
    def test_its_end_is_enough_whatever_comes_behind(self, call: Caller) -> None:
        for end in ("cut", "held"):
            call.server.script(replace(stream("whole"), end=end))  # type: ignore[arg-type]
            assert call.streamed()[0].text == "whole"

    def test_items_that_its_end_leaves_out_are_taken_from_before(self, call: Caller) -> None:
        item = {"type": "message", "role": "assistant", "content": said("from before")}
        done = {"type": "response.output_item.done", "output_index": 0, "item": item}
        ended = {"type": "response.completed", "response": {"status": "completed", "output": [], "usage": None}}
        call.server.script(event_stream(json.dumps(done), json.dumps(ended)))
        reply, pieces = call.streamed()
        assert (reply.text, pieces) == ("from before", ["from before"])

    @pytest.mark.parametrize("event", ["3", "[]", "null", '{"type": 3}', '{"type": "response.output_text.delta"}'])
    def test_an_event_that_says_nothing_is_passed_over(self, call: Caller, event: str) -> None:
        whole = stream("a ", "b")
        call.server.script(replace(whole, pieces=(f"data: {event}\n\n".encode(), b": comment\n\n", *whole.pieces)))
        assert call.streamed()[1] == ["a ", "b"]

    @pytest.mark.parametrize("response", [None, 3, {}, {"output": "text"}])
    def test_an_end_without_a_response_is_a_bad_one(self, call: Caller, response: Any) -> None:
        call.server.script(event_stream(json.dumps({"type": "response.completed", "response": response})))
        assert call.broke_off()[0].kind == FailureKind.BAD_RESPONSE

    def test_reasoning_and_arguments_are_no_text(self, call: Caller) -> None:
        thought = {"type": "response.reasoning_summary_text.delta", "delta": "hm"}
        refused = {"type": "response.refusal.delta", "delta": "no"}
        whole = stream("said", calls=[("call_1", "clock", {"zone": "CET"})])
        before = tuple(f"data: {json.dumps(event)}\n\n".encode() for event in (thought, refused))
        call.server.script(replace(whole, pieces=before + whole.pieces))
        assert call.streamed(tools=(CLOCK,))[1] == ["said"]
