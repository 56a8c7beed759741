"""A store that is away: real workers wait for it, lose nothing, call nothing a failure, and need nobody.

Each fault is armed while steps run, so that results are computed that cannot be recorded, and lasts longer than every
timeout of a socket. `STORE_FAULTS=all` has the rest of them, `FAULT_SECONDS=120` the longest partition.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client.client import Client
from orchestrator_client.contract.event import EventKind
from orchestrator_client.contract.plan import OnLost, Plan
from tests.conftest import wait_until
from tests.fault_proxy import FaultProxy
from tests.fleet import WorkerProcess, python_step
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("store_faults")

FAULT_SECONDS = float(os.environ.get("FAULT_SECONDS", "4"))


class ProxiedFleet(StandingFleet):
    """Its workers reach the store through a network that fails."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, append_only=True)
        self.proxy = FaultProxy(folder / "redis.sock")
        self.workers: list[WorkerProcess] = []
        self.gate = folder / "gate"

    @property
    def begun(self) -> int:
        """How many steps have started."""
        return sum(line.startswith("+") for line in self.ledger())

    def work(self) -> Plan:
        """Six steps that must not be done twice, on four slots, and one that waits for all of them; before the gate is
        there, none ends."""
        names, folder, gate = [f"s{i}" for i in range(6)], str(self.folder), str(self.gate)
        steps = [
            python_step(name, "tests.functions:mark_until", folder, name, gate, on_lost=OnLost.FAIL) for name in names
        ]
        return Plan(id="work", steps=(*steps, python_step("join", after=tuple(names), on_lost=OnLost.FAIL)))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedFleet]:
    fleet = ProxiedFleet(tmp_path_factory.mktemp("faults"))
    with fleet, fleet.proxy:
        direct, fleet.url = fleet.url, fleet.proxy.redis_url
        for name, pool in (("processes", "prefork"), ("threads", "threads")):
            # A worker that the machine holds up is not to be taken for dead by the other one.
            fleet.workers.append(fleet.start_worker(name, "-c", "2", "--pool", pool, lease_seconds=60))
        fleet.url = direct
        yield fleet


Fault = Callable[[ProxiedFleet], Any]


@contextmanager
def killed(fleet: ProxiedFleet) -> Iterator[None]:
    fleet.server.wait_until_written()
    fleet.server.kill()
    yield
    fleet.server.start()


@contextmanager
def demoted(fleet: ProxiedFleet) -> Iterator[None]:
    fleet.redis.replicaof("127.0.0.1", "1")
    yield
    fleet.redis.replicaof("NO", "ONE")


@contextmanager
def full(fleet: ProxiedFleet) -> Iterator[None]:
    fleet.redis.config_set("maxmemory", 1)
    yield
    fleet.redis.config_set("maxmemory", 0)


@contextmanager
def busy(fleet: ProxiedFleet) -> Iterator[None]:
    fleet.redis.config_set("lua-time-limit", 100)

    def hold() -> None:
        with redis.Redis.from_url(fleet.url) as client, pytest.raises(redis.ResponseError, match="killed"):
            client.eval("while true do end", 0)

    holding = threading.Thread(target=hold)
    holding.start()
    yield
    fleet.redis.script_kill()
    holding.join()


@contextmanager
def stopped(fleet: ProxiedFleet) -> Iterator[None]:
    assert fleet.server.process is not None
    fleet.server.process.send_signal(signal.SIGSTOP)
    yield
    fleet.server.process.send_signal(signal.SIGCONT)


@contextmanager
def partitioned(fleet: ProxiedFleet) -> Iterator[None]:
    fleet.proxy.black_hole()
    yield
    fleet.proxy.heal()


@contextmanager
def forgotten(fleet: ProxiedFleet) -> Iterator[None]:
    fleet.proxy.black_hole()
    yield
    fleet.proxy.heal(forget=True)


@contextmanager
def refused(fleet: ProxiedFleet) -> Iterator[None]:
    fleet.proxy.refuse()
    yield
    fleet.proxy.heal()


FAULTS: tuple[Fault, ...] = (killed, demoted, full, forgotten)
if os.environ.get("STORE_FAULTS") == "all":
    FAULTS += (busy, stopped, partitioned, refused)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_was_away_costs_nothing_but_time(fleet: ProxiedFleet, fault: Fault) -> None:
    for left in (fleet.folder / "ledger", fleet.gate):
        left.unlink(missing_ok=True)
    with Client(fleet.url) as client:
        run = client.submit(fleet.work())
        wait_until(lambda: fleet.begun == 4, "all slots are taken")
        with fault(fleet):
            fleet.gate.touch()
            time.sleep(FAULT_SECONDS)
        healed = time.monotonic()
        wait_until(lambda: fleet.begun > 4, "a step starts")
        print(f"{fault.__name__}: the first step {time.monotonic() - healed:.1f} s after the heal")
        document = run.result(timeout=60)
        assert document.status == "completed", document
        assert Counter(fleet.ledger()) == {f"{sign}s{i}": 1 for sign in "+-" for i in range(6)}
        ends = Counter(event.instance for event in run.stream() if event.kind is EventKind.STEP_SUCCEEDED)
        assert ends == Counter(["join", *(f"s{i}" for i in range(6))])
    assert [worker.process.poll() for worker in fleet.workers] == [None, None]
