"""What every provider makes of a stream: whole only with its terminal reason, and every other end told apart."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers import http
from orchestrator_worker.providers.http import BODY_CAP_BYTES
from tests.conformance.caller import KEY
from tests.conformance.caller import SuiteCaller as Caller
from tests.conformance.model_server import Answer, html

PIECES = ("Grü", "ße — ", "你好", " 🚀")


class TestWhole:
    def test_pieces_come_once_and_in_order(self, call: Caller) -> None:
        call.server.script(call.adapter.stream(*PIECES, model="a-model-2026"))
        reply, pieces = call.streamed()
        assert (reply.text, reply.model, reply.finish_reason) == ("".join(PIECES), "a-model-2026", "stop")
        assert tuple(pieces) == PIECES
        assert reply.warnings == ()

    def test_is_the_reply_that_comes_without_a_stream(self, call: Caller) -> None:
        counts = {"input_tokens": 1200, "cached_tokens": 1000, "output_tokens": 340, "reasoning_tokens": 256}
        call.server.script(call.adapter.text("".join(PIECES), **counts), call.adapter.stream(*PIECES, **counts))
        whole, (streamed, _) = call(), call.streamed()
        for field in ("text", "model", "finish_reason", "usage", "warnings"):
            assert getattr(streamed, field) == getattr(whole, field)

    def test_usage(self, call: Caller) -> None:
        call.server.script(call.adapter.stream("x", input_tokens=12, cached_tokens=4, output_tokens=9))
        assert call.streamed()[0].usage == Usage(input_tokens=12, cached_input_tokens=4, output_tokens=9)

    def test_cut_at_its_limit(self, call: Caller) -> None:
        call.server.script(call.adapter.stream("one ", "two", finish_reason="length"))
        reply, pieces = call.streamed(max_tokens=2)
        assert (reply.text, reply.finish_reason, "".join(pieces)) == ("one two", "length", "one two")

    def test_asks_for_the_same_as_without(self, call: Caller) -> None:
        call.server.script(call.adapter.text("x"), call.adapter.stream("x"))
        call(max_tokens=7)
        call.streamed(max_tokens=7)
        plain, streamed = (call.adapter.sent(received) for received in call.server.requests)
        assert (streamed.model, streamed.messages, streamed.max_tokens) == (plain.model, plain.messages, 7)
        assert streamed.key == KEY

    def test_a_piece_is_told_when_it_comes(self, call: Caller) -> None:
        call.server.script(call.adapter.stream("early", fault="stalls"))

        async def first_piece() -> str:
            provider = call.adapter.provider(call.server.root)
            told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(provider.complete(call.request(), told.set_result))
            piece = await asyncio.wait_for(told, 60)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(call.server.wait_until, lambda server: server.hangups == 1, "a hang-up")
            await provider.close()
            return piece

        assert asyncio.run(first_piece()) == "early"

    def test_connections_are_used_again(self, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        # A busy machine's server may be slow to end its answer, for which we wait a moment, or an SDK does.
        for seconds in (f"{http.__name__}.DRAIN_SECONDS", "openai._streaming_cleanup._DRAIN_TIMEOUT"):
            monkeypatch.setattr(seconds, 30.0)
        call.server.script(otherwise=lambda _: call.adapter.stream("x"))
        call.many([call.request()], rounds=3, on_text=lambda _: None)
        assert len({received.port for received in call.server.requests}) == 1

    def test_compressed(self, call: Caller) -> None:
        events = call.adapter.stream(*PIECES)
        body = gzip.compress(b"".join(events.pieces) or events.body)
        call.server.script(
            Answer(body=body, headers={"content-encoding": "gzip"}, content_type="text/event-stream"),
        )
        assert call.streamed()[0].text == "".join(PIECES)


FAULTS = {
    "cut": FailureKind.CONNECTION,
    "ends": FailureKind.TRUNCATED,
    "garbled": FailureKind.BAD_RESPONSE,
    "error": FailureKind.OVERLOAD,
    "stalls": FailureKind.TIMEOUT,
}

STALL_SECONDS = 3.0
"""For an exchange that stalls before its first piece."""


class TestBrokenOff:
    @pytest.mark.parametrize("fault", list(FAULTS))
    def test_is_told_apart(self, call: Caller, fault: str) -> None:
        call.server.script(call.adapter.stream("half ", "a reply", fault=fault))
        error, pieces = call.broke_off(late_after="half a reply" if fault == "stalls" else "")
        assert (error.kind, error.retryable) == (FAULTS[fault], True)
        assert call.adapter.name in str(error)
        assert "".join(pieces) == "half a reply"

    @pytest.mark.parametrize("fault", list(FAULTS))
    def test_before_its_first_piece(self, call: Caller, fault: str) -> None:
        call.server.script(call.adapter.stream(fault=fault))
        error, pieces = call.broke_off(seconds=STALL_SECONDS if fault == "stalls" else 30.0)
        assert error.kind == FAULTS[fault]
        assert pieces == []

    def test_a_stalled_exchange_is_closed(self, call: Caller) -> None:
        call.server.script(call.adapter.stream("half", fault="stalls"))
        call.broke_off(late_after="half")
        call.server.wait_until(lambda server: server.hangups == 1, "the stalled exchange is closed")

    def test_a_content_filter_is_a_failure_that_stays(self, call: Caller) -> None:
        call.server.script(call.adapter.stream("half a", finish_reason="content_filter"))
        error, _ = call.broke_off()
        assert (error.kind, error.retryable) == (FailureKind.CONTENT_FILTER, False)

    def test_nothing_is_tried_twice(self, call: Caller) -> None:
        call.server.script(*(call.adapter.stream("half", fault="cut") for _ in range(3)))
        call.broke_off()
        assert len(call.server.requests) == 1

    def test_an_empty_stream(self, call: Caller) -> None:
        call.server.script(Answer(content_type="text/event-stream"))
        error, pieces = call.broke_off()
        assert error.kind in (FailureKind.TRUNCATED, FailureKind.BAD_RESPONSE)
        assert (error.retryable, pieces) == (True, [])

    def test_too_large(self, call: Caller) -> None:
        comment = b": " + b"x" * 1_048_574
        call.server.script(
            Answer(pieces=(comment,) * (BODY_CAP_BYTES // len(comment) + 2), content_type="text/event-stream")
        )
        error, _ = call.broke_off()
        assert f"{BODY_CAP_BYTES} bytes" in str(error)
        assert error.kind == FailureKind.BAD_RESPONSE

    def test_the_key_is_in_no_error(self, call: Caller) -> None:
        call.server.script(
            Answer(body=f"data: not JSON {KEY}\n\n".encode(), content_type="text/event-stream"),
        )
        error, _ = call.broke_off()
        assert KEY not in str(error) + repr(error)


class TestNoStream:
    """Servers that know no stream answer with the whole document, although one was asked for."""

    def test_the_whole_document_is_read(self, call: Caller) -> None:
        call.server.script(call.adapter.text("all at once", input_tokens=3, output_tokens=2))
        reply, pieces = call.streamed()
        assert (reply.text, reply.finish_reason) == ("all at once", "stop")
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 2)
        assert "".join(pieces) == "all at once"

    @pytest.mark.parametrize("answer", [html(), Answer(body=b"{}"), Answer(body=b"null")])
    def test_something_else_is_a_bad_response(self, call: Caller, answer: Answer) -> None:
        call.server.script(answer)
        error, pieces = call.broke_off()
        assert (error.kind, error.retryable, pieces) == (FailureKind.BAD_RESPONSE, True, [])
