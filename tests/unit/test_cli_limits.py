"""limits list, set and learn, and what they leave in Redis, with no worker on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client import Client
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.limits import checked_limits, checked_scope, parsed_limits
from tests.conftest import RedisServer
from tests.unit.test_cli_runs import Fleet
from tests.unit.test_gates import NOW, SCOPE, state


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Fleet:
    return Fleet(redis_server.url, tmp_path)


def put_gate(url: str, stored: dict[str, Any] | None = None, **parts: Any) -> None:
    """A gate as workers leave it."""
    with redis.Redis.from_url(url) as client:
        client.set(names.CLOCK, NOW)
        fields = {"state": json.dumps(stored or state()), **{name: json.dumps(part) for name, part in parts.items()}}
        client.hset(names.gate(SCOPE), mapping=fields)  # type: ignore[arg-type]
        client.sadd(names.SCOPES, SCOPE)
        client.expire(names.gate(SCOPE), 60)
        client.expire(names.SCOPES, 60)


def stored_gate(url: str) -> dict[str, Any]:
    with redis.Redis.from_url(url) as client:
        found: Any = client.hgetall(names.gate(SCOPE))
    return {name.decode(): json.loads(part) for name, part in found.items()}


def test_nothing_is_known_at_first(fleet: Fleet) -> None:
    code, out, err = fleet.run("limits", "list")
    assert (code, out) == (0, "")
    assert "no limits are known" in err
    assert fleet.run("limits", "list", "--json") == (0, "[]\n", "")


def test_a_scope_whose_gate_has_expired_is_not_listed(fleet: Fleet) -> None:
    put_gate(fleet.url)
    with redis.Redis.from_url(fleet.url) as client:
        client.delete(names.gate(SCOPE))
    assert fleet.run("limits", "list", "--json") == (0, "[]\n", "")


def test_a_table_says_what_is_in_force_and_whose_word_it_is(fleet: Fleet) -> None:
    stormy = state(told={"tokens": 30_000}, rate=55.5, closed_until=NOW + 90_000, closed_for="slow \x1b[31mdown")
    put_gate(fleet.url, stormy, config={"tokens": 90_000}, set={"in_flight": 8})
    code, out, _ = fleet.run("limits", "list")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[1][:4] == [SCOPE, "requests", "55.5", "learned"]
    assert [row[:3] for row in rows[2:]] == [["tokens", "30,000", "told"], ["in_flight", "8", "set"]]
    assert "closed for 1 min 30 s: slow" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "fine"),
        (
            {"closed_until": NOW + 2_000, "closed_for": "5 calls failed", "circuit": True},
            "circuit open for 2.00 s: 5 calls",
        ),
        ({"closed_until": NOW - 5, "closed_for": "busy", "probe": "r|a"}, "one call probes: busy"),
        ({"closed_until": NOW - 5, "closed_for": "busy"}, "the next call probes: busy"),
    ],
)
def test_the_weather_in_words(fleet: Fleet, changes: dict[str, Any], words: str) -> None:
    put_gate(fleet.url, state(**changes))
    assert words in fleet.run("limits", "list")[1]


def test_who_waits_is_counted(fleet: Fleet) -> None:
    put_gate(fleet.url)
    with redis.Redis.from_url(fleet.url) as client:
        for key, member in (("", "acme"), ("|acme", "run1"), ("|acme|run1", "a"), ("|acme|run1", "b")):
            client.zadd(f"{names.waiting(SCOPE)}{key}", {member: 0})
            client.expire(f"{names.waiting(SCOPE)}{key}", 60)
    code, out, _ = fleet.run("limits", "list", "--json")
    assert code == 0
    assert [gate["waiting"] for gate in json.loads(out)] == [2]


def test_limits_are_set_one_by_one_and_taken_away(fleet: Fleet) -> None:
    put_gate(fleet.url, state(level={"tokens": -70.0, "requests": 2}))
    assert fleet.run("limits", "set", "openai/gpt-5", "requests=600", "tokens=90_000", "in_flight=8")[0] == 0
    assert stored_gate(fleet.url)["set"] == {"requests": 600, "tokens": 90_000, "in_flight": 8}
    assert fleet.run("limits", "set", SCOPE, "tokens=none", "in_flight=0")[0] == 0
    assert stored_gate(fleet.url)["set"] == {"requests": 600}
    # Nothing would raise a level without a limit again.
    assert stored_gate(fleet.url)["state"]["level"] == {"requests": 2}


def test_whoever_waits_is_looked_at_at_once(fleet: Fleet) -> None:
    put_gate(fleet.url)
    with redis.Redis.from_url(fleet.url) as client, client.pubsub() as woken:
        client.zadd(names.AGENDA, {SCOPE: NOW + 50_000})
        woken.subscribe(names.WAKE)
        assert woken.get_message(timeout=60)
        fleet.run("limits", "set", SCOPE, "requests=9")
        assert client.zscore(names.AGENDA, SCOPE) == NOW
        message = woken.get_message(timeout=60)
        assert message
        assert message["data"] == SCOPE.encode()


def test_a_limit_may_be_set_before_the_first_call(fleet: Fleet) -> None:
    with Client(fleet.url) as client:
        client.set_limits("ollama/llama3.2", in_flight=2)
        [gate] = client.limits()
    assert (gate.scope, gate.limits["in_flight"].limit) == ("ollama/default/llama3.2", 2)


def test_what_was_learned_is_forgotten_but_calls_in_flight_and_debts_are_not(fleet: Fleet) -> None:
    stormy = state(
        told={"tokens": 30},
        bucket={"tokens": True},
        level={"tokens": -4_000.0, "input_tokens": 50.0, "output_tokens": -3.0},
        held={"calls": 3, "tokens": 900},
        rate=12.5,
        learned=NOW,
        window=400,
        closed_until=NOW + 9_000,
        closed_for="busy",
        circuit=True,
        ratio=1.25,
    )
    put_gate(fleet.url, stormy, config={"tokens": 90_000, "input_tokens": 9}, set={"requests": 1})
    assert fleet.run("limits", "learn", "openai/gpt-5")[0] == 0
    left = stored_gate(fleet.url)
    assert "set" not in left
    kept = left["state"]
    assert kept["held"] == {"calls": 3, "tokens": 900}
    assert kept["level"] == {"tokens": -4_000, "input_tokens": 0}
    assert (kept["told"], kept["bucket"], kept["window"], kept["ratio"]) == ({}, {}, 16, 1.25)
    assert {"rate", "learned", "circuit"}.isdisjoint(kept)
    [gate] = json.loads(fleet.run("limits", "list", "--json")[1])
    assert {name: (limit["limit"], limit["source"]) for name, limit in gate["limits"].items()} == {
        "tokens": (90_000, "configured"),
        "input_tokens": (9, "configured"),
        "in_flight": (16, "learned"),
    }
    assert (gate["closed_ms"], gate["closed_for"]) == (0, "")


def test_a_scope_of_which_nothing_is_known_has_nothing_to_forget(fleet: Fleet) -> None:
    code, _, err = fleet.run("limits", "learn", SCOPE)
    assert code == 2
    assert "nothing is known" in err


@pytest.mark.parametrize(
    "words",
    [
        ("gpt-5", "requests=1"),
        (SCOPE, "request=1"),
        (SCOPE, "requests"),
        (SCOPE, "requests=x"),
        ("openai/*", "tokens=1"),
    ],
)
def test_what_is_no_limit_is_refused(fleet: Fleet, words: tuple[str, ...]) -> None:
    code, _, err = fleet.run("limits", "set", *words)
    assert code == 2
    assert err.startswith("error: ")
    assert json.loads(fleet.run("limits", "list", "--json")[1]) == []


def test_limits_from_python_are_checked_too() -> None:
    assert checked_limits({"tokens": None, "requests": 5}) == {"tokens": 0, "requests": 5}
    assert checked_scope("openai/team/gpt-5") == "openai/team/gpt-5"
    assert parsed_limits(("tokens=1,000",)) == {"tokens": 1000}
    for wrong in ({}, {"x": 1}, {"tokens": -1}, {"tokens": True}, {"tokens": 1.5}):
        with pytest.raises(InputsInvalid):
            checked_limits(wrong)  # type: ignore[arg-type]
