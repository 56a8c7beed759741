"""What is removed is gone: no key of it is left, and no folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid, RunNotFound
from orchestrator_client.contract.plan import Plan
from orchestrator_worker.process.tidying import Tidying
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet, plan_of_shape, python_step
from tests.fundamentals.families import child_step, drive, family, start, take
from tests.fundamentals.test_questions import ask, plan

SHARED = {"orc:runs", "orc:timetable", "orc:folders", "orc:audit", "orc:totals"}


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[InProcessFleet]:
    """Runs of it have folders of their own, as those of a real fleet."""
    fleet = InProcessFleet.on(redis_server.url, tmp_path / "{run}")
    yield fleet
    fleet.close()


def keys_of_runs(fleet: InProcessFleet) -> set[str]:
    """All keys but those of the whole fleet and of its pipelines, and the broker's."""
    keys = {key.decode() for key in fleet.redis.scan_iter(count=1000)}
    return {key for key in keys - SHARED if not key.startswith(("_kombu", "orc:pace:", "orc:history:"))}


def test_no_key_and_no_folder_of_a_run_is_left(fleet: InProcessFleet, tmp_path: Path) -> None:
    leaf = Plan(id="leaf", steps=(python_step("big", "tests.functions:big", 1),))
    run = fleet.client.submit(
        family(child_step("sub", "leaf"), python_step("large", "tests.functions:big", 1), leaf=leaf)
    )
    run.variables.set("note", "x" * 300_000)
    drive(fleet)
    forked = fleet.client.retry(run.id, ["sub"])
    drive(fleet)
    [child] = run.children()
    assert run.remove() == [run.id, child.run]
    with pytest.raises(RunNotFound):
        run.status()
    assert not {key for key in keys_of_runs(fleet) if run.id in key or child.run in key}
    assert forked.document().steps["large"].kept_from == run.id, "what another run keeps is its own"
    forked.remove()
    assert keys_of_runs(fleet) == set()
    assert fleet.client.runs() == []
    mine = tmp_path / "somebodys-folder"
    mine.mkdir()
    tidying = Tidying(fleet.engine.store, fleet.engine.config)
    assert {folder.name for folder in tidying.tidy()} == {run.id, forked.id}
    assert (list(tmp_path.iterdir()), tidying.tidy()) == ([mine], [])


def test_what_has_not_ended_stays(fleet: InProcessFleet) -> None:
    run = fleet.submit(plan(ask()))
    fleet.drain()
    with pytest.raises(InputsInvalid, match="has not ended: wait for it, or remove it with --force"):
        run.remove()
    with pytest.raises(InputsInvalid, match="has not ended"):
        run.remove(force_seconds=0)
    assert run.status().wish == "cancel"
    fleet.engine.scheduler.sweep()
    drive(fleet)
    assert run.remove(force_seconds=0) == [run.id]
    assert fleet.engine.scheduler.sweep() == []


def test_a_run_that_a_running_one_waits_for_stays(fleet: InProcessFleet) -> None:
    run = start(fleet, family(child_step("sub", "leaf"), leaf=plan_of_shape({"a": []})))
    message = take(fleet)
    assert message is not None
    fleet.deliver(message)
    [child] = run.children()
    fleet.client.run(child.run).cancel()
    fleet.engine.scheduler.start(child.run)
    with pytest.raises(InputsInvalid, match=f"was started by a step of {run.id}, which has not ended"):
        fleet.client.run(child.run).remove()


def test_a_removed_run_is_in_the_audit_log(fleet: InProcessFleet) -> None:
    run = fleet.client.submit(plan_of_shape({"a": []}))
    drive(fleet)
    run.remove()
    assert [entry.act for entry in fleet.client.audit(run.id)] == ["rm", "submit"]
    assert fleet.redis.exists(names.RunKeys(run.id).record) == 0
