"""What is garbage of one run fails that run, in words, and no other: repairs, leases and joins of the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import RecordsBroken
from orchestrator_client.contract.names import RunKeys
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.contract.run import RunState
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet, plan_of_shape

CHAIN = plan_of_shape({"a": [], "b": ["a"]})


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[InProcessFleet]:
    fleet = InProcessFleet.on(redis_server.url, tmp_path)
    yield fleet
    fleet.close()


def of_another_type(redis: Any, key: str) -> None:
    redis.delete(key)
    redis.set(key, "garbage", ex=600)


def no_instance(redis: Any, keys: RunKeys) -> None:
    redis.hset(keys.instances, "a", "not an instance at all")


def instances_of_another_type(redis: Any, keys: RunKeys) -> None:
    of_another_type(redis, keys.instances)


def receipts_of_another_type(redis: Any, keys: RunKeys) -> None:
    of_another_type(redis, keys.receipts)


def events_of_another_type(redis: Any, keys: RunKeys) -> None:
    of_another_type(redis, keys.events)


def no_number_of_open_instances(redis: Any, keys: RunKeys) -> None:
    redis.hset(keys.record, "open", "many")
    redis.zadd(names.TIMETABLE, {f"{keys.run}|": 1})


GARBAGE: tuple[Callable[[Any, RunKeys], None], ...] = (
    no_instance,
    instances_of_another_type,
    receipts_of_another_type,
    events_of_another_type,
    no_number_of_open_instances,
)


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: garbage.__name__)
def test_it_fails_its_run_and_the_others_are_repaired(
    fleet: InProcessFleet, garbage: Callable[[Any, RunKeys], None]
) -> None:
    broken, whole = fleet.submit(CHAIN), fleet.submit(CHAIN)
    # A worker took the step of the one and died; the message of the other is lost.
    fleet.engine.store.claim(broken.id, "a", 1, "dead", "dead", [])
    fleet.redis.delete(names.TOOL_QUEUE)
    garbage(fleet.redis, RunKeys(broken.id))
    for minutes in range(1, 10):
        fleet.set_clock(whole, minutes * 60_000)
        fleet.engine.scheduler.sweep()
        while (message := fleet.take(names.TOOL_QUEUE)) is not None:
            # A worker leaves a step whose records are broken to sweep.
            with suppress(RecordsBroken):
                fleet.deliver(message)
    assert fleet.finish(whole).success
    record = broken.status()
    assert record.state is RunState.FAILED
    assert record.error is not None
    assert record.error.type == "RecordsBroken"
    assert "submit it again" in record.error.message


def test_it_costs_no_other_its_lease(fleet: InProcessFleet) -> None:
    broken, whole = fleet.submit(CHAIN), fleet.submit(CHAIN)
    for run in (broken, whole):
        fleet.engine.store.claim(run.id, "a", 1, "token", "here", [])
    instances_of_another_type(fleet.redis, RunKeys(broken.id))
    assert fleet.engine.store.renew([(broken.id, "a", 1), (whole.id, "a", 1)]) == ["lost", "held"]


def test_whoever_waited_for_the_run_is_called_back(fleet: InProcessFleet) -> None:
    """A step that runs a pipeline ends when that one's records are lost."""
    child = Plan(id="child", steps=CHAIN.steps)
    step = Step(id="sub", kind=StepKind.CONTROL, uses="pipeline", child="child")
    run = fleet.submit(Plan(id="parent", steps=(step,), children={"child": child}))
    message = fleet.take(names.CONTROL_QUEUE)
    assert message is not None
    fleet.deliver(message)
    (started,) = run.children()
    fleet.redis.delete(names.CONTROL_QUEUE)
    fleet.engine.scheduler.start(started.run)
    no_instance(fleet.redis, RunKeys(started.run))
    fleet.set_clock(run, 60_000)
    fleet.engine.scheduler.sweep()
    while (message := fleet.take(names.CONTROL_QUEUE)) is not None:
        if message.task == names.STEP_TASK:
            fleet.deliver(message)
    fleet.engine.scheduler.close(run.id)
    assert run.status().state is RunState.FAILED
