"""What every provider makes of an answer, against a server that speaks its vendor's wire format over real HTTP."""

from __future__ import annotations

import gzip

import pytest

from orchestrator_client.contract.errors import FailureKind
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.http import BODY_CAP_BYTES, ERROR_CAP_BYTES
from tests.conformance.caller import SuiteCaller as Caller
from tests.conformance.model_server import Answer


class TestReply:
    def test_text_model_and_finish_reason(self, call: Caller) -> None:
        call.server.script(call.adapter.text("Grüße — 你好 🚀", model="a-model-2026"))
        reply = call()
        assert (reply.text, reply.model, reply.finish_reason) == ("Grüße — 你好 🚀", "a-model-2026", "stop")
        assert reply.warnings == ()

    def test_usage_is_the_vendors_count(self, call: Caller) -> None:
        call.server.script(
            call.adapter.text("x", input_tokens=1200, cached_tokens=1000, output_tokens=340, reasoning_tokens=256)
        )
        reply = call()
        assert reply.usage == Usage(
            input_tokens=1200, output_tokens=340, cached_input_tokens=1000, reasoning_tokens=256, cost_usd=None
        )
        assert reply.raw_usage

    def test_a_reply_cut_at_its_limit_is_kept_and_says_so(self, call: Caller) -> None:
        call.server.script(call.adapter.text("one two three", finish_reason="length"))
        reply = call(max_tokens=3)
        assert (reply.text, reply.finish_reason) == ("one two three", "length")

    def test_a_content_filter_is_a_failure_that_stays(self, call: Caller) -> None:
        call.server.script(call.adapter.text("half a", finish_reason="content_filter"))
        error = call.failed()
        assert "content filter" in str(error)
        assert (error.kind, error.retryable) == (FailureKind.CONTENT_FILTER, False)

    def test_a_models_refusal_is_a_failure_that_stays(self, call: Caller) -> None:
        call.server.script(call.adapter.refusal("I cannot help with that"))
        error = call.failed()
        assert "I cannot help with that" in str(error)
        assert (error.kind, error.retryable) == (FailureKind.CONTENT_FILTER, False)

    def test_half_a_surrogate_pair_is_replaced(self, call: Caller) -> None:
        call.server.script(call.adapter.text("a\ud83db"))
        assert call().text == "a?b"

    def test_compressed(self, call: Caller) -> None:
        whole = call.adapter.text("squeezed")
        call.server.script(Answer(body=gzip.compress(whole.body), headers={"content-encoding": "gzip"}))
        assert call().text == "squeezed"


class TestBrokenAnswer:
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"", "application/json"),
            (b"<html>Welcome to the hotel</html>", "text/html"),
            (b"<html>Welcome to the hotel</html>", "application/json"),
            (b'{"id": "resp_1", "output": [{"ty', "application/json"),
            (b'{"id": "resp_1", "output": [{"ty', "text/plain"),
            (b"null", "application/json"),
            (b'"a string"', "application/json"),
            (b"[]", "application/json"),
            (b"{}", "application/json"),
            (b"[" * 100_000, "application/json"),
            (b"\xff\xfe", "application/json"),
        ],
    )
    def test_is_a_bad_response(self, call: Caller, body: bytes, content_type: str) -> None:
        call.server.script(Answer(body=body, content_type=content_type))
        error = call.failed()
        assert "bad response" in str(error)
        assert (error.kind, error.retryable) == (FailureKind.BAD_RESPONSE, True)

    def test_is_shown_in_part(self, call: Caller) -> None:
        call.server.script(Answer(body=b"<p>" + b"x" * 5000, content_type="text/html"))
        text = str(call.failed())
        assert "<p>xxx" in text
        assert len(text) < 400

    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    @pytest.mark.parametrize("cut_at", [0, 20])
    def test_cut_off_in_its_body(self, call: Caller, reset: bool, cut_at: int) -> None:
        whole = call.adapter.text("never whole")
        call.server.script(Answer(body=whole.body, cut_at=cut_at, reset=reset))
        error = call.failed()
        assert (error.kind, error.retryable) == (FailureKind.CONNECTION, True)

    def test_too_large(self, call: Caller) -> None:
        call.server.script(
            Answer(body=gzip.compress(b" " * (BODY_CAP_BYTES * 4)), headers={"content-encoding": "gzip"})
        )
        assert f"{BODY_CAP_BYTES} bytes" in str(call.failed())

    def test_an_error_too_large(self, call: Caller) -> None:
        call.server.script(Answer(503, b"x" * 1_000_000, content_type="text/plain"))
        error = call.failed()
        assert f"{ERROR_CAP_BYTES} bytes" in str(error)
        assert error.retryable
