"""Pages of runs are read in few round trips, and none is lost or shown twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Plan
from orchestrator_client.flower.listing import Lists, Wanted
from orchestrator_client.store import Connection
from orchestrator_client.store.pages import PageStore, Place
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet, plan_of_shape, python_step


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[InProcessFleet]:
    fleet = InProcessFleet.on(redis_server.url, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
def store(fleet: InProcessFleet) -> PageStore:
    return PageStore(Connection(fleet.client.url, actor=""))


@contextmanager
def trips_of(store: PageStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Counts how often something is sent: a pipeline is one round trip. What looks after a connection that has been
    idle is none."""
    store.connection.redis.ping()
    sent: list[int] = []
    send = redis.connection.AbstractConnection.send_packed_command

    def counted(self: Any, command: Any, check_health: bool = True) -> Any:
        if check_health:
            sent.append(1)
        return send(self, command, check_health)

    with monkeypatch.context() as patched:
        patched.setattr(redis.connection.AbstractConnection, "send_packed_command", counted)
        yield sent


def test_a_page_of_a_run_is_one_round_trip_and_its_news_is_another(
    fleet: InProcessFleet, store: PageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fleet.submit(plan_of_shape({f"s{number}": [] for number in range(60)}))
    fleet.finish(run)
    with trips_of(store, monkeypatch) as trips:
        whole = store.whole(run.id)
    assert (len(whole.now.receipts), len(trips)) == (60, 1)
    with trips_of(store, monkeypatch) as trips:
        store.now(run.id, ["s1", "s2"])
    assert len(trips) == 1


def test_a_page_of_the_list_is_two_round_trips_and_a_third_for_what_runs_cost(
    fleet: InProcessFleet, store: PageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(60):
        fleet.submit(Plan(id="p", steps=(python_step("only"),)))
    lists = Lists(store)
    with trips_of(store, monkeypatch) as trips:
        assert len(lists.page(Wanted()).runs) == 50
    assert len(trips) == 3
    with trips_of(store, monkeypatch) as trips:
        lists.page(Wanted())
    assert len(trips) == 2


def test_runs_of_one_millisecond_are_neither_lost_nor_shown_twice(fleet: InProcessFleet, store: PageStore) -> None:
    runs = [fleet.submit(Plan(id="p", steps=(python_step("only"),))).id for _ in range(9)]
    for run in runs:
        fleet.redis.zadd(names.RUNS, {run: 1_700_000_000_000})
    found: list[str] = []
    place: Place | None = None
    while page := store.runs(place, 2):
        found += [run.record.run for run in page]
        place = page[-1].place
    assert found == sorted(runs, reverse=True)


def test_a_list_ends_where_nothing_more_matches(fleet: InProcessFleet, store: PageStore) -> None:
    for number in range(3):
        fleet.submit(Plan(id=f"p{number}", steps=(python_step("only"),)))
    listing = Lists(store).page(Wanted(pipeline="p1"))
    assert ([run["pipeline"] for run in listing.runs], listing.next, listing.read) == (["p1"], None, 3)
