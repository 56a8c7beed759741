"""What `doctor` makes of what it is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator_client.contract.worker import WorkerInfo
from orchestrator_client.doctor import Facts, Verdict, examine

WORKER = WorkerInfo(name="w1@a", version="1", queues=("tool", "control"), pool="prefork", slots=4, busy=1, host="a")
INFO = {"redis_version": "7.0.15", "aof_enabled": 1, "maxmemory_policy": "noeviction", "used_memory": 1 << 20}
WELL = Facts(
    shown_url="redis://127.0.0.1:6379/0",
    version="1",
    info=INFO,
    workers=(WORKER,),
    lengths={"tool": 3, "control": 0},
    needed={"tool": 1},
    has_key=True,
    keys={"OPENAI_API_KEY": True, "GEMINI_API_KEY": False},
    servers={"time": ""},
)


def worst(facts: Facts, check: str) -> tuple[Verdict, str]:
    """The worst that is said of one thing, and what to do."""
    found = [finding for finding in examine(facts) if finding.check == check]
    finding = max(found, key=lambda finding: list(Verdict).index(finding.verdict))
    return finding.verdict, f"{finding.says}; {finding.do}"


def test_a_fleet_that_is_well() -> None:
    assert {finding.verdict for finding in examine(WELL)} == {Verdict.OK}
    checks = [finding.check for finding in examine(WELL)]
    assert checks[:7] == ["redis", "persistence", "eviction", "memory", "access", "clocks", "workers"]
    assert worst(WELL, "keys")[1].startswith("set here: OPENAI_API_KEY; not set here: GEMINI_API_KEY")


@pytest.mark.parametrize(
    ("info", "check", "verdict", "words"),
    [
        ({"redis_version": "6.0.9"}, "redis", Verdict.FAIL, "install 6.2"),
        ({"aof_enabled": 0}, "persistence", Verdict.WARN, "appendonly yes"),
        ({"maxmemory_policy": "allkeys-lru"}, "eviction", Verdict.FAIL, "noeviction"),
        ({"maxmemory": 1 << 20}, "memory", Verdict.WARN, "raise maxmemory"),
        ({"maxmemory": 1 << 21}, "memory", Verdict.OK, "1 MiB of 2"),
    ],
)
def test_a_redis_that_is_not(info: dict[str, object], check: str, verdict: Verdict, words: str) -> None:
    found, said = worst(replace(WELL, info={**INFO, **info}), check)
    assert found is verdict
    assert words in said


@pytest.mark.parametrize(
    ("url", "has_password", "verdict"),
    [
        ("redis://10.0.0.1:6379/0", True, Verdict.WARN),
        ("rediss://10.0.0.1:6379/0", False, Verdict.WARN),
        ("rediss://10.0.0.1:6379/0", True, Verdict.OK),
        ("unix:///run/redis.sock", False, Verdict.OK),
    ],
)
def test_access(url: str, has_password: bool, verdict: Verdict) -> None:
    assert worst(replace(WELL, shown_url=url, has_password=has_password), "access")[0] is verdict


def test_what_only_some_fleets_have_wrong() -> None:
    late = WORKER.model_copy(
        update={"skew_ms": -5_000, "version": "2", "missing_keys": ("no key: set OPENAI_API_KEY",)}
    )
    facts = replace(WELL, workers=(late,), servers={"time": "there is no program"}, problems=["orchestrator.toml: x"])
    assert "a by -5.0 s" in worst(facts, "clocks")[1]
    assert worst(facts, "versions") == (Verdict.WARN, "this is 1, and there are workers of 2; finish the upgrade")
    assert "set OPENAI_API_KEY" in worst(facts, "keys")[1]
    assert worst(facts, "mcp")[0] is Verdict.WARN
    assert worst(facts, "configuration")[0] is Verdict.FAIL


def test_a_queue_without_a_worker() -> None:
    facts = replace(WELL, needed={"tool": 1, "model.anthropic": 2}, lengths={"model.anthropic": 1})
    verdict, said = worst(facts, "queues")
    assert verdict is Verdict.FAIL
    assert said.startswith("0 workers serve 'model.anthropic': 1 message waits there, and 2 open runs may need it")
    assert "orchestrator worker --queues model.anthropic" in said
    assert worst(replace(WELL, workers=()), "workers")[0] is Verdict.FAIL


def test_messages_that_nobody_could_take_and_a_fleet_without_a_key() -> None:
    facts = replace(WELL, dead_letters=2, has_key=False)
    assert "orchestrator dead list" in worst(facts, "dead letters")[1]
    assert worst(facts, "fleet key")[0] is Verdict.WARN


def test_a_store_that_is_away_ends_the_list_of_what_can_be_known_of_it() -> None:
    facts = replace(WELL, away="cannot use Redis", workers=())
    assert [finding.check for finding in examine(facts)] == ["redis", "fleet key", "keys", "mcp"]
