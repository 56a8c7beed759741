"""Text as it comes: in order, whole, and never in the way of the call that writes it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_worker.process import deltas as deltas_module
from orchestrator_worker.process.deltas import Deltas
from orchestrator_worker.settings import Settings
from orchestrator_worker.store import Store, connect
from tests.conftest import RedisServer


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[Store]:
    config = Settings(redis_url=redis_server.url)
    store = Store(connect(config), config)
    yield store
    store.close()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        yield client


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever flushes waits until all was sent, however long the machine keeps the sender waiting."""
    monkeypatch.setattr(deltas_module, "FLUSH_SECONDS", 60.0)


def stored(client: Any, run: str) -> list[dict[str, str]]:
    return [fields for _, fields in client.xrange(names.RunKeys(run).deltas)]


def texts(client: Any, run: str, instance: str) -> list[str]:
    """Pieces of one instance, in the order of the stream."""
    return [fields["text"] for fields in stored(client, run) if fields["instance"] == instance]


def writers() -> int:
    return sum(thread.name == "deltas" for thread in threading.enumerate())


def test_pieces_arrive_in_order_and_are_there_once_it_was_flushed(store: Store, client: Any) -> None:
    writing = Deltas(store).of("r_1", "ask", 2)
    pieces = [f"{number} " for number in range(500)]
    for piece in pieces:
        writing(piece)
    writing.flush()
    assert texts(client, "r_1", "ask") == pieces
    fields = stored(client, "r_1")
    assert {one["attempt"] for one in fields} == {"2"}
    assert [int(one["seq"]) for one in fields] == list(range(1, 501))


def test_runs_and_instances_do_not_mix(store: Store, client: Any) -> None:
    deltas = Deltas(store)
    writings = {(run, step): deltas.of(run, step, 1) for run in ("r_1", "r_2") for step in ("a", "b")}
    for number in range(50):
        for (run, step), writing in writings.items():
            writing(f"{run}{step}{number}")
    for writing in writings.values():
        writing.flush()
    for run, step in writings:
        assert texts(client, run, step) == [f"{run}{step}{number}" for number in range(50)]


def test_all_writings_of_a_process_share_one_thread(store: Store) -> None:
    before = writers()
    deltas = Deltas(store)
    for number in range(20):
        deltas.of("r_1", f"s{number}", 1).flush()
    assert writers() == before + 1


class Slow:
    """A store that takes its time, or is away."""

    def __init__(self, error: Exception | None = None) -> None:
        self.answers, self.begun, self.error = threading.Event(), threading.Event(), error
        self.batches: list[list[str]] = []

    def write_deltas(self, run: str, pieces: list[tuple[str, int, int, str]]) -> None:
        self.begun.set()
        assert self.answers.wait(60)
        self.batches.append([text for *_, text in pieces])
        if self.error is not None:
            raise self.error


def test_writing_never_waits_and_what_comes_meanwhile_is_sent_together() -> None:
    slow = Slow()
    writing = Deltas(slow).of("r_1", "ask", 1)  # type: ignore[arg-type]
    writing("first")
    assert slow.begun.wait(60)
    began = time.monotonic()
    for number in range(1000):
        writing(str(number))
    assert time.monotonic() - began < 30.0
    assert slow.batches == []
    slow.answers.set()
    writing.flush()
    assert slow.batches[0] == ["first"]
    assert slow.batches[1] == [str(number) for number in range(1000)]


def test_a_call_that_ended_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deltas_module, "FLUSH_SECONDS", 0.1)
    slow = Slow()
    writing = Deltas(slow).of("r_1", "ask", 1)  # type: ignore[arg-type]
    writing("x")
    began = time.monotonic()
    writing.flush()
    assert 0.1 <= time.monotonic() - began < 30.0
    assert slow.batches == []
    slow.answers.set()


def test_a_store_that_is_away_costs_the_reader_text_and_the_writer_nothing(caplog: pytest.LogCaptureFixture) -> None:
    away = Slow(StoreUnavailable("Redis did not answer"))
    away.answers.set()
    writing = Deltas(away).of("r_1", "ask", 1)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        writing("lost")
        writing.flush()
    assert any("Redis did not answer" in record.getMessage() for record in caplog.records)
    away.error = None
    writing("shown")
    writing.flush()
    assert away.batches[-1] == ["shown"]
