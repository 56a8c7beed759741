"""The beat: it goes on whatever its duties do, and ends when it is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_worker.process import daemon
from orchestrator_worker.process.beat import Beat
from tests.conftest import wait_until


class Duty:
    """Counts its calls, and raises each time if it is given an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls, self.error = 0, error
        self.__name__ = "duty"

    def __call__(self) -> None:
        self.calls += 1
        if self.error:
            raise self.error

    def comes_round(self) -> None:
        """Wait for three calls more."""
        enough = self.calls + 3
        wait_until(lambda: self.calls >= enough, "the beat comes round")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops a beat waits until its thread has ended, however long the machine keeps that waiting."""
    monkeypatch.setattr(daemon, "STOP_SECONDS", 60.0)


@pytest.fixture
def started() -> Iterator[list[Beat]]:
    """Beats that are stopped again."""
    beats: list[Beat] = []
    yield beats
    for beat in beats:
        beat.stop()


def beat_of(started: list[Beat], *duties: Duty, seconds: float = 0.005) -> Beat:
    beat = Beat(seconds, duties)
    beat.start()
    started.append(beat)
    return beat


def test_every_duty_is_done_again_and_again(started: list[Beat]) -> None:
    first, second = Duty(), Duty()
    beat_of(started, first, second)
    second.comes_round()
    assert first.calls >= second.calls


def test_a_duty_that_raises_ends_neither_the_beat_nor_the_round(
    started: list[Beat], caplog: pytest.LogCaptureFixture
) -> None:
    broken, behind = Duty(ZeroDivisionError("by zero")), Duty()
    beat_of(started, broken, behind)
    broken.comes_round()
    behind.comes_round()
    said = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert "duty failed" in said.getMessage()
    assert said.exc_info is not None
    assert said.exc_info[0] is ZeroDivisionError


def test_a_store_that_is_away_is_a_warning_without_a_traceback(
    started: list[Beat], caplog: pytest.LogCaptureFixture
) -> None:
    away = Duty(StoreUnavailable("no answer"))
    beat_of(started, away)
    away.comes_round()
    assert {(record.levelno, record.exc_info) for record in caplog.records} == {(logging.WARNING, None)}
    assert "no answer" in caplog.text


def test_stopping_ends_it_after_the_round_under_way() -> None:
    entered, behind = threading.Event(), Duty()

    def slow() -> None:
        entered.set()
        assert beat._stopped.wait(60), "nobody stops the beat"

    beat = Beat(0.005, (slow, behind))
    beat.start()
    assert entered.wait(60)
    beat.stop()
    assert behind.calls == 1
    assert "beat" not in {thread.name for thread in threading.enumerate()}


def test_stopping_does_not_wait_for_the_next_beat() -> None:
    idle = Duty()
    beat = Beat(3600.0, (idle,))
    beat.start()
    beat.stop()
    assert idle.calls == 0
    assert "beat" not in {thread.name for thread in threading.enumerate()}
