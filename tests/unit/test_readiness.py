"""Whether a Redis is one that runs can be trusted to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_worker.app import create_app
from orchestrator_worker.process.readiness import Readiness, inspect, judge, unsafe
from orchestrator_worker.settings import Settings
from tests.conftest import RedisServer

GOOD: dict[str, object] = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "aof_enabled": 1}


def test_a_good_server_is_taken_without_a_word() -> None:
    assert judge(GOOD) == Readiness((), ())


@pytest.mark.parametrize("version", ["6.2.0", "6.2.912183", "7.0", "8.0.1", "10.0.0", "255.255.255"])
def test_versions_that_are_new_enough(version: str) -> None:
    assert not judge(GOOD | {"redis_version": version}).refusals


@pytest.mark.parametrize("version", ["2.8.0", "5.0.14", "6.0.16", "6.1.240"])
def test_versions_that_are_too_old_are_refused_by_name(version: str) -> None:
    assert judge(GOOD | {"redis_version": version}).refusals == (f"Redis {version} is too old: 6.2 or newer is needed",)


def test_a_server_that_does_not_say_its_version_is_refused() -> None:
    assert judge({"aof_enabled": 1}).refusals


@pytest.mark.parametrize("kind", ["lru", "lfu", "random", "ttl"])
@pytest.mark.parametrize("which", ["allkeys", "volatile"])
def test_a_server_that_evicts_is_refused_with_what_to_set(which: str, kind: str) -> None:
    policy = f"{which}-{kind}"
    (refusal,) = judge(GOOD | {"maxmemory_policy": policy}).refusals
    assert policy in refusal
    assert "set maxmemory-policy noeviction" in refusal


@pytest.mark.parametrize("aof", [0, "0"])
def test_a_server_that_forgets_is_named_but_taken(aof: object) -> None:
    (warning,) = judge(GOOD | {"aof_enabled": aof}).warnings
    assert "appendonly yes" in warning
    assert not judge(GOOD | {"aof_enabled": aof}).refusals


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = judge({"redis_version": "5.0.0", "maxmemory_policy": "allkeys-lru", "aof_enabled": 0})
    assert (len(found.refusals), len(found.warnings)) == (2, 1)


def test_a_real_server_is_asked(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        found = inspect(client)
    assert not found.refusals
    assert len(found.warnings) == 1


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with (
        redis.Redis.from_url(f"unix://{tmp_path}/nobody.sock") as client,
        pytest.raises(StoreUnavailable, match="cannot reach Redis"),
    ):
        inspect(client)


SAFE = {
    "accept_content": ["orchestrator"],
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "task_acks_late": False,
    "broker_transport_options": {"ack_emulation": False},
}


def test_the_configuration_as_it_is_made_is_safe() -> None:
    config = Settings(redis_url="redis://127.0.0.1:1/0")
    app = create_app(config)
    assert unsafe(app.conf, config) == ()
    app.close()


@pytest.mark.parametrize(
    ("changed", "settings", "named"),
    [
        ({"accept_content": ["orchestrator", "pickle"]}, {}, "accept_content"),
        ({"worker_prefetch_multiplier": 4}, {}, "worker_prefetch_multiplier"),
        ({"worker_disable_prefetch": False}, {}, "worker_disable_prefetch"),
        ({"task_acks_late": True}, {}, "task_acks_late"),
        ({"broker_transport_options": {}}, {}, "ack_emulation"),
        ({}, {"lease_seconds": 2, "beat_seconds": 1}, "ORCHESTRATOR_LEASE_SECONDS=2"),
    ],
)
def test_an_unsafe_configuration_is_named(changed: dict[str, Any], settings: dict[str, Any], named: str) -> None:
    (problem,) = unsafe({**SAFE, **changed}, Settings(**settings))
    assert named in problem


def test_a_worker_does_not_start_on_one(redis_server: RedisServer) -> None:
    environment = {**os.environ, "ORCHESTRATOR_REDIS_URL": redis_server.url, "ORCHESTRATOR_BEAT_SECONDS": "30"}
    command = [sys.executable, "-m", "orchestrator_worker"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "ORCHESTRATOR_BEAT_SECONDS=30" in ended.stderr
    assert "Traceback" not in ended.stderr
