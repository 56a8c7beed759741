"""What every release has left is read by this code as it was read then, and what was open comes to its end."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client.client import Client
from orchestrator_client.contract.plan import Plan
from tests.conftest import RedisServer
from tests.upgrade import scene
from tests.upgrade.dump import restore
from tests.upgrade.fields import broken, fields_now
from tests.upgrade.releases import Release, releases, seen

RELEASES = releases()


@pytest.fixture(params=RELEASES, ids=[release.folder.name for release in RELEASES])
def release(request: pytest.FixtureRequest) -> Release:
    chosen: Release = request.param
    return chosen


@pytest.fixture
def client(release: Release, redis_server: RedisServer) -> Iterator[Client]:
    """A client of a Redis that holds what the release has left."""
    with redis.Redis.from_url(redis_server.url) as connection:
        restore(connection, release.store)
    with Client(redis_server.url, actor="ada@example.org") as client:
        yield client


def missing(then: Any, now: Any, where: str = "") -> Iterator[str]:
    """Whatever was said then and is not now, or otherwise; mappings may have gained."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key, value in then.items():
            if key not in now:
                yield f"{where}.{key} is gone"
            else:
                yield from missing(value, now[key], f"{where}.{key}")
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for position, (value, today) in enumerate(zip(then, now, strict=True)):
            yield from missing(value, today, f"{where}[{position}]")
    elif then != now:
        yield f"{where} was {then!r} and is {now!r}"


def test_no_record_has_lost_a_field(release: Release) -> None:
    assert list(broken(release.fields(), fields_now())) == []


def rename(fields: dict[str, Any]) -> None:
    fields["Receipt"]["fields"] = [name.replace("ended_ms", "end_ms") for name in fields["Receipt"]["fields"]]


def lose_a_value(fields: dict[str, Any]) -> None:
    fields["Outcome"]["values"].remove("skipped")


def require(fields: dict[str, Any]) -> None:
    fields["Step"]["required"].append("line")


def rename_a_record(fields: dict[str, Any]) -> None:
    fields["Retries"] = fields.pop("Retry")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename, "Receipt has lost 'ended_ms' of its fields"),
        (lose_a_value, "Outcome has lost 'skipped' of its values"),
        (require, "Step requires 'line', which a record of then need not have"),
        (rename_a_record, "Retry is gone or renamed"),
    ],
)
def test_a_lost_field_is_named(change: Callable[[dict[str, Any]], None], said: str) -> None:
    before = json.loads(json.dumps(fields_now()))
    changed = copy.deepcopy(before)
    change(changed)
    assert list(broken(before, changed)) == [said]


def test_plans_are_what_they_were(release: Release) -> None:
    assert release.plans()
    for digest, stored in release.plans().items():
        plan = Plan.from_json(stored)
        assert (plan.hash, json.loads(plan.to_json())) == (digest, json.loads(stored))


def test_runs_are_read_as_they_were(release: Release, client: Client) -> None:
    for run, then in release.seen().items():
        assert list(missing(then, seen(client, client.run(run)), run)) == []
        assert client.run(run).plan().hash in release.plans()


def test_what_is_the_fleets_is_read(client: Client) -> None:
    assert {entry.act for entry in client.audit()} >= {"submit", "set", "answer", "schedule", "limits"}
    assert [(s.name, s.paused_by, s.tags) for s in client.schedules.list()] == [("nightly", "ada@example.org", ())]
    assert [gate.scope for gate in client.limits()] == ["openai/default/gpt-5"]
    assert {run.pipeline for run in client.runs()} == {"ended", "half_way", "below"}


def test_open_runs_end_and_all_histories_are_sound(
    release: Release, client: Client, redis_server: RedisServer, tmp_path: Path
) -> None:
    runs = [client.run(run) for run in release.seen()]
    assert [run.status().state.ended for run in runs] == [True, False, False]
    done = [seen(client, run)["events"] for run in runs]
    (tmp_path / scene.LATE).write_text("it came\n")  # once, and before anybody reads it
    with scene.worker(redis_server.url, tmp_path):
        for run in runs:
            scene.finish(run)
    half_way, new = (run.document() for run in runs[1:])
    assert (half_way.status, half_way.outputs) == (
        "completed",
        {"said": "sent one, sent two, sent three, sent four; it came\n"},
    )
    assert (new.status, new.outputs) == ("completed", {"said": "sent only; it came\n"})
    assert half_way.steps["late"].retries == 1
    for run, before in zip(runs, done, strict=True):
        assert seen(client, run)["events"][: len(before)] == before
        judgement = client.verify(run.id)
        assert judgement.sound, [finding for finding in judgement.findings if not finding.kept]


def test_an_ended_run_is_tried_again_and_keeps_its_results(
    release: Release, client: Client, redis_server: RedisServer, tmp_path: Path
) -> None:
    ended = next(client.run(run) for run in release.seen() if client.run(run).status().state.ended)
    again = client.retry(ended.id)
    with scene.worker(redis_server.url, tmp_path):
        document = again.result(scene.SECONDS)
    kept = {name for name, step in document.steps.items() if step.kept_from == ended.id}
    assert {"large", "format", "child"} <= kept
    assert client.verify(again.id).sound
