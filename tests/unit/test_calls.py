"""The calls under way in one process: what they return, when they are stopped, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from orchestrator_client.contract.errors import StepCancelled, StepTimeout
from orchestrator_worker.process.calls import Calls, Interrupted, Key, calls
from tests.conftest import wait_until

KEY: Key = ("r", "i", 1)
LONG = 60.0
"""Seconds; nothing here waits that long unless stopping is broken."""


class InThread:
    """Run a function in a thread, as a pool does; calling it waits for what the function returned or raised."""

    def __init__(self, body: Callable[[], object]) -> None:
        self.ended: list[object] = []
        self.thread = threading.Thread(target=self._run, args=(body,), daemon=True)
        self.thread.start()

    def _run(self, body: Callable[[], object]) -> None:
        try:
            self.ended.append(body())
        except BaseException as error:  # noqa: BLE001 - what came out is what the test is about
            self.ended.append(error)

    def __call__(self) -> object:
        self.thread.join(20)
        assert not self.thread.is_alive(), "the call was not stopped"
        return self.ended[0]

    def waits_for_a_future(self) -> bool:
        """Whether it stands in `Future.result`, all that comes before done."""
        # A collection while it asks would wait for a lock that the asking holds, for ever, in some releases of 3.11.
        gc.disable()
        try:
            frame = sys._current_frames().get(self.thread.ident or 0)
        finally:
            gc.enable()
        while frame is not None and frame.f_code is not concurrent.futures.Future.result.__code__:
            frame = frame.f_back
        return frame is not None


def spin() -> None:
    """Python code that runs until it is stopped, in steps that a thread can be interrupted between."""
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        time.sleep(0.001)


def call(of: Calls, body: Callable[[], object] = spin, key: Key = KEY, seconds: float | None = None) -> object:
    with of.under_way(key, seconds):
        return body()


def call_when_entered(of: Calls, entered: threading.Event, body: Callable[[], object] = spin) -> object:
    with of.under_way(KEY, None):
        entered.set()
        return body()


@contextmanager
def beating(of: Calls) -> Iterator[None]:
    """What a worker's beat does, often."""
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(0.005):
            of.stop_overdue()

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


# --- coroutines ------------------------------------------------------------------------------------------------------


async def echo(value: object) -> object:
    await asyncio.sleep(0)
    return value


def test_a_coroutine_returns_its_result_with_and_without_a_call_around_it() -> None:
    of = Calls()
    assert of.run(echo(1)) == 1
    assert call(of, lambda: of.run(echo(2))) == 2


def test_what_a_coroutine_raises_passes_through() -> None:
    async def fail() -> None:
        raise KeyError("k")

    of = Calls()
    with pytest.raises(KeyError, match="k"):
        call(of, lambda: of.run(fail()))


def test_coroutines_of_many_threads_run_beside_each_other() -> None:
    of, all_there = Calls(), asyncio.Barrier(3)
    keys = [("r", str(at), 1) for at in range(3)]
    joins = [InThread(lambda key=key: call(of, lambda: of.run(all_there.wait(), LONG), key)) for key in keys]  # type: ignore[misc]
    assert sorted(str(join()) for join in joins) == ["0", "1", "2"]


def test_a_coroutine_that_takes_too_long_is_cancelled() -> None:
    left: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            left.append("cancelled")
            raise

    with pytest.raises(StepTimeout, match=r"timeout of 0\.05 s"):
        Calls().run(wait(), seconds=0.05)
    assert left == ["cancelled"]


def test_a_timeout_of_the_coroutines_own_is_not_taken_for_the_steps() -> None:
    async def fail() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        Calls().run(fail(), seconds=LONG)


def test_stopping_cancels_a_coroutine() -> None:
    of, started, left = Calls(), threading.Event(), threading.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.sleep(LONG)
        finally:
            left.set()

    join = InThread(lambda: call(of, lambda: of.run(wait())))
    assert started.wait(20)
    wait_until(join.waits_for_a_future, "the thread waits for its coroutine")
    of.stop(KEY, StepCancelled("the run was cancelled"))
    assert repr(join()) == repr(StepCancelled("the run was cancelled"))
    assert left.wait(20)


def test_stopping_cancels_a_coroutine_that_has_only_just_begun() -> None:
    """300 times, since the stop and the thread that has begun the coroutine race each other."""
    of, ended = Calls(), []

    async def stopped_at_once(key: Key) -> None:
        of.stop(key, StepCancelled("at once"))
        try:
            await asyncio.sleep(LONG)
            ended.append("ran on")
        except asyncio.CancelledError:
            ended.append("cancelled")

    def caller() -> None:
        for number in range(300):
            key = ("r", "i", number)
            with pytest.raises(StepCancelled):
                call(of, lambda key=key: of.run(stopped_at_once(key)), key)  # type: ignore[misc]

    assert InThread(caller)() is None
    wait_until(lambda: len(ended) == 300, "all coroutines have ended")
    assert set(ended) == {"cancelled"}


# --- plain functions -------------------------------------------------------------------------------------------------


def test_a_plain_function_returns_or_raises_as_it_does() -> None:
    of = Calls()
    assert call(of, lambda: 5, seconds=LONG) == 5
    with pytest.raises(ZeroDivisionError):
        call(of, lambda: 1 // 0, seconds=LONG)


def test_in_a_main_thread_a_timer_stops_a_function_even_one_that_sleeps() -> None:
    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(StepTimeout, match=r"timeout of 0\.05 s"):
        call(Calls(), lambda: time.sleep(LONG), seconds=0.05)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_timer_that_strikes_before_the_function_begins_leaves_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timer = signal.setitimer

    def dawdle(which: int, seconds: float) -> None:
        set_timer(which, seconds)
        if seconds:
            time.sleep(LONG)

    before = signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr(signal, "setitimer", dawdle)
    with pytest.raises(StepTimeout):
        call(Calls(), lambda: None, seconds=0.05)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_function_that_ends_in_time_leaves_no_timer() -> None:
    before = signal.getsignal(signal.SIGALRM)
    call(Calls(), lambda: None, seconds=LONG)
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)) == (before, (0.0, 0.0))


def test_in_a_thread_of_a_pool_the_beat_stops_what_is_overdue() -> None:
    of = Calls()
    with beating(of):
        late, endless = InThread(lambda: call(of, seconds=0.05)), threading.Event()
        other = InThread(lambda: call(of, endless.wait, ("r", "other", 1)))
        assert isinstance(late(), StepTimeout)
        endless.set()
        assert other() is True


def test_what_has_time_left_or_no_limit_is_not_overdue() -> None:
    of, go = Calls(), threading.Event()
    joins = [InThread(lambda s=s: call(of, go.wait, ("r", str(s), 1), s)) for s in (None, LONG)]  # type: ignore[misc]
    of.stop_overdue()
    go.set()
    assert [join() for join in joins] == [True, True]


def test_catching_every_exception_does_not_swallow_the_stop() -> None:
    of, entered = Calls(), threading.Event()

    def stubborn() -> None:
        while True:
            try:
                spin()
            except Exception:  # noqa: BLE001 - a tool that does so is the case
                continue

    join = InThread(lambda: call_when_entered(of, entered, stubborn))
    assert entered.wait(20)
    of.stop(KEY, StepCancelled("enough"))
    assert isinstance(join(), StepCancelled)


def test_stopping_runs_the_functions_own_cleaning_up() -> None:
    of, entered, cleaned = Calls(), threading.Event(), []

    def tidy() -> None:
        try:
            entered.set()
            spin()
        finally:
            cleaned.append(True)

    join = InThread(lambda: call(of, tidy))
    assert entered.wait(20)
    of.stop(KEY, StepCancelled("enough"))
    join()
    assert cleaned == [True]


def test_the_first_reason_counts() -> None:
    of, entered, go = Calls(), threading.Event(), threading.Event()
    join = InThread(lambda: call_when_entered(of, entered, go.wait))
    assert entered.wait(20)
    of.stop(KEY, StepTimeout("first"))
    of.stop(KEY, StepCancelled("second"))
    go.set()
    assert repr(join()) == repr(StepTimeout("first"))


def test_stop_all_stops_each() -> None:
    of, keys = Calls(), [("r", str(at), 1) for at in range(3)]
    # An event each: a stop could meet a thread on its way out of a barrier, between two acquisitions of its lock.
    entered = {key: threading.Event() for key in keys}

    def body(key: Key) -> None:
        entered[key].set()
        spin()

    joins = [InThread(lambda key=key: call(of, lambda: body(key), key)) for key in keys]  # type: ignore[misc]
    assert all(entered[key].wait(20) for key in keys)
    for key in keys:
        of.stop(key, StepCancelled("the worker stops"))
    assert {repr(join()) for join in joins} == {repr(StepCancelled("the worker stops"))}


@pytest.mark.parametrize("key", [("r", "i", 2), ("r", "j", 1), ("q", "i", 1)])
def test_stopping_what_is_not_under_way_does_nothing(key: Key) -> None:
    of, entered, go = Calls(), threading.Event(), threading.Event()
    join = InThread(lambda: call_when_entered(of, entered, go.wait))
    assert entered.wait(20)
    of.stop(key, StepCancelled("nobody"))
    go.set()
    assert join() is True
    of.stop(KEY, StepCancelled("over"))


# --- nothing is left behind ------------------------------------------------------------------------------------------


def test_a_stop_that_races_the_end_of_a_call_never_reaches_the_next() -> None:
    """300 calls on one thread, each stopped about when it ends: each ends well or is stopped, and the rest goes on."""
    of, ends, current = Calls(), [], [0]
    finished = threading.Event()

    def caller() -> None:
        for number in range(300):
            current[0] = number
            try:
                call(of, lambda: [None] * 50, ("r", "i", number))
                ends.append("ended")
            except StepCancelled:
                ends.append("stopped")
            sum(range(20))
        finished.set()

    join = InThread(caller)
    while not finished.is_set() and not join.ended:
        of.stop(("r", "i", current[0]), StepCancelled("racing"))
    assert join() is None
    assert len(ends) == 300


class KeyThatDawdles(tuple[str, str, int]):
    """Holds `stop` between having locked the calls and looking for this one, until the call has left its body."""

    def __new__(cls, key: Key, left: threading.Event, held: threading.Event) -> KeyThatDawdles:
        made = super().__new__(cls, key)
        made.left, made.held = left, held
        return made

    left: threading.Event
    held: threading.Event

    def __hash__(self) -> int:
        self.held.set()
        assert self.left.wait(20)
        return super().__hash__()


def test_a_stop_that_meets_a_call_on_its_way_out_stays_inside() -> None:
    of, ends = Calls(), []
    for _ in range(300):
        entered, held, left = threading.Event(), threading.Event(), threading.Event()

        def body(entered: threading.Event = entered, held: threading.Event = held, left: threading.Event = left) -> str:
            entered.set()
            held.wait(20)
            left.set()
            return "ended"

        join = InThread(lambda body=body: call(of, body))  # type: ignore[misc]
        assert entered.wait(20)
        of.stop(KeyThatDawdles(KEY, left, held), StepCancelled("late"))
        ends.append(join())
    assert not [end for end in ends if isinstance(end, Interrupted)]
    assert {type(end) for end in ends} <= {str, StepCancelled}


class LockThatDawdles:
    """Keeps the first that has let go of it from going on."""

    def __init__(self) -> None:
        self._lock, self.let_go, self.go_on = threading.Lock(), threading.Event(), threading.Event()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if not self.let_go.is_set():
            self.let_go.set()
            assert self.go_on.wait(20)


def test_a_stop_that_meets_a_call_on_its_way_in_stays_inside() -> None:
    of, lock = Calls(), LockThatDawdles()
    of._lock = lock  # type: ignore[assignment]
    join = InThread(lambda: call(of))
    assert lock.let_go.wait(20)
    of.stop(KEY, StepCancelled("early"))
    lock.go_on.set()
    assert repr(join()) == repr(StepCancelled("early"))


def test_after_a_stop_the_key_may_be_used_again() -> None:
    of = Calls()
    for _ in range(20):
        entered = threading.Event()
        join = InThread(lambda entered=entered: call_when_entered(of, entered))  # type: ignore[misc]
        assert entered.wait(20)
        of.stop(KEY, StepCancelled("again"))
        assert isinstance(join(), StepCancelled)
    assert call(of, lambda: 1) == 1


def test_a_process_has_one_register_of_calls() -> None:
    assert calls() is calls()
