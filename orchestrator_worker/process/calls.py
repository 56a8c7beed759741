"""The calls that this process has under way: each with its deadline, and a way to stop it.

Coroutines run on one event loop a process, in a thread of its own, where stopping is cancellation. A plain function
runs where it was called. In a process's main thread a timer interrupts it; in a thread of a pool an exception is
raised in it, which takes effect when the function next executes Python: one that waits inside C notices late.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeVar

from orchestrator_client.contract.errors import StepError, StepTimeout
from orchestrator_worker.process.interruption import Interrupted, raise_in

T = TypeVar("T")

STOP_SIGNAL = signal.SIGUSR2
"""Tells a process to stop the call that is under way in its main thread."""

Key = tuple[str, str, int]
"""Run, instance, attempt."""


@dataclass(slots=True)
class UnderWay:
    """One call."""

    thread: int
    deadline: float | None
    """By the monotonic clock."""
    stopped_by: StepError | None = None
    awaiting: bool = False
    """Its thread waits for the loop: it is stopped there, and nothing is raised in the thread."""
    future: concurrent.futures.Future[Any] | None = field(default=None)


class Calls:
    """The calls of one process."""

    def __init__(self) -> None:
        self._under_way: dict[Key, UnderWay] = {}
        self._current = threading.local()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def under_way(self, key: Key, seconds: float | None) -> Iterator[None]:
        """Everything in this block is one call, stopped when its time is up or somebody asks.

        Raises:
            StepTimeout, StepCancelled: the call was stopped.
        """
        call = UnderWay(threading.get_ident(), time.monotonic() + seconds if seconds else None)
        try:
            try:
                # A stop may come as soon as the call is in the register.
                with self._lock:
                    self._under_way[key] = call
                self._current.call = call
                with _alarm(seconds):
                    yield
            finally:
                self._leave(key, call)
        except Interrupted:
            self._leave(key, call)  # a stop may also arrive while the call is on its way out
            raise (call.stopped_by or _timeout(seconds)) from None

    def _leave(self, key: Key, call: UnderWay) -> None:
        """End a call: nobody can stop it any more, and a stop that it has not met yet is taken back."""
        self._current.call = None
        with self._lock:
            self._under_way.pop(key, None)
            if call.stopped_by is not None:
                raise_in(call.thread, None)

    def run(self, coroutine: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Run a coroutine on the loop, from within `under_way`, and wait for what it returns.

        Raises:
            StepTimeout: it took longer than `seconds`.
        """
        call: UnderWay = getattr(self._current, "call", None) or UnderWay(threading.get_ident(), None)
        with self._lock:
            call.awaiting = True
        future = asyncio.run_coroutine_threadsafe(_within(coroutine, seconds), self._running_loop())
        try:
            with self._lock:
                call.future = future
                if call.stopped_by is not None:
                    future.cancel()
            return future.result()
        except concurrent.futures.CancelledError:
            raise Interrupted from None
        except BaseException:
            future.cancel()
            raise
        finally:
            with self._lock:
                call.future, call.awaiting = None, False

    async def beside(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The same from within a coroutine, whatever loop that is on; it is cancelled with it."""
        loop = self._running_loop()
        if asyncio.get_running_loop() is loop:
            return await coroutine
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))

    def stop(self, key: Key, reason: StepError) -> None:
        """Stop a call of this process; nothing if it is over."""
        with self._lock:
            call = self._under_way.get(key)
            if call is None or call.stopped_by is not None:
                return
            call.stopped_by = reason
            if call.future is not None:
                call.future.cancel()
            elif not call.awaiting:
                raise_in(call.thread, Interrupted)

    def stop_overdue(self) -> None:
        """Stop the calls whose time is up: for threads of a pool, which no timer interrupts."""
        now = time.monotonic()
        with self._lock:
            overdue = [key for key, call in self._under_way.items() if call.deadline and call.deadline < now]
        for key in overdue:
            self.stop(key, StepTimeout("the step took longer than its timeout"))

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="calls", daemon=True).start()
            return self._loop


async def _within(coroutine: Coroutine[Any, Any, T], seconds: float | None) -> T:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await coroutine
    except TimeoutError:
        if limit.expired():
            raise _timeout(seconds) from None
        raise


def _timeout(seconds: float | None) -> StepTimeout:
    return StepTimeout(f"the step took longer than its timeout of {seconds:g} s" if seconds else "the step was stopped")


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    """In a main thread, raise `Interrupted` when the time is up, or this process is told to stop what it does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGALRM, STOP_SIGNAL)}
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds or 0.0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)


_calls: dict[int, Calls] = {}


def calls() -> Calls:
    """The calls of this process. A fork begins with none: threads and loops do not survive it."""
    return _calls.setdefault(os.getpid(), Calls())
