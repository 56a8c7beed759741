"""cost and budget on a real Redis, with no worker on it; and what `submit` takes of money and tenants."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client import Client
from orchestrator_client.budgets import amount_of, checked_tenant, period_id
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.costs import days_since, of_ledger
from tests.conftest import RedisServer
from tests.unit.test_cli_runs import Fleet
from tests.unit.test_gates import NOW

TODAY = NOW // 86_400_000
"""2027-01-15, counted in days."""

RECEIPT = {"outcome": "succeeded", "attempt": 1, "started_ms": 1_000}


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.chdir(tmp_path)
    fleet = Fleet(redis_server.url, tmp_path)
    with redis.Redis.from_url(fleet.url) as client:
        client.set(names.CLOCK, NOW)
    return fleet


def put(fleet: Fleet, key: str, **fields: Any) -> None:
    with redis.Redis.from_url(fleet.url) as client:
        client.hset(key, mapping=fields)
        client.expire(key, 60)


def ledger(fleet: Fleet, day: int, place: str, model: str, **sums: int) -> None:
    put(fleet, names.ledger(day), **{f"{place}|{model}|{what}": amount for what, amount in sums.items()})


def asked(fleet: Fleet, *arguments: object) -> Any:
    code, out, err = fleet.run(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


# --- cost ------------------------------------------------------------------------------------------------------------


def test_the_cost_of_a_run_is_that_of_its_receipts(fleet: Fleet) -> None:
    run = fleet.submit()
    dear = {"requests": 2, "input_tokens": 100, "output_tokens": 7, "cost_usd": "0.25"}
    unknown = {"requests": 1, "input_tokens": 5, "output_tokens": 1}
    receipts = {
        "late": f"30 {json.dumps({**RECEIPT, 'model': 'local', 'usage': unknown})}",
        "draft": f"20 {json.dumps({**RECEIPT, 'model': 'gpt-5', 'usage': dear})}",
        "tool": f"10 {json.dumps(RECEIPT)}",
    }
    put(fleet, names.RunKeys(run).receipts, **receipts)
    report = asked(fleet, "cost", run)
    assert [(line["name"], line["model"], line["usd"]) for line in report["lines"]] == [
        ("draft", "gpt-5", "0.25"),
        ("late", "local", "0"),
    ]
    assert (report["total"]["calls"], report["total"]["unpriced"], report["total"]["usd"]) == (3, 1, "0.25")
    code, out, err = fleet.run("cost", run)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["STEP", "MODEL", "CALLS", "INPUT", "OUTPUT", "COST"],
        ["draft", "gpt-5", "2", "100", "7", "$0.2500"],
        ["late", "local", "1", "5", "1", "unknown"],
        ["total", "3", "105", "8", "$0.2500", "+", "1", "call", "of", "unknown", "price"],
    ]
    assert err == "the price of 1 call is not known and not in the sum\n"


def test_the_ledger_is_summed_by_model_and_by_day(fleet: Fleet) -> None:
    ledger(fleet, TODAY, "all|", "gpt-5", calls=3, input=10, output=2, nano=2_000_000_000)
    ledger(fleet, TODAY - 1, "all|", "gpt-5", calls=1, input=1, output=1, nano=500_000_000)
    ledger(fleet, TODAY - 1, "all|", "local", calls=4, unpriced=4)
    ledger(fleet, TODAY - 40, "all|", "gpt-5", calls=9)
    report = asked(fleet, "cost")
    assert [(line["name"], line["calls"], line["usd"]) for line in report["lines"]] == [
        ("gpt-5", 4, "2.5"),
        ("local", 4, "0"),
    ]
    by_day = asked(fleet, "cost", "--by", "day", "--since", "2026-12-01")
    assert [(line["name"], line["calls"]) for line in by_day["lines"]] == [
        ("2026-12-06", 9),
        ("2027-01-14", 5),
        ("2027-01-15", 3),
    ]
    assert asked(fleet, "cost", "--since", "1")["total"]["calls"] == 3


def test_a_tags_and_a_tenants_cost(fleet: Fleet) -> None:
    ledger(fleet, TODAY, "all|", "m", calls=7)
    ledger(fleet, TODAY, "tag|a|b", "m", calls=2)
    ledger(fleet, TODAY, "tenant|acme", "m", calls=3)
    assert asked(fleet, "cost", "--tag", "a|b")["total"]["calls"] == 2
    assert asked(fleet, "cost", "--tenant", "acme")["total"]["calls"] == 3
    assert asked(fleet, "cost", "--tag", "a")["total"]["calls"] == 0


def test_sums_that_a_later_release_adds_are_no_error() -> None:
    report = of_ledger({TODAY: {"all||m|calls": 1, "all||m|images": 9}}, "all", "", "model")
    assert report.total.calls == 1


@pytest.mark.parametrize("words", [("--since", "yesterday"), ("--tag", "a", "--tenant", "b"), ("nope",)])
def test_what_has_no_cost_is_refused(fleet: Fleet, words: tuple[str, ...]) -> None:
    code, _, err = fleet.run("cost", *words)
    assert code == 2
    assert err.startswith("error: ")


def test_no_day_is_looked_for_that_the_ledger_has_forgotten() -> None:
    assert days_since(10**6, NOW) == range(TODAY - 400, TODAY + 1)
    assert days_since(1, NOW) == range(TODAY, TODAY + 1)


# --- budgets ---------------------------------------------------------------------------------------------------------


def test_a_runs_budget_is_shown_and_raised(fleet: Fleet) -> None:
    run = fleet.submit("--budget", "0.50", "--on-breach", "pause", "--tenant", "acme", "--tag", "t")
    record = fleet.json("runs")[0]
    assert (record["budget"], record["tenant"]) == ({"usd": "0.50", "on_breach": "pause"}, "acme")
    assert "no call was counted on it yet" in fleet.run("budget", run)[1]
    put(fleet, names.budget(f"run:{run}"), spent=120_000_000, reserved=30_000_000)
    with redis.Redis.from_url(fleet.url) as client, client.pubsub() as woken:
        client.zadd(names.short(f"run:{run}"), {f"{run}|b": 2, f"{run}|a": 1})
        client.expire(names.short(f"run:{run}"), 60)
        assert asked(fleet, "budget", run)["waiting"] == 2
        woken.subscribe(names.WAKE)
        assert woken.get_message(timeout=60)
        assert fleet.run("budget", run, "1") == (
            0,
            f"run:{run}: $0.1200 of $1.0000 spent, $0.0300 reserved, $0.8500 left\n",
            "2 waiting calls will be looked at again\n",
        )
        assert client.lrange(names.AGAIN, 0, -1) == [f"{run}|a".encode(), f"{run}|b".encode()]
        assert not client.exists(names.short(f"run:{run}"))
        assert client.hget(names.budget(f"run:{run}"), "cap") == b"1000000000"
        assert woken.get_message(timeout=60)


def test_a_tenants_budget_is_that_of_its_present_period(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "orchestrator.toml").write_text('[budgets.tenant.acme]\nusd = 5\nper = "day"\n')
    put(fleet, names.budget("tenant:acme:2027-01-15"), spent=1_000_000_000)
    put(fleet, names.budget("tenant:acme:2027-01-14"), spent=4_000_000_000)
    view = asked(fleet, "budget", "tenant:acme")
    assert (view["id"], view["cap_usd"], view["spent_usd"]) == ("tenant:acme:2027-01-15", "5", "1")


def test_a_budget_that_only_workers_configure_is_found_by_its_use(fleet: Fleet) -> None:
    put(fleet, names.budget("tag:nightly:ever"), spent=5)
    assert asked(fleet, "budget", "tag:nightly")["id"] == "tag:nightly:ever"
    assert "a cap that only workers know" in fleet.run("budget", "tag:nightly")[1]
    assert asked(fleet, "budget", "tag:other")["id"] == "tag:other:2027-01"
    assert asked(fleet, "budget", "tag:other", "2.5", "--per", "day")["id"] == "tag:other:2027-01-15"
    with redis.Redis.from_url(fleet.url) as client:
        assert client.ttl(names.budget("tag:other:2027-01-15")) > 399 * 86_400


@pytest.mark.parametrize(
    "words", [("tag:",), ("user:x",), ("nope",), ("tag:x", "0"), ("tag:x", "much"), ("tag:x", "-1")]
)
def test_what_is_no_budget_is_refused(fleet: Fleet, words: tuple[str, ...]) -> None:
    code, _, err = fleet.run("budget", "--", *words)
    assert code == 2
    assert err.startswith("error: ")


def test_a_run_without_a_budget_has_none_to_raise(fleet: Fleet) -> None:
    code, _, err = fleet.run("budget", fleet.submit(), "1")
    assert code == 2
    assert "--budget" in err


@pytest.mark.parametrize("option", [("--budget", "x"), ("--budget", "0"), ("--tenant", "a|b"), ("--tenant", "a b")])
def test_a_submission_with_a_wrong_budget_or_tenant_is_refused(fleet: Fleet, option: tuple[str, str]) -> None:
    assert fleet.run("submit", fleet.plan, *option)[0] == 2
    assert fleet.json("runs") == []


def test_amounts_and_names() -> None:
    assert amount_of("$0.50") == Decimal("0.50")
    assert amount_of(0.1) == Decimal("0.1")
    assert checked_tenant("") == ""
    assert period_id("tag:x", "month", NOW) == "tag:x:2027-01"
    for wrong in ("nan", "inf", "", "1e9"):
        with pytest.raises(InputsInvalid):
            amount_of(wrong)


def test_an_unknown_word_for_a_breach_is_refused(fleet: Fleet) -> None:
    with Client(fleet.url) as client, pytest.raises(InputsInvalid, match="fail, pause, cheaper"):
        client.submit(fleet.plan, budget_usd=1, on_breach="stop")


def test_a_configuration_that_cannot_be_used_is_named(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "orchestrator.toml").write_text("[budget]\n")
    code, _, err = fleet.run("budget", "tag:x")
    assert code == 2
    assert "orchestrator.toml: budget" in err
