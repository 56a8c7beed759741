"""A webhook on a real fleet, one of whose workers is killed while it tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_client.contract import names
from tests.conftest import wait_until
from tests.fundamentals.test_webhooks import PLAN, Receiver
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("webhooks")


def test_a_worker_is_killed_between_the_request_and_its_record(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.held.clear()
    with StandingFleet(tmp_path) as fleet:
        settings = {"beat_seconds": 0.2, "allow_hosts": "127.0.0.1"}
        first = fleet.start_worker("w1", "-c", "1", **settings)
        run = fleet.client.submit(PLAN, webhook=receiver.url)
        wait_until(lambda: receiver.told, "the request has come", 60)
        first.kill()
        receiver.held.set()
        assert run.status().delivery == "waiting"
        fleet.start_worker("w2", "-c", "1", **settings)
        fleet.redis.set(names.CLOCK, (run.status().ended_ms or 0) + 90_000)
        wait_until(lambda: run.status().delivery == "delivered", "the second worker has told it", 60)
        fleet.redis.delete(names.CLOCK)
    assert {headers["orchestrator-delivery"] for headers, _ in receiver.told} == {run.id}
    assert [headers["orchestrator-attempt"] for headers, _ in receiver.told] == ["1", "2"]
    receiver.server.shutdown()
    receiver.server.server_close()
