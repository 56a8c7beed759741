"""What every provider owes, against a server that speaks its vendor's wire format over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import os
import pickle
import socket
import threading
import weakref
from collections.abc import Callable
from email.utils import formatdate
from time import time

import pytest

from orchestrator_client.contract.errors import CredentialMissing, ModelFailed
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers.base import Message
from orchestrator_worker.providers.http import BODY_CAP_BYTES, ERROR_CAP_BYTES
from tests.conformance.adapters import ADAPTERS, Adapter
from tests.conformance.caller import Caller as AnyCaller
from tests.conformance.model_server import HELD_SECONDS, Answer, ModelServer, html

Caller = AnyCaller[ModelServer]

KEY = "sk-test-4f1d0b8e2c"


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    chosen: Adapter = request.param
    monkeypatch.setenv(chosen.key_variable, KEY)
    return chosen


@pytest.fixture
def call(adapter: Adapter, model_server: ModelServer) -> Caller:
    return Caller(adapter, model_server.script(otherwise=adapter.echo))


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
        assert not error.retryable

    def test_a_models_refusal_is_a_failure_that_stays(self, call: Caller) -> None:
        call.server.script(call.adapter.refusal("I cannot help with that"))
        error = call.failed()
        assert "I cannot help with that" in str(error)
        assert not error.retryable

    def test_half_a_surrogate_pair_is_replaced(self, call: Caller) -> None:
        call.server.script(call.adapter.text("a\ud83db"))
        assert call().text == "a?b"

    def test_compressed(self, call: Caller) -> None:
        whole = call.adapter.text("squeezed")
        call.server.script(Answer(body=gzip.compress(whole.body), headers={"content-encoding": "gzip"}))
        assert call().text == "squeezed"


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
        call(messages=(Message("system", "Be brief."), Message("system", "Be kind."), Message("user", "hi")))
        sent = call.adapter.sent(call.server.requests[0])
        assert sent.system == "Be brief.\n\nBe kind."
        assert sent.messages == [("user", "hi")]

    def test_conversation(self, call: Caller) -> None:
        said = [("user", "1+1?"), ("assistant", "2"), ("user", "and 2+2?")]
        call(messages=tuple(Message(role, text) for role, text in said))
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
        assert not call.failed(max_tokens=float("nan")).retryable
        assert call.server.requests == []


Answers = Callable[[Adapter], Answer]

REFUSALS: dict[str, tuple[Answers, bool, float | None, str]] = {
    "400": (lambda a: a.error(400, "no such parameter"), False, None, "no such parameter"),
    "401": (lambda a: a.error(401, "Incorrect API key provided"), False, None, "on the workers"),
    "402": (lambda a: a.error(402, "pay"), False, None, "pay"),
    "403": (lambda a: a.error(403, "not in your country"), False, None, "on the workers"),
    "404": (lambda a: a.error(404, "no such model"), False, None, "check the step's model"),
    "408": (lambda a: a.error(408, "too slow"), True, None, "too slow"),
    "409": (lambda a: a.error(409, "locked"), True, None, "locked"),
    "413": (lambda a: a.error(413, "too long"), False, None, "too long"),
    "422": (lambda a: a.error(422, "unfit"), False, None, "unfit"),
    "429": (lambda a: a.error(429, "slow down"), True, None, "limits the rate"),
    "429 with seconds": (lambda a: a.error(429, headers={"retry-after": "17"}), True, 17.0, "429"),
    "429 with milliseconds": (
        lambda a: a.error(429, headers={"retry-after-ms": "1500", "retry-after": "2"}),
        True,
        1.5,
        "429",
    ),
    "429 with too long a wait": (lambda a: a.error(429, headers={"retry-after": "1e9"}), True, 3600.0, "429"),
    "429 with a negative wait": (lambda a: a.error(429, headers={"retry-after": "-5"}), True, None, "429"),
    "429 with nonsense": (lambda a: a.error(429, headers={"retry-after": "soon"}), True, None, "429"),
    "429 with nan": (lambda a: a.error(429, headers={"retry-after": "nan"}), True, None, "429"),
    "429 quota": (lambda a: a.quota_used_up(), False, None, "quota is used up"),
    "500": (lambda a: a.error(500, "oops"), True, None, "oops"),
    "503 with seconds": (lambda a: a.error(503, headers={"retry-after": "3"}), True, 3.0, "503"),
    "503 in HTML": (lambda a: html(503), True, None, "Sign in to the proxy"),
    "529": (lambda a: a.error(529, "overloaded"), True, None, "overloaded"),
    "302": (lambda a: Answer(302), False, None, "302"),
}


class TestRefusal:
    @pytest.mark.parametrize("refusal", list(REFUSALS))
    def test_is_told_apart(self, call: Caller, refusal: str) -> None:
        answer, retryable, wait, text = REFUSALS[refusal]
        call.server.script(answer(call.adapter))
        error = call.failed()
        assert text in str(error)
        assert (error.retryable, error.retry_after_seconds) == (retryable, wait)
        assert call.adapter.name in str(error)

    def test_names_the_variable_of_a_refused_key(self, call: Caller) -> None:
        call.server.script(call.adapter.error(401))
        assert call.adapter.key_variable in str(call.failed())

    def test_a_date_to_wait_for(self, call: Caller) -> None:
        call.server.script(call.adapter.error(429, headers={"retry-after": formatdate(time() + 120, usegmt=True)}))
        assert call.failed().retry_after_seconds == pytest.approx(120, abs=5)

    def test_nothing_is_tried_twice(self, call: Caller) -> None:
        call.server.script(*(call.adapter.error(500) for _ in range(3)))
        call.failed()
        assert len(call.server.requests) == 1


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
        assert error.retryable

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
        assert call.failed().retryable

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


class TestUnreachable:
    def test_no_answer_in_time(self, call: Caller) -> None:
        call.server.script(call.adapter.text("late", delay_seconds=HELD_SECONDS))
        error = call.failed(seconds=0.3)
        assert "0.3 s" in str(error)
        assert error.retryable
        call.server.wait_until(lambda server: server.hangups == 1, "the late exchange is closed")

    def test_an_answer_that_drips(self, call: Caller) -> None:
        call.server.script(call.adapter.text("late", drip_seconds=0.1))
        assert "0.5 s" in str(call.failed(seconds=0.5))
        call.server.wait_until(lambda server: server.hangups == 1, "the dripping exchange is closed")

    def test_a_host_that_takes_no_connection(self, call: Caller) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
            for _ in range(2):  # fill the queue of connections that nobody accepts: the kernel ignores the next
                client = waiting.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(full.getsockname())
            host = f"127.0.0.1:{full.getsockname()[1]}"
            error = call.failed(root=f"http://{host}")
        assert f"not reached at {host}" in str(error)
        assert "connecting took too long" in str(error)
        assert error.retryable

    def test_nobody_listens(self, call: Caller) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            host = f"127.0.0.1:{unused.getsockname()[1]}"
            error = call.failed(root=f"http://{host}")
        assert error.retryable
        assert host in str(error)

    def test_a_url_without_a_scheme_is_a_mistake_that_stays(self, call: Caller) -> None:
        assert not call.failed(root="127.0.0.1").retryable


class TestCancellation:
    def test_closes_the_exchange(self, call: Caller) -> None:
        call.server.script(call.adapter.text("late", delay_seconds=HELD_SECONDS))

        async def cancelled() -> None:
            provider = call.adapter.provider(call.server.root)
            task = asyncio.create_task(provider.complete(call.request()))
            await asyncio.to_thread(call.server.wait_until, lambda server: len(server.requests) == 1, "a request")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(call.server.wait_until, lambda server: server.hangups == 1, "a hang-up")
            await provider.close()

        asyncio.run(cancelled())


class TestKey:
    @pytest.mark.parametrize("key", [None, "", "  ", "sk-test\n", "sk-\r\nx: y", " sk-test", "sk-tést"])
    def test_that_is_none_is_missing(self, call: Caller, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
        monkeypatch.delenv(call.adapter.key_variable)
        if key is not None:
            monkeypatch.setenv(call.adapter.key_variable, key)
        with pytest.raises(CredentialMissing, match=call.adapter.key_variable):
            call()
        assert call.server.requests == []

    @pytest.mark.parametrize(
        "answer",
        [
            lambda a: a.error(401, f"Incorrect API key provided: {KEY}"),
            lambda a: a.error(500, f"header was Bearer {KEY}"),
            lambda a: Answer(502, f"<p>{KEY}</p>".encode(), content_type="text/html"),
            lambda a: Answer(body=f"not JSON {KEY}".encode()),
            lambda a: a.refusal(f"I will not say {KEY}"),
        ],
    )
    def test_is_in_no_error(self, call: Caller, answer: Answers) -> None:
        call.server.script(answer(call.adapter))
        error = call.failed()
        assert KEY not in str(error) + repr(error)
        assert KEY.encode() not in pickle.dumps(error)

    def test_is_in_no_representation(self, call: Caller) -> None:
        assert KEY not in repr(call.adapter.provider(call.server.root))


class TestPickling:
    @pytest.mark.parametrize("refusal", list(REFUSALS))
    def test_every_refusal(self, call: Caller, refusal: str) -> None:
        call.server.script(REFUSALS[refusal][0](call.adapter))
        error = call.failed()
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.retryable, again.retry_after_seconds) == (
            str(error),
            error.retryable,
            error.retry_after_seconds,
        )


class TestPool:
    def test_many_calls_at_once_share_connections(self, call: Caller) -> None:
        together = threading.Barrier(16, timeout=20)

        def all_here(received: object) -> Answer:
            together.wait()
            return call.adapter.text("here")

        call.server.script(otherwise=all_here)
        replies = call.many([call.request() for _ in range(16)], rounds=3)
        assert [reply.text for reply in replies] == ["here"] * 16
        assert len(call.server.requests) == 48
        assert len({received.port for received in call.server.requests}) == 16

    def test_one_instance_serves_one_loop_after_another(self, call: Caller) -> None:
        provider = call.adapter.provider(call.server.root)

        async def once() -> str:
            reply = await provider.complete(call.request("again"))
            await provider.close()
            return reply.text

        assert [asyncio.run(once()) for _ in range(3)] == ["again"] * 3

    def test_closed_loops_are_forgotten(self, call: Caller) -> None:
        provider = call.adapter.provider("http://127.0.0.1:1")

        async def refused() -> weakref.ref[asyncio.AbstractEventLoop]:
            with pytest.raises(ModelFailed):
                await provider.complete(call.request())
            return weakref.ref(asyncio.get_running_loop())

        first, second = asyncio.run(refused()), asyncio.run(refused())
        gc.collect()
        assert first() is None
        assert second() is not None  # its client is there yet: the check above can fail

    def test_one_instance_serves_loops_of_several_threads(self, call: Caller) -> None:
        provider = call.adapter.provider(call.server.root)
        texts: list[str] = []

        async def once(word: str) -> None:
            texts.append((await provider.complete(call.request(word))).text)
            await provider.close()

        threads = [threading.Thread(target=asyncio.run, args=(once(str(n)),)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(texts) == ["0", "1", "2", "3"]


def _succeeds_in_a_child(does: Callable[[], bool]) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if does() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_opens_connections_of_its_own(call: Caller) -> None:
    provider = call.adapter.provider(call.server.root)

    async def once() -> str:
        return (await provider.complete(call.request("hello"))).text

    async def before_and_after() -> tuple[str, bool, str]:
        before = await once()
        child = await asyncio.to_thread(_succeeds_in_a_child, lambda: asyncio.run(once()) == "hello")
        after = await once()
        await provider.close()
        return before, child, after

    assert asyncio.run(before_and_after()) == ("hello", True, "hello")
    parent, child, again = (received.port for received in call.server.requests)
    assert parent == again != child
