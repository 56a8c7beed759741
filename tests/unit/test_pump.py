"""The pump: how long it waits, what wakes it, and what it outlives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_worker.process import daemon
from orchestrator_worker.process import pump as pump_module
from orchestrator_worker.process.pump import LONGEST_SECONDS, Pump
from orchestrator_worker.settings import Settings
from orchestrator_worker.store import Store, connect
from tests.conftest import RedisServer, wait_until

Wake = Callable[[], object]


@dataclass
class Promotions:
    """What stands for `promote`: notes when it is called, and says or raises what it is told to."""

    says: Callable[[int], float | None]
    at: list[float] = field(default_factory=list)
    """Seconds, monotonic, of each call."""

    def __call__(self) -> float | None:
        self.at.append(time.monotonic())
        return self.says(len(self.at))


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[Store]:
    config = Settings(redis_url=redis_server.url)
    store = Store(connect(config), config)
    yield store
    store.close()


@pytest.fixture
def wake(redis_server: RedisServer) -> Iterator[Wake]:
    """Says that something may be due earlier."""
    with redis.Redis.from_url(redis_server.url) as client:

        def publish() -> None:
            client.publish(names.WAKE, "")
            client.ping()  # Redis may answer whoever publishes before it sends: what comes next is answered behind it

        yield publish


@contextmanager
def pumping(store: Store, promotions: Promotions, wake: Wake) -> Iterator[Pump]:
    """A pump at work; in the end it is woken, so that it hears at once that it is to stop."""
    pump = Pump(store, promotions)
    pump.start()
    try:
        yield pump
    finally:
        stopping = threading.Thread(target=pump.stop)
        stopping.start()

        def woken() -> bool:
            wake()
            return not stopping.is_alive()

        wait_until(woken, "the pump has stopped", seconds=60)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops a pump waits until its thread has ended, however long the machine keeps that waiting."""
    monkeypatch.setattr(daemon, "STOP_SECONDS", 60.0)


def pumps() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pump"]


def test_it_looks_again_when_something_is_due(store: Store, wake: Wake) -> None:
    promotions = Promotions(lambda _: 0.05)
    with pumping(store, promotions, wake):
        wait_until(lambda: len(promotions.at) >= 5, "it looked five times")
    assert promotions.at[4] - promotions.at[0] >= 0.15


@pytest.mark.parametrize("due_seconds", [None, 3600.0])
def test_it_looks_again_after_a_while_whatever_it_was_told(store: Store, wake: Wake, due_seconds: float | None) -> None:
    promotions = Promotions(lambda _: due_seconds)
    with pumping(store, promotions, wake):
        wait_until(lambda: len(promotions.at) >= 3, "it looked three times")
    # The first wait is cut short by the confirmation that it listens.
    assert promotions.at[2] - promotions.at[1] >= LONGEST_SECONDS * 0.8


def test_it_is_woken(store: Store, wake: Wake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "LONGEST_SECONDS", 60.0)
    promotions = Promotions(lambda _: None)
    with pumping(store, promotions, wake):
        for looks in (1, 2, 3):
            wait_until(lambda looks=looks: len(promotions.at) >= looks, f"it looked for the {looks}. time")  # type: ignore[misc]
            wake()
        wait_until(lambda: len(promotions.at) >= 4, "it was woken")


def test_what_it_hears_while_it_looks_is_not_lost(store: Store, wake: Wake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "LONGEST_SECONDS", 60.0)

    def promote(looks: int) -> None:
        if looks == 2:
            wake()

    promotions = Promotions(promote)
    with pumping(store, promotions, wake):
        wait_until(lambda: len(promotions.at) >= 3, "it looked once more")


def test_a_hundred_wakes_are_one(store: Store, wake: Wake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "LONGEST_SECONDS", 60.0)

    def promote(looks: int) -> float | None:
        if looks == 2:
            for _ in range(100):
                wake()
        return 0.3 if looks == 3 else None

    promotions = Promotions(promote)
    with pumping(store, promotions, wake):
        wait_until(lambda: len(promotions.at) >= 4, "it looked when it was due")
    # All were heard by the second wait: had one been left over, it would have cut the third one short.
    assert promotions.at[3] - promotions.at[2] >= 0.25


@pytest.mark.parametrize("error", [StoreUnavailable("Redis did not answer"), RuntimeError("a mistake")])
def test_a_bad_round_is_told_and_not_the_last(
    store: Store, wake: Wake, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(pump_module, "AFTER_FAILURE_SECONDS", 0.05)

    def fail_first(looks: int) -> float:
        if looks == 1:
            raise error
        return 0.01

    promotions = Promotions(fail_first)
    with caplog.at_level(logging.WARNING), pumping(store, promotions, wake):
        wait_until(lambda: len(promotions.at) >= 3, "it went on")
    assert promotions.at[1] - promotions.at[0] >= 0.04
    told = [f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records]
    assert [str(error) in words for words in told].count(True) == 1


def test_it_stops(store: Store, wake: Wake) -> None:
    promotions = Promotions(lambda _: 0.01)
    with pumping(store, promotions, wake):
        wait_until(lambda: promotions.at, "it looked")
    looked = len(promotions.at)
    assert pumps() == []
    assert len(promotions.at) == looked
