"""How every provider keeps connections: deadlines, hang-ups, pools, loops, threads and forked processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import weakref
from collections.abc import Callable

import pytest

from orchestrator_client.contract.errors import FailureKind, ModelFailed
from tests.conformance.caller import SuiteCaller as Caller
from tests.conformance.model_server import HELD_SECONDS, Answer


def failed_in_time(call: Caller) -> tuple[ModelFailed, float]:
    """How a call that had reached the server failed, and after how many seconds: a busy machine is slow to send."""
    for seconds in (0.5, 2.0, 8.0, 32.0):
        error = call.failed(seconds=seconds)
        if call.server.requests:
            return error, seconds
    raise AssertionError("no request reached the server")


class TestUnreachable:
    def test_no_answer_in_time(self, call: Caller) -> None:
        call.server.script(otherwise=lambda _: call.adapter.text("late", delay_seconds=HELD_SECONDS))
        error, seconds = failed_in_time(call)
        assert f"{seconds:g} s" in str(error)
        assert (error.kind, error.retryable) == (FailureKind.TIMEOUT, True)
        call.server.wait_until(lambda server: server.hangups >= len(server.requests), "the late exchange is closed")

    def test_an_answer_that_drips(self, call: Caller) -> None:
        call.server.script(otherwise=lambda _: call.adapter.text("late", drip_seconds=0.1))
        error, seconds = failed_in_time(call)
        assert f"{seconds:g} s" in str(error)
        call.server.wait_until(lambda server: server.hangups >= len(server.requests), "the dripping exchange is closed")

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
        assert (error.kind, error.retryable) == (FailureKind.CONNECTION, True)

    def test_nobody_listens(self, call: Caller) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            host = f"127.0.0.1:{unused.getsockname()[1]}"
            error = call.failed(root=f"http://{host}")
        assert (error.kind, error.retryable) == (FailureKind.CONNECTION, True)
        assert host in str(error)

    def test_a_url_without_a_scheme_is_a_mistake_that_stays(self, call: Caller) -> None:
        error = call.failed(root="127.0.0.1")
        assert (error.kind, error.retryable) == (FailureKind.UNSENT, False)


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


class TestPool:
    def test_many_calls_at_once_share_connections(self, call: Caller) -> None:
        together = threading.Barrier(16, timeout=60)

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
