"""A provider's limits are kept, and used.

What a gate lets through is held against providers that count in three ways: a bucket that refills steadily, a log of
the last minute, and a bucket so small that only an even pace gets through. None of them may have to refuse a call of a
client that knows the limit; and where calls wait, nearly all of the limit is used. Where nobody knows the limit, it is
learned: from the headers of the first answers, or else from the first refusals.
"""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract import names
from orchestrator_client.contract.limits import Dimension, RateLimit
from orchestrator_worker.records import Report
from tests.conftest import RedisServer
from tests.fundamentals.gate_simulation import Provider, Simulation, rate_within
from tests.fundamentals.gates import NOT_SENT, QUEUE, SCOPE, Gates, asking, candidate, gates_on
from tests.rate_regimes import Regime, Window, busiest_minute, meter

REGIMES = [Regime.BUCKET, Regime.WINDOW, Regime.PACED]


def limited(**limits: float) -> str:
    return asking(candidate(limits=limits))


def provider_of(regime: Regime, limit: int, **fields: object) -> Provider:
    return Provider({Dimension.REQUESTS: meter(regime, limit, 0.0)}, **fields)  # type: ignore[arg-type]


def simulate(gates: Gates, provider: Provider, calls: int, call: str, jitter: float = 0.0) -> Simulation:
    """So many calls at once, until all have ended."""
    dice = random.Random(calls)
    simulation = Simulation(gates, provider, lambda: dice.random() * jitter)
    simulation.arrive("r", [0.0] * calls, call)
    simulation.go()
    assert simulation.ended == calls, "calls were lost on the way"
    assert gates.held() == {}
    return simulation


# --- a limit that is known -------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    limit=st.integers(3, 900),
    bursts=st.lists(st.tuples(st.floats(0, 200), st.integers(1, 40)), min_size=1, max_size=4),
)
def test_no_minute_holds_more_than_the_limit_whatever_arrives(
    server: RedisServer, limit: int, bursts: list[tuple[float, int]]
) -> None:
    with gates_on(server) as gates:
        provider = provider_of(Regime.WINDOW, limit, headers=False)
        simulation = Simulation(gates, provider)
        simulation.arrive("r", [at for at, calls in bursts for _ in range(calls)], limited(requests=limit))
        simulation.go()
        assert provider.refused == []
        assert busiest_minute(provider.answered) <= limit
        assert simulation.ended == sum(calls for _, calls in bursts)


@pytest.mark.parametrize("headers", [True, False])
@pytest.mark.parametrize("regime", REGIMES)
def test_where_calls_wait_nearly_all_of_the_limit_is_used(gates: Gates, regime: Regime, headers: bool) -> None:
    provider = provider_of(regime, 300, headers=headers)
    simulate(gates, provider, 650, limited(requests=300), jitter=0.2)
    assert provider.refused == []
    assert rate_within(provider.answered, 5, min(125, max(provider.answered))) >= 0.98 * 300


def test_a_slow_limit_is_kept_as_exactly(gates: Gates) -> None:
    provider = provider_of(Regime.WINDOW, 20, headers=False)
    simulate(gates, provider, 70, limited(requests=20))
    assert provider.refused == []
    assert rate_within(provider.answered, 0, 180) >= 0.98 * 20


def test_a_call_waits_for_its_turn_and_not_for_a_whole_minute(gates: Gates) -> None:
    assert gates.ask_all("r", 3, limited(requests=60)) == ["c000"]
    due_seconds, promoted = gates.store.promote()
    assert due_seconds == pytest.approx(60 / 60 / 0.99, abs=0.002)
    assert promoted == []
    gates.advance(1.02)
    assert [one.instance for one in gates.promote()] == ["c001"]


# --- what the answers' headers say -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.5, 20.0])
def test_a_bucket_is_used_up_at_once_and_then_at_its_pace(gates: Gates, seconds: float) -> None:
    provider = provider_of(Regime.BUCKET, 300, seconds=seconds)
    simulate(gates, provider, 750, asking(), jitter=0.2)
    assert gates.state()["bucket"] == {"requests": True}
    assert provider.refused == []
    assert max(provider.answered) <= 95 + 3 * seconds, "750 calls: 300 at once, 450 in 90 s"


@pytest.mark.parametrize("seconds", [0.5, 20.0])
def test_a_log_of_the_last_minute_is_known_by_its_reset(gates: Gates, seconds: float) -> None:
    provider = provider_of(Regime.WINDOW, 300, seconds=seconds)
    simulate(gates, provider, 750, asking(), jitter=0.2)
    assert gates.state()["bucket"] == {"requests": False}
    assert provider.refused == []
    assert rate_within(provider.answered, 60, 120) >= 0.97 * 300


def test_headers_of_a_long_call_do_not_bring_back_what_was_used_meanwhile(gates: Gates) -> None:
    early = Report("ok", limits=(RateLimit(Dimension.REQUESTS, 600, 599, 0.1),))
    gates.ask_all("long", 2, limited(requests=600))
    gates.make("long", "c000", early)
    assert gates.state()["bucket"]["requests"] is True
    for instance in gates.ask_all("meanwhile", 400, limited(requests=600)):
        gates.make("meanwhile", instance, Report("ok"))
    left = gates.state()["level"]["requests"]
    gates.make("long", "c001", early)
    assert left < 200
    assert gates.state()["level"]["requests"] == pytest.approx(left, abs=5)


def test_others_that_use_the_same_account_are_seen_in_the_headers(gates: Gates) -> None:
    gates.ask_all("r", 2, limited(requests=600))
    gates.make("r", "c000", Report("ok", limits=(RateLimit(Dimension.REQUESTS, 600, 0, 60.0),)))
    assert gates.state()["level"]["requests"] < 0


def test_a_limit_in_the_headers_lowers_the_configured_one_and_never_raises_it(gates: Gates) -> None:
    def level_after(configured: int, told: int) -> float:
        gates.begin()
        gates.ask_all("r", 1, limited(requests=configured))
        gates.make("r", "c000", Report("ok", limits=(RateLimit(Dimension.REQUESTS, told, told, 0.0),)))
        gates.advance(3600)
        gates.ask_all("late", 1, limited(requests=configured))
        return float(gates.state()["level"]["requests"]) + 1

    assert level_after(configured=300, told=5000) == pytest.approx(300)
    assert level_after(configured=5000, told=300) == pytest.approx(300)


def test_what_a_person_sets_wins_over_all(gates: Gates) -> None:
    gates.redis.hset(names.gate(SCOPE), "set", json.dumps({"requests": 6000}))
    gates.redis.expire(names.gate(SCOPE), 60)
    gates.ask_all("r", 1, limited(requests=60))
    gates.make("r", "c000", Report("ok", limits=(RateLimit(Dimension.REQUESTS, 60, 0, 60.0),)))
    gates.advance(60)
    assert len(gates.ask_all("next", 100, limited(requests=60))) == 60, "a hundredth of 6000 at once"


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_call_larger_than_what_is_there_goes_and_leaves_a_debt(gates: Gates) -> None:
    call = asking(candidate(limits={"tokens": 60_000}, input=1_800, output=0))
    assert gates.ask_all("r", 3, call) == ["c000"]
    assert gates.state()["level"]["tokens"] == pytest.approx(600 - 1_800)
    gates.advance(1.8)
    assert gates.promote() == []
    gates.advance(0.1)
    assert [one.instance for one in gates.promote()] == ["c001"], "1,800 tokens of 60,000 a minute are 1.8 s"


@pytest.mark.parametrize("tokens", [700, 7_000, 17_000, 25_000, 59_000])
def test_no_minute_holds_more_tokens_than_the_limit_however_large_the_calls_are(gates: Gates, tokens: int) -> None:
    provider = Provider({Dimension.TOKENS: Window(60_000)}, headers=False, input_tokens=tokens, output_tokens=0)
    calls = max(12, 180_000 // tokens)
    call = asking(candidate(limits={"tokens": 60_000}, input=tokens, output=0))
    simulate(gates, provider, calls, call)
    assert provider.refused == []
    fitting = 60_000 // tokens
    assert max(provider.answered) <= (calls - 1) / fitting * 61, "as many as fit go in each minute"


def test_what_a_call_did_not_use_is_given_back(gates: Gates) -> None:
    call = asking(candidate(limits={"tokens": 60_000}, input=100, output=1_700))
    gates.ask_all("r", 2, call)
    gates.make("r", "c000", Report("ok", input_tokens=100, output_tokens=20))
    assert gates.state()["level"]["tokens"] == pytest.approx(600 - 120)
    gates.advance(0.2)
    assert [one.instance for one in gates.promote()] == ["c001"]


def test_what_was_not_sent_has_used_nothing(gates: Gates) -> None:
    gates.ask_all("r", 1, limited(tokens=60_000, requests=600))
    gates.make("r", "c000", NOT_SENT)
    assert gates.state()["level"] == {"tokens": 600, "requests": 6}


def test_estimates_are_corrected_by_what_was_counted(gates: Gates) -> None:
    call = asking(candidate(limits={"input_tokens": 600_000}, input=100))
    gates.ask_all("r", 40, call)
    for number in range(40):
        gates.make("r", f"c{number:03}", Report("ok", input_tokens=250, output_tokens=80))
    gates.open("next", ["a"])
    gates.ask("next", "a", call)
    [costs] = [one["costs"] for one in gates.call("next", "a")["candidates"]]
    assert costs == {"requests": 1, "input_tokens": 250, "output_tokens": 96, "tokens": 346}


@pytest.mark.parametrize("dimension", [Dimension.TOKENS, Dimension.INPUT_TOKENS, Dimension.OUTPUT_TOKENS])
def test_a_limit_of_tokens_is_kept_though_estimates_are_wrong(gates: Gates, dimension: Dimension) -> None:
    provider = Provider(
        {dimension: meter(Regime.BUCKET, 60_000, 0.0)}, headers=False, input_tokens=300, output_tokens=150
    )
    simulate(gates, provider, 500, limited(**{dimension: 60_000, "requests": 6_000}))
    used = {Dimension.TOKENS: 450, Dimension.INPUT_TOKENS: 300, Dimension.OUTPUT_TOKENS: 150}[dimension]
    assert provider.refused == []
    assert rate_within(provider.answered, 10, 60) * used >= 0.95 * 60_000


# --- calls at a time -------------------------------------------------------------------------------------------------


def test_no_more_calls_are_in_flight_than_configured(gates: Gates) -> None:
    provider = Provider(headers=False, seconds=2.0)
    simulation = simulate(gates, provider, 50, limited(in_flight=7), jitter=0.1)
    assert simulation.most_held == 7
    assert max(provider.answered) < 50 / 7 * 2.3, "a slot was left empty"


def test_where_nothing_is_known_calls_begin_with_few_and_become_more_with_each_answer(gates: Gates) -> None:
    assert len(gates.ask_all("r", 100)) == 16
    gates.make("r", "c000")
    assert len(gates.promote()) == 2, "the place of the one that ended, and one more"


# --- a limit that has to be learned ----------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_after", [True, False])
@pytest.mark.parametrize("regime", REGIMES)
def test_an_unknown_limit_is_learned_within_a_minute(gates: Gates, regime: Regime, retry_after: bool) -> None:
    provider = provider_of(regime, 600, headers=False, retry_after=retry_after)
    simulation = Simulation(gates, provider)
    simulation.arrive("r", [0.0] * 1800, asking())
    learned: list[float] = []
    # Where refusals do not say for how long, a log of the last minute shows its length only when it opens again.
    simulation.at(60.0 if retry_after else 75.0, lambda: learned.append(gates.state()["rate"]))
    simulation.go(until=120.0)
    assert learned == [pytest.approx(600, rel=0.1 if retry_after else 0.15)]
    assert sum(at < 60 for at in provider.refused) <= 8
    assert rate_within(provider.answered, 60, 120) >= 0.85 * 600


def test_a_learned_rate_follows_the_provider_up(gates: Gates) -> None:
    provider = provider_of(Regime.PACED, 150, headers=False)
    simulation = Simulation(gates, provider)
    simulation.arrive("r", [0.0] * 1650, asking())
    simulation.at(60.0, lambda: provider.meters.update({Dimension.REQUESTS: meter(Regime.PACED, 300, 60.0)}))
    simulation.go(until=420.0)
    assert gates.state()["rate"] >= 0.9 * 300
    assert len(provider.refused) <= 16


def test_a_rate_below_the_known_limit_is_forgotten_once_it_is_back_there(gates: Gates) -> None:
    provider = provider_of(Regime.PACED, 300, headers=False)
    simulation = Simulation(gates, provider)
    simulation.arrive("r", [0.0] * 1100, limited(requests=300))
    simulation.at(10.0, lambda: provider.meters.update({Dimension.REQUESTS: Window(1)}))
    simulation.at(10.5, lambda: provider.meters.update({Dimension.REQUESTS: meter(Regime.PACED, 300, 10.5)}))
    simulation.go()
    assert provider.refused != []
    assert gates.state().get("rate") is None


def test_every_call_gets_through_where_refusals_say_nothing_of_when(gates: Gates) -> None:
    provider = Provider(headers=False, retry_after=False, most_in_flight=5, seconds=0.3)
    simulate(gates, provider, 120, asking())
    assert len(provider.answered) == 120


def test_a_call_names_the_queue_that_it_goes_to(gates: Gates) -> None:
    gates.open("r", ["a"])
    assert gates.ask("r", "a", asking(candidate(queue="model.other"))) == "model.other" != QUEUE
