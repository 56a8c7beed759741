"""Which limit is in force, what it lets through and who is next: the same as the scripts say, which decide."""

from __future__ import annotations

import json
import random
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.limits import Dimension
from orchestrator_client.contract.scripts import source
from orchestrator_client.gates import Gate, Limit, Line, Source, ahead_of
from tests.conftest import RedisServer

SCOPE = "openai/default/gpt-5"
NOW = 1_800_000_000_000
COSTS = {"requests": 1, "tokens": 900, "input_tokens": 600, "output_tokens": 300}

ASK = """
local gate = open_gate(KEYS[1], now_ms(), nil)
refill(gate, now_ms())
local allows, costs = {}, cjson.decode(ARGV[1])
for _, dimension in ipairs(DIMENSIONS) do
  local limit = allowed(gate, dimension)
  if limit then allows[dimension] = { limit, gate.level[dimension] } end
end
return cjson.encode({ allowed = allows, most = most_at_a_time(gate), wait = opens_in(gate, costs, now_ms()) })
"""


def state(**changes: Any) -> dict[str, Any]:
    """A gate's state as `gates.lua` keeps it."""
    return {
        "at": NOW,
        "level": {},
        "held": {"calls": 0},
        "told": {},
        "bucket": {},
        "window": 16,
        "ok": 0,
        "closed_until": 0,
        "closed_for": "",
        "probe": "",
        **changes,
    }


def gate(stored: dict[str, Any] | None = None, config: dict[str, Any] | None = None, **given: int) -> Gate:
    return Gate(stored or state(), config or {}, given, NOW)


def test_a_limit_that_is_set_wins() -> None:
    found = gate(state(told={"tokens": 50}), {"tokens": 70}, tokens=90).allowed("tokens")
    assert found == Limit(90, Source.SET)


def test_a_configured_limit_counts_until_the_provider_tells_a_lower_one() -> None:
    assert gate(state(told={"tokens": 80}), {"tokens": 70}).allowed("tokens") == Limit(70, Source.CONFIGURED)
    assert gate(state(told={"tokens": 60}), {"tokens": 70}).allowed("tokens") == Limit(60, Source.TOLD)


def test_a_learned_rate_of_requests_counts_where_it_is_lower_even_than_what_is_set() -> None:
    assert gate(state(rate=30.5)).allowed("requests") == Limit(30.5, Source.LEARNED)
    assert gate(state(rate=30.5), requests=40).allowed("requests") == Limit(30.5, Source.LEARNED)
    assert gate(state(rate=50.0), requests=40).allowed("requests") == Limit(40, Source.SET)
    assert gate(state(rate=1.0)).allowed("tokens") is None


def test_calls_at_a_time_are_learned_while_no_limit_of_requests_is_known() -> None:
    assert gate(state(window=21)).most_at_a_time() == Limit(21, Source.LEARNED)
    assert gate(state(told={"requests": 60})).most_at_a_time() is None
    assert gate(config={"in_flight": 4}).most_at_a_time() == Limit(4, Source.CONFIGURED)
    assert gate(config={"in_flight": 4}, in_flight=9).most_at_a_time() == Limit(9, Source.SET)


def test_levels_are_refilled_to_now() -> None:
    before = state(at=NOW - 1_000, level={"requests": -5.0}, bucket={"requests": True})
    assert gate(before, requests=600).available("requests") == pytest.approx(5.0)


def test_a_view_says_all_of_it() -> None:
    stormy = state(
        closed_until=NOW + 2_000, closed_for="slow down", held={"calls": 3, "tokens": 70}, told={"tokens": 9000}
    )
    view = gate(stormy, in_flight=8).view(SCOPE, {"t": (0, {"r": (0, 2), "s": (1, 5)})})
    assert (view.in_flight, view.waiting, view.closed_ms, view.closed_for) == (3, 7, 2_000, "slow down")
    assert {name: (limit.limit, limit.source) for name, limit in view.limits.items()} == {
        "tokens": (9000, Source.TOLD),
        "in_flight": (8, Source.SET),
    }
    assert view.limits["in_flight"].available == 5
    assert view.limits["tokens"].reserved == 70


def test_a_scope_of_which_nothing_is_known() -> None:
    view = Gate({}, {}, {}, NOW).view(SCOPE, {})
    assert view.limits["in_flight"].limit == 16
    assert (view.waiting, view.closed_ms, view.in_flight) == (0, 0, 0)


# --- the scripts decide ----------------------------------------------------------------------------------------------


def some_limits(dice: random.Random, *dimensions: str) -> dict[str, int]:
    return {name: dice.choice([1, 7, 60, 5_000, 90_000]) for name in dimensions if dice.random() < 0.4}


def some_gate(dice: random.Random) -> tuple[dict[str, Any], dict[str, int], dict[str, int]]:
    """State, configured limits and set limits, as they may come about."""
    of_a_minute = [dimension.value for dimension in Dimension]
    stored = state(
        at=NOW - dice.choice([0, 10, 3_000, 90_000]),
        level={name: dice.uniform(-500, 2_000) for name in of_a_minute if dice.random() < 0.6},
        ok=dice.choice([0, 3, 700]),
        held={"calls": dice.choice([0, 3, 16, 40]), "tokens": 120},
        told=some_limits(dice, *of_a_minute),
        bucket={name: dice.random() < 0.5 for name in of_a_minute if dice.random() < 0.5},
        closed_until=dice.choice([0, 0, 0, NOW - 500, NOW + 1_500]),
        probe=dice.choice(["", "r|a"]),
    )
    if dice.random() < 0.3:
        stored["rate"] = dice.uniform(1, 900)
    return stored, some_limits(dice, *of_a_minute, "in_flight"), some_limits(dice, *of_a_minute, "in_flight")


@pytest.mark.parametrize("seed", range(60))
def test_python_reads_a_gate_as_lua_does(redis_server: RedisServer, seed: int) -> None:
    stored, config, given = some_gate(random.Random(seed))
    script = "\n".join([source("clock", "orchestrator_client.contract.scripts"), worker_script("gates"), ASK])
    with redis.Redis.from_url(redis_server.url) as client:
        client.set(names.CLOCK, NOW)
        parts = {"state": json.dumps(stored), "config": json.dumps(config), "set": json.dumps(given)}
        client.hset(names.gate(SCOPE), mapping=parts)  # type: ignore[arg-type]
        client.expire(names.gate(SCOPE), 60)
        said = json.loads(client.eval(script, 1, SCOPE, json.dumps(COSTS)))  # type: ignore[arg-type]
    read = Gate(stored, config, given, NOW)
    limits = {dimension.value: read.allowed(dimension) for dimension in Dimension}
    allowed = {name: [limit.amount, read.available(name)] for name, limit in limits.items() if limit}
    assert allowed == {name: pytest.approx(pair) for name, pair in dict(said["allowed"]).items()}
    most = read.most_at_a_time()
    assert (most.amount if most else None) == said.get("most")
    wait, exactly = read.opens_in(COSTS).ms, said.get("wait")
    assert (wait is None) == (exactly is None)
    assert wait is None or exactly - 1 <= wait <= exactly


def worker_script(name: str) -> str:
    return Path(str(files("orchestrator_worker.scripts"))).joinpath(f"{name}.lua").read_text()


@pytest.mark.parametrize("seed", range(20))
def test_who_is_ahead_is_who_the_scripts_let_through_first(redis_server: RedisServer, seed: int) -> None:
    dice, order = random.Random(seed), []
    script = "\n".join([source("clock", "orchestrator_client.contract.scripts"), worker_script("waiting")])
    take = "local t, r, i = first_in_line(KEYS[1])\nif t then dequeue(KEYS[1], t, r, i, true) end\nreturn { t, r, i }"
    join = f"{script}\nenqueue(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 60)"
    line: dict[str, tuple[float, dict[str, tuple[float, int]]]] = {}
    with redis.Redis.from_url(redis_server.url) as client:
        for tenant in ("", "a", "b")[: dice.randint(1, 3)]:
            runs = {f"{tenant}run{number}": dice.randint(1, 4) for number in range(dice.randint(1, 3))}
            for run, count in runs.items():
                for at in range(count):
                    client.eval(join, 1, SCOPE, tenant, run, f"s{at}", at)  # type: ignore[arg-type]
                client.zadd(f"{names.waiting(SCOPE)}|{tenant}", {run: dice.randint(0, 3)})
            client.zadd(names.waiting(SCOPE), {tenant: dice.randint(0, 5)})
            served = client.zscore(names.waiting(SCOPE), tenant)
            scores = {run: client.zscore(f"{names.waiting(SCOPE)}|{tenant}", run) for run in runs}
            line[tenant] = (served, {run: (scores[run], count) for run, count in runs.items()})  # type: ignore[misc, dict-item]
        while found := client.eval(f"{script}\n{take}", 1, SCOPE):  # type: ignore[misc]
            order.append(tuple(part.decode() for part in found))
    said = {
        (tenant, run, f"s{place}"): ahead_of(line, tenant, run, place)
        for tenant, (_, runs) in line.items()
        for run, (_, count) in runs.items()
        for place in range(count)
    }
    assert sorted(said, key=said.__getitem__) == order
    assert sorted(said.values()) == list(range(len(order)))


def test_who_waits_nowhere_has_nobody_ahead() -> None:
    line: Line = {"a": (0, {"r": (0, 3)})}
    assert ahead_of(line, "b", "r", 0) == 0
    assert ahead_of(line, "a", "other", 5) == 0
