"""The basic cases against llmock, a model server that others wrote: a second opinion on the wire format."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_worker.providers.base import Message, ToolOffer, ToolReturn
from tests.conformance.adapters import ADAPTERS
from tests.conformance.caller import Caller as AnyCaller

WEATHER = ToolOffer(
    "get_weather",
    "Weather of a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
)

LLMOCK = str(Path(sys.executable).with_name("llmock"))


class LLMock:
    """A running llmock, scripted by its control API. It keeps each vendor under a path of its own."""

    def __init__(self, address: str, path: str = "") -> None:
        self.address, self.root = address, address + path

    def script(self, *behaviors: dict[str, Any]) -> None:
        self._ask("POST", "scenario", {"behaviors": list(behaviors)})

    def reset(self) -> None:
        self._ask("POST", "reset", {})

    def requests(self) -> int:
        return int(self._ask("GET", "requests")["count"])

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/_llmock/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


Caller = AnyCaller[LLMock]


@pytest.fixture(scope="module")
def llmock_server() -> Iterator[LLMock]:
    process = subprocess.Popen(
        [LLMOCK, "serve", "--host", "127.0.0.1", "--port", "0", "--response-style", "echo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process:
        # The port is the kernel's choice, and its log names it. The few lines behind it fit into the pipe.
        running = (re.search(r"running on (http://[\d.:]+)", line) for line in process.stdout)
        started = next((match for match in running if match), None)
        assert started is not None, "llmock did not start"
        yield LLMock(started[1])
        process.terminate()


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def call(request: pytest.FixtureRequest, llmock_server: LLMock, monkeypatch: pytest.MonkeyPatch) -> Caller:
    monkeypatch.setenv(request.param.key_variable, "sk-llmock")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v1beta")  # llmock has no other of Google's
    llmock_server.reset()
    return AnyCaller(request.param, LLMock(llmock_server.address, request.param.llmock_path))


def test_text_and_usage(call: Caller) -> None:
    call.server.script({"type": "reply", "text": "Paris, of course."})
    reply = call("What is the capital of France?")
    assert (reply.text, reply.finish_reason, reply.warnings) == ("Paris, of course.", "stop", ())
    assert reply.model == call.adapter.plain_model
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens > 0


def test_system_message_and_conversation(call: Caller) -> None:
    reply = call(
        messages=tuple(
            Message.of(role, text)
            for role, text in (("system", "Repeat."), ("user", "a"), ("assistant", "b"), ("user", "c"))
        ),
        max_tokens=100,
        temperature=0.1,
    )
    assert reply.text


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (401, False), (403, False), (404, False), (429, True), (500, True), (503, True), (529, True)],
)
def test_refusals(call: Caller, status: int, retryable: bool) -> None:
    call.server.script({"type": "fail", "status": status, "message": "scripted refusal"})
    error = call.failed()
    assert error.retryable is retryable
    assert str(status) in str(error)
    assert call.server.requests() == 1


def test_retry_after(call: Caller) -> None:
    call.server.script({"type": "fail", "status": 429, "retry_after": 2})
    assert call.failed().retry_after_seconds == 2.0


def test_no_answer_in_time(call: Caller) -> None:
    call.server.script({"type": "delay", "seconds": 1})
    assert "0.2 s" in str(call.failed(seconds=0.2))


def test_many_calls_at_once(call: Caller) -> None:
    replies = call.many([call.request(f"number {n}") for n in range(16)])
    assert all(reply.text for reply in replies)
    assert call.server.requests() == 16


def test_streamed(call: Caller) -> None:
    call.server.script({"type": "reply", "text": "Paris, of course."})
    reply, pieces = call.streamed("What is the capital of France?")
    assert (reply.text, reply.finish_reason, reply.warnings) == ("Paris, of course.", "stop", ())
    assert "".join(pieces) == reply.text
    assert len(pieces) > 1
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens > 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("disconnect", FailureKind.CONNECTION),
        ("truncate", FailureKind.TRUNCATED),
        ("malformed", FailureKind.BAD_RESPONSE),
        ("stall", FailureKind.TIMEOUT),
    ],
)
def test_a_stream_that_breaks_off(call: Caller, fault: str, kind: FailureKind) -> None:
    text = "one two three four five six seven eight"
    # Fewer chunks than any vendor needs to say that much; the next is no ping, of which nobody would miss anything.
    call.server.script(
        {"type": "reply", "text": text}, {"type": "stream_fault", "kind": fault, "after_chunks": 3, "stall_seconds": 3}
    )
    error, pieces = call.broke_off(seconds=1.0 if fault == "stall" else 30.0)
    assert (error.kind, error.retryable) == (kind, True)
    assert text.startswith("".join(pieces))
    assert "".join(pieces) != text


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_tools(call: Caller, is_streamed: bool) -> None:
    wanted = [{"name": "get_weather", "arguments": {"city": city}} for city in ("Paris", "Rom")]
    call.server.script({"type": "reply", "tool_calls": wanted})
    reply = call.streamed(tools=(WEATHER,))[0] if is_streamed else call(tools=(WEATHER,))
    assert [asked.arguments for asked in reply.calls] == [{"city": "Paris"}, {"city": "Rom"}]
    assert reply.finish_reason == "tools"
    given = tuple(ToolReturn(asked.id, asked.name, "rain", failed=asked is reply.calls[1]) for asked in reply.calls)
    call.server.script({"type": "reply", "text": "It rains."})
    said = call(
        messages=(
            Message.of("user", "Weather?"),
            Message("assistant", (reply.text,) if reply.text else (), calls=reply.calls, native=reply.native),
            Message("tool", returns=given),
        ),
        tools=(WEATHER,),
    )
    assert said.text == "It rains."


def test_structured(call: Caller) -> None:
    if call.adapter.name == "anthropic":
        pytest.skip("llmock knows no structured output of anthropic")
    assert set(json.loads(call(schema=WEATHER.parameters).text)) == {"city"}
