"""Plain functions that a coroutine waits for, each in a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time

import pytest

from orchestrator_worker.tools.thread import in_thread
from tests.conftest import wait_until

NAME = contextvars.ContextVar("NAME", default="")


def test_what_it_returns_is_returned_and_its_context_is_the_callers() -> None:
    async def scenario() -> tuple[str, bool]:
        NAME.set("caller")
        return await in_thread(lambda: (NAME.get(), threading.current_thread() is threading.main_thread()))

    assert asyncio.run(scenario()) == ("caller", False)


@pytest.mark.parametrize("error", [ValueError("x"), StopIteration(), SystemExit(3), KeyboardInterrupt()])
def test_what_it_raises_is_raised(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def scenario() -> BaseException | None:
        try:
            await in_thread(fail)
        except BaseException as raised:  # noqa: BLE001 - whatever it is, it must be the very one
            # Python makes a RuntimeError of a StopIteration that leaves a coroutine.
            return raised.__cause__ if isinstance(error, StopIteration) else raised
        return None

    assert asyncio.run(scenario()) is error


def test_a_call_that_is_given_up_ends_and_keeps_nobody_waiting() -> None:
    started, ended, stuck = threading.Event(), threading.Event(), threading.Event()

    def spin() -> None:
        try:
            started.set()
            while True:
                time.sleep(0.001)
        finally:
            ended.set()

    async def scenario() -> None:
        hangs = asyncio.ensure_future(in_thread(stuck.wait))
        spins = asyncio.ensure_future(in_thread(spin))
        await in_thread(started.wait)
        for task in (hangs, spins):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(scenario())
    assert ended.wait(20)
    stuck.set()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "tool"], "no thread is left")
