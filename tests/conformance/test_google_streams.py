"""Google's event streams: what of them makes up a reply, and all that can stand in them besides."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator_client.contract.errors import FailureKind, ModelFailed
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.base import Message, ModelReply, ModelRequest
from orchestrator_worker.providers.http import BODY_CAP_BYTES, ERROR_CAP_BYTES
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.caller import put_forward, run
from tests.conformance.google_adapter import GoogleAdapter
from tests.conformance.google_wire import calls, candidate, chunk, error, response, stream, text
from tests.conformance.model_server import Answer, ModelServer, event_stream, html

ADAPTER = GoogleAdapter()

END = chunk([], finish_reason="stop", usage={"promptTokenCount": 3, "candidatesTokenCount": 2})


class Streamed:
    """Calls that are streamed, and the pieces that came."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.pieces: list[str] = []

    def __call__(self, *answers: Answer, on_text: Callable[[str], None] | None = None, **fields: Any) -> ModelReply:
        """The last reply; all calls are made at once, of one provider."""
        self.server.script(*answers)
        wanted = {"model": ADAPTER.plain_model, "messages": (Message.of("user", "hi"),), **fields}

        async def made() -> ModelReply:
            provider = ADAPTER.provider(self.server.root)
            try:
                request = ModelRequest(**wanted)
                one = (provider.complete(request, on_text or self.pieces.append) for _ in answers)
                return (await asyncio.gather(*one))[-1]
            finally:
                await provider.close()

        return run(made())

    def whole(self, answer: Answer) -> ModelReply:
        """The reply to a call that is not streamed."""
        return AnyCaller(ADAPTER, self.server.script(answer))()

    def failed(self, answer: Answer, **fields: Any) -> ModelFailed:
        with pytest.raises(ModelFailed) as caught:
            self(answer, **fields)
        return caught.value


@pytest.fixture
def streamed(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> Streamed:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-test")
    return Streamed(model_server)


class TestReply:
    def test_is_that_of_an_answer_in_one_piece(self, streamed: Streamed) -> None:
        counts: dict[str, Any] = {"input_tokens": 12, "cached_tokens": 10, "output_tokens": 34, "reasoning_tokens": 25}
        asked = [("", "f", {"a": 1}), ("", "g", {})]
        reply = streamed(stream("one ", "two", calls=asked, **counts))
        assert streamed.pieces == ["one ", "two"]
        assert streamed.server.requests[0].path == "/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
        whole = streamed.whole(calls(*asked, text="one two", **counts))
        assert reply == whole
        assert reply.native is not None

    def test_thoughts_are_not_delivered_and_signatures_stay_with_their_parts(self, streamed: Streamed) -> None:
        parts: list[dict[str, Any]] = [
            {"text": "h", "thought": True},
            {"text": "m", "thought": True},
            {"text": "a"},
            {"text": "b"},
            {"text": "c", "thoughtSignature": "+/8="},
            {"text": "d"},
            {"aNewKind": {}},
            {"text": "", "thoughtSignature": "/w=="},
        ]
        reply = streamed(event_stream(*(chunk([part]) for part in parts), END))
        assert (reply.text, streamed.pieces) == ("abcd", ["a", "b", "c", "d"])
        joined = [{"text": "hm", "thought": True}, {"text": "ab"}, *parts[4:]]
        assert reply.native == {"role": "model", "parts": joined}

    def test_the_last_counts_stand(self, streamed: Streamed) -> None:
        first = chunk([{"text": "a"}], usage={"promptTokenCount": 3, "candidatesTokenCount": 1})
        assert streamed(event_stream(first, END)).usage == Usage(input_tokens=3, output_tokens=2)

    def test_two_at_once_are_kept_apart(self, streamed: Streamed) -> None:
        answers = [stream(*(letter,) * 50, pause_seconds=0.002) for letter in "ab"]
        reply = streamed(*answers)
        assert reply.text in ("a" * 50, "b" * 50)
        assert sorted(streamed.pieces) == ["a"] * 50 + ["b"] * 50


class TestWire:
    @pytest.mark.parametrize("size", [1, 2, 7, 1000])
    @pytest.mark.parametrize("line_end", ["\n", "\r\n"])
    def test_wherever_the_network_cuts_it(self, streamed: Streamed, line_end: str, size: int) -> None:
        wanted = "Grüße\u2028\u0085 🚀"
        first = json.dumps(json.loads(chunk([{"text": wanted}])), ensure_ascii=False)
        lines = [": a comment", "", "event: message", "id: 7", f"data:{first}", "", "retry: 5", "", f"data: {END}"]
        body = line_end.join([*lines, "", ""]).encode()
        pieces = tuple(body[at : at + size] for at in range(0, len(body), size))
        assert streamed(Answer(pieces=pieces, content_type="text/event-stream; charset=utf-8")).text == wanted

    def test_data_of_several_lines(self, streamed: Streamed) -> None:
        lines = json.dumps(json.loads(chunk([{"text": "a"}])), indent=1).splitlines()
        assert (
            streamed(event_stream(b"".join(b"data: %b\n" % line.encode() for line in lines) + b"\n", END)).text == "a"
        )

    def test_an_end_without_its_blank_line(self, streamed: Streamed) -> None:
        assert streamed(event_stream(chunk([{"text": "a"}]), f"data: {END}".encode())).text == "a"

    def test_compressed(self, streamed: Streamed) -> None:
        body = gzip.compress(b"".join(stream("squeezed").pieces))
        headers = {"content-encoding": "gzip"}
        assert streamed(Answer(body=body, content_type="text/event-stream", headers=headers)).text == "squeezed"

    @pytest.mark.parametrize("listed", [False, True])
    def test_no_event_stream_is_read_as_a_whole(self, streamed: Streamed, listed: bool) -> None:
        whole = text("one two").body
        chunks = f"[{chunk([{'text': 'one '}])}\n,{chunk([{'text': 'two'}])},{END}]".encode()
        reply = streamed(Answer(body=chunks if listed else whole))
        assert (reply.text, "".join(streamed.pieces)) == ("one two", "one two")


class TestFailure:
    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            ("cut", FailureKind.CONNECTION),
            ("ends", FailureKind.TRUNCATED),
            ("garbled", FailureKind.BAD_RESPONSE),
            ("error", FailureKind.OVERLOAD),
            ("stalls", FailureKind.TIMEOUT),
        ],
    )
    def test_is_told_apart(self, streamed: Streamed, fault: str, kind: FailureKind) -> None:
        def told(piece: str) -> None:
            streamed.pieces.append(piece)
            if kind is FailureKind.TIMEOUT and streamed.pieces == ["half", " a"]:
                put_forward(30.0)

        failure = streamed.failed(stream("half", " a", fault=fault), on_text=told, timeout_seconds=30.0)
        assert (failure.kind, failure.retryable) == (kind, True)
        assert streamed.pieces == ["half", " a"]

    @pytest.mark.parametrize(
        ("told", "kind"),
        [
            ({"code": "UNAVAILABLE", "message": "later"}, FailureKind.OVERLOAD),
            ({"code": "overloaded", "status": "UNAVAILABLE"}, FailureKind.OVERLOAD),
            ({"code": "429", "message": "slow down"}, FailureKind.RATE_LIMIT),
            ({"status": "RESOURCE_EXHAUSTED"}, FailureKind.RATE_LIMIT),
            ({"code": 500, "status": "INTERNAL"}, FailureKind.SERVER),
            ({"code": None}, FailureKind.SERVER),
            ({"code": 10**30}, FailureKind.SERVER),
        ],
    )
    @pytest.mark.parametrize("bare", [False, True])
    def test_an_error_in_the_stream_by_its_own_code(
        self, streamed: Streamed, told: dict[str, Any], kind: FailureKind, bare: bool
    ) -> None:
        event = json.dumps({"error": told}, indent=1 if bare else None)
        answer = event_stream(chunk([{"text": "a"}]), event.encode() if bare else event)
        assert streamed.failed(answer).kind is kind

    def test_an_error_in_the_stream_may_ask_for_a_wait(self, streamed: Streamed) -> None:
        told = error(429, details=[{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}])
        failure = streamed.failed(event_stream(told.body.decode()))
        assert (failure.kind, failure.retry_after_seconds) == (FailureKind.RATE_LIMIT, 17.0)

    def test_a_filter_explains_itself(self, streamed: Streamed) -> None:
        end = chunk([], finish_reason="SAFETY", finish_message="It was unsafe.")
        failure = streamed.failed(event_stream(chunk([{"text": "a"}]), end))
        assert "(SAFETY): It was unsafe." in str(failure)
        assert failure.kind is FailureKind.CONTENT_FILTER

    def test_a_prompt_that_is_blocked(self, streamed: Streamed) -> None:
        blocked = response(None, fields={"promptFeedback": {"blockReason": "SOMETHING_NEW"}})
        failure = streamed.failed(event_stream(blocked.body.decode()))
        assert failure.kind is FailureKind.CONTENT_FILTER

    @pytest.mark.parametrize("event", ["null", "[]", '"x"', "{}", '{"candidates": "x"}', '{"usageMetadata": "many"}'])
    def test_chunks_of_any_shape_are_no_end(self, streamed: Streamed, event: str) -> None:
        assert streamed.failed(event_stream(event)).kind is FailureKind.TRUNCATED
        assert streamed(event_stream(chunk([{"text": "a"}]), event, END)).text == "a"

    @pytest.mark.parametrize(
        "answer", [html(), Answer(body=b"null"), Answer(body=b"[]"), Answer(body=candidate([]).body[:9])]
    )
    def test_no_stream_and_no_answer_either(self, streamed: Streamed, answer: Answer) -> None:
        assert streamed.failed(answer).kind is FailureKind.BAD_RESPONSE

    def test_a_refusal_is_the_sdks_affair(self, streamed: Streamed) -> None:
        failure = streamed.failed(error(503, "overloaded", headers={"retry-after": "3"}))
        assert (failure.kind, failure.retry_after_seconds) == (FailureKind.OVERLOAD, 3.0)
        assert f"{ERROR_CAP_BYTES} bytes" in str(streamed.failed(Answer(503, b"x" * 1_000_000)))


class TestEnd:
    """Whatever ends the reading closes the connection."""

    def test_too_large(self, streamed: Streamed) -> None:
        piece = chunk([{"text": "x" * 1_000_000}])
        failure = streamed.failed(event_stream(*[piece] * (BODY_CAP_BYTES // 1_000_000 + 1), fault="stalls"))
        assert f"{BODY_CAP_BYTES} bytes" in str(failure)
        streamed.server.wait_until(lambda server: server.hangups == 1, "the endless exchange is closed")

    def test_an_error_in_the_stream(self, streamed: Streamed) -> None:
        streamed.failed(event_stream('{"error": {"code": 500}}', fault="stalls"))
        streamed.server.wait_until(lambda server: server.hangups == 1, "the failed exchange is closed")

    def test_a_receiver_that_fails(self, streamed: Streamed) -> None:
        def fail(piece: str) -> None:
            raise ValueError(piece)

        with pytest.raises(ModelFailed):
            streamed(stream("a", fault="stalls"), on_text=fail)
        streamed.server.wait_until(lambda server: server.hangups == 1, "the unheard exchange is closed")

    def test_cancelled(self, streamed: Streamed) -> None:
        streamed.server.script(stream("a", fault="stalls"))

        async def cancelled() -> None:
            provider, came = ADAPTER.provider(streamed.server.root), asyncio.Event()
            request = ModelRequest(ADAPTER.plain_model, (Message.of("user", "hi"),))
            task = asyncio.create_task(provider.complete(request, lambda _: came.set()))
            await came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(streamed.server.wait_until, lambda server: server.hangups == 1, "a hang-up")
            await provider.close()

        asyncio.run(cancelled())

    def test_a_connection_is_used_again(self, streamed: Streamed) -> None:
        streamed.server.script(stream("a"), text("b"), stream("c"))

        async def three() -> str:
            provider = ADAPTER.provider(streamed.server.root)
            request = ModelRequest(ADAPTER.plain_model, (Message.of("user", "hi"),))
            receivers: list[Callable[[str], None] | None] = [streamed.pieces.append, None, streamed.pieces.append]
            said = [(await provider.complete(request, receiver)).text for receiver in receivers]
            await provider.close()
            return "".join(said)

        assert asyncio.run(three()) == "abc"
        assert len({received.port for received in streamed.server.requests}) == 1
