"""Progress of calls: at once, then not more often than is of use, and never of an attempt that is over."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_worker.process.reports import MESSAGE_CHARACTERS, Reports
from orchestrator_worker.tools.base import ToolContext
from tests.conftest import wait_until
from tests.fleet import InProcessFleet, plan_of_shape


@dataclass
class Recorder:
    """In the place of a store: takes what is sent, when it is let."""

    sent: list[tuple[str, Any]] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    let: threading.Event = field(default_factory=threading.Event)
    away: bool = False

    def report_progress(self, run: str, instance: str, attempt: int, said: Any) -> bool:
        self.begun.set()
        assert self.let.wait(60)
        if self.away:
            raise StoreUnavailable("gone")
        self.sent.append((instance, said))
        return True


@pytest.fixture
def store() -> Recorder:
    return Recorder()


def last(store: Recorder, instance: str) -> Any:
    return next((said for name, said in reversed(store.sent) if name == instance), None)


def test_a_chatty_tool_sends_its_first_and_its_last(store: Recorder) -> None:
    reporter = Reports(store, every_seconds=0.0).of("r", "s", 1)  # type: ignore[arg-type]
    reporter(0.0, "step 0")
    assert store.begun.wait(60)
    for number in range(1, 10_000):
        reporter(number / 10_000, f"step {number}")
    store.let.set()
    wait_until(lambda: last(store, "s") == {"fraction": 0.9999, "message": "step 9999"}, "the last was sent")
    assert len(store.sent) == 2


def test_a_second_event_waits_for_its_time_and_other_calls_do_not_wait_for_it(store: Recorder) -> None:
    store.let.set()
    reports = Reports(store, every_seconds=3600)  # type: ignore[arg-type]
    first, other = reports.of("r", "first", 1), reports.of("r", "other", 1)
    first(0.1, "")
    wait_until(lambda: last(store, "first"), "the first report was sent")
    first(0.2, "")
    other(None, "here")
    wait_until(lambda: last(store, "other"), "the other call's report was sent")
    assert store.sent == [("first", {"fraction": 0.1}), ("other", {"message": "here"})]


def test_a_store_that_is_away_loses_a_report_and_no_more(store: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    store.let.set()
    store.away = True
    reports = Reports(store, every_seconds=0.0)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        reports.of("r", "a", 1)(0.1, "")
        wait_until(lambda: caplog.records, "the loss was logged")
    store.away = False
    reports.of("r", "b", 1)(0.2, "x" * 10_000)
    wait_until(lambda: store.sent, "the next one was sent")
    assert store.sent == [("b", {"fraction": 0.2, "message": "x" * MESSAGE_CHARACTERS})]


@pytest.mark.parametrize(
    ("given", "told"), [(0.5, 0.5), (7, 1.0), (-1, 0.0), (float("nan"), None), (float("inf"), 1.0), (None, None)]
)
def test_a_fraction_is_from_0_to_1(tmp_path: Any, given: float | None, told: float | None) -> None:
    said: list[Any] = []
    context = ToolContext("r", "s", 1, tmp_path, on_progress=lambda fraction, message: said.append((fraction, message)))
    context.progress(given, "m")
    assert said == [(told, "m")]


def test_nobody_need_listen(tmp_path: Any) -> None:
    ToolContext("r", "s", 1, tmp_path).progress(0.5)


def test_only_the_attempt_that_holds_its_instance_is_heard(redis_server: Any, tmp_path: Any) -> None:
    fleet = InProcessFleet.on(redis_server.url, tmp_path)
    run = fleet.submit(plan_of_shape({"s": []}))
    store = fleet.engine.store
    assert not store.report_progress(run.id, "s", 1, {"fraction": 0.1})  # not claimed yet
    store.claim(run.id, "s", 1, "token", "w", [])
    assert store.report_progress(run.id, "s", 1, {"fraction": 0.5, "message": "half"})
    assert not store.report_progress(run.id, "s", 2, {"fraction": 0.6})
    assert not store.report_progress(run.id, "no-such-step", 1, {"fraction": 0.6})
    events = [fields for _, fields in fleet.redis.xrange(names.RunKeys(run.id).events)]
    told = [fields for fields in events if fields[b"kind"] == b"step_progress"]
    assert [fields[b"data"] for fields in told] == [b'{"fraction": 0.5, "message": "half"}']
    fleet.close()
