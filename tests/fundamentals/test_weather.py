"""A refusal is weather: it closes the provider's gate for everybody, costs no attempt, and passes.

While a gate is closed nothing is sent through it, neither by those who ask now nor by those who were let through a
moment ago and have not started. When the time is up, one call finds out; if it gets through, the gate is open.
Calls that fail in a row without an answer close the gate in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator_worker.records import Claim, Parking, Refusal, Report
from tests.conftest import RedisServer
from tests.fundamentals.gate_simulation import Provider, Simulation
from tests.fundamentals.gates import OTHER_SCOPE, QUEUE, Gates, asking, candidate, gates_on, refusal

FAST = asking(candidate(limits={"requests": 60_000}))


@pytest.fixture
def gates(_redis_session: RedisServer) -> Iterator[Gates]:
    with gates_on(_redis_session) as gates:
        yield gates


def storm(gates: Gates, wait_seconds: float | None = 10.0, kind: str = "rate_limit") -> None:
    """One call of a run is refused; its next attempt waits at the gate."""
    assert gates.ask_all("storm", 1, FAST) == ["c000"]
    assert isinstance(gates.start("storm", "c000"), Claim)
    assert gates.leave("storm", "c000", refusal(wait_seconds, kind)) == (Parking.READY, 2)
    assert gates.ask("storm", "c000", attempt=2) == "wait"


def names_of(gates: Gates) -> list[str]:
    return [one.instance for one in gates.promote()]


def test_a_refusal_closes_the_gate_for_everybody_and_one_call_opens_it_again(gates: Gates) -> None:
    storm(gates)
    assert gates.ask_all("others", 3, FAST) == []
    gates.advance(9.9)
    assert gates.promote() == []
    gates.advance(0.1)
    [probe] = gates.promote()
    assert gates.state()["probe"] == f"{probe.run}|{probe.instance}"
    gates.advance(1.0)
    assert gates.promote() == []
    gates.make(probe.run, probe.instance, attempt=probe.attempt)
    gates.advance(0.1)
    assert len(gates.promote()) == 3
    assert gates.state()["closed_until"] == 0


def test_a_call_that_was_let_through_goes_back_if_the_weather_comes_up_before_it_starts(gates: Gates) -> None:
    assert gates.ask_all("r", 2, FAST) == ["c000", "c001"]
    storm(gates)
    assert gates.start("r", "c000") is Refusal.PARKED
    assert gates.instance_state("r", "c000") == "waiting"
    assert gates.start("r", "c000") is Refusal.REFUSED, "its message came twice"
    assert gates.start("r", "c001") is Refusal.PARKED
    assert gates.held() == {}
    gates.advance(10.0)
    [probe] = gates.promote()
    gates.make(probe.run, probe.instance, attempt=probe.attempt)
    gates.advance(1.0)
    assert len(gates.promote()) == 2


def test_the_wait_is_doubled_with_each_probe_that_is_refused(gates: Gates) -> None:
    storm(gates, wait_seconds=None)
    attempt, waits = 2, []
    for _ in range(8):
        waits.append((gates.state()["closed_until"] - gates.now_ms) / 1000)
        gates.advance(waits[-1])
        assert names_of(gates) == ["c000"]
        assert isinstance(gates.start("storm", "c000", attempt), Claim)
        assert gates.leave("storm", "c000", refusal(), attempt) == (Parking.READY, attempt + 1)
        attempt += 1
        assert gates.ask("storm", "c000", attempt=attempt) == "wait"
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_what_a_refused_probe_asks_for_is_kept(gates: Gates) -> None:
    storm(gates, wait_seconds=1.0)
    gates.advance(1.0)
    assert names_of(gates) == ["c000"]
    gates.start("storm", "c000", 2)
    gates.leave("storm", "c000", refusal(45.0), 2)
    assert gates.state()["closed_until"] - gates.now_ms == 45_000


def test_a_probe_whose_worker_dies_is_followed_by_another(gates: Gates) -> None:
    storm(gates)
    gates.ask_all("others", 1, FAST)
    gates.advance(10.0)
    [probe] = gates.promote()
    gates.start(probe.run, probe.instance, probe.attempt)
    gates.advance(60.0)
    assert gates.promote() == []
    gates.leave(probe.run, probe.instance, None, probe.attempt)
    [second] = gates.promote()
    assert (second.run, second.instance) != (probe.run, probe.instance)
    gates.make(second.run, second.instance, attempt=second.attempt)
    assert gates.state()["closed_until"] == 0


def test_a_probe_whose_run_is_cancelled_is_followed_by_another(gates: Gates) -> None:
    storm(gates)
    gates.ask_all("others", 1, FAST)
    gates.advance(10.0)
    [probe] = gates.promote()
    gates.cancel(probe.run)
    assert gates.start(probe.run, probe.instance, probe.attempt) is Refusal.CANCELLED
    assert len(gates.promote()) == 1


def test_answers_that_were_under_way_do_not_open_the_gate(gates: Gates) -> None:
    gates.ask_all("early", 1, FAST)
    gates.start("early", "c000")
    storm(gates)
    gates.end("early", "c000")
    assert gates.state()["closed_until"] == gates.now_ms + 10_000


def test_many_refusals_at_once_are_one_storm(gates: Gates) -> None:
    calls = gates.ask_all("r", 8, FAST)
    for call in calls:
        gates.start("r", call)
    for call in calls:
        gates.leave("r", call, refusal())
    assert gates.state()["storms"] == 1
    assert gates.state()["closed_until"] == gates.now_ms + 1_000


def test_gates_of_other_scopes_stay_open(gates: Gates) -> None:
    storm(gates)
    other = asking(candidate(OTHER_SCOPE))
    assert gates.ask_all("others", 2, other) == ["c000", "c001"]
    assert isinstance(gates.make("others", "c000"), Claim)


def test_an_overload_closes_the_gate_and_says_nothing_of_the_limit(gates: Gates) -> None:
    storm(gates, kind="overload")
    assert gates.state()["closed_until"] == gates.now_ms + 10_000
    assert "rate" not in gates.state()


@pytest.mark.parametrize("kind", ["timeout", "connection", "server"])
def test_five_failures_in_a_row_close_the_gate_for_half_a_minute(gates: Gates, kind: str) -> None:
    gates.ask_all("r", 7, FAST)
    for number in range(4):
        gates.make("r", f"c{number:03}", Report(kind, cost_nano_usd=0))
    assert gates.state()["closed_until"] == 0
    gates.make("r", "c004")
    assert gates.state()["bad"] == 0, "an answer in between begins a new row"
    gates.open("more", [f"c{number:03}" for number in range(6)])
    for number in range(5):
        gates.ask("more", f"c{number:03}", FAST)
        gates.make("more", f"c{number:03}", Report(kind, cost_nano_usd=0))
    assert gates.state()["closed_until"] == gates.now_ms + 30_000
    assert kind in gates.state()["closed_for"]
    assert gates.start("r", "c005") is Refusal.PARKED


def test_a_call_with_another_model_goes_there_while_the_circuit_is_broken(gates: Gates) -> None:
    gates.ask_all("r", 5, FAST)
    for number in range(5):
        gates.make("r", f"c{number:03}", Report("server", cost_nano_usd=0))
    both = asking(candidate(limits={"requests": 60_000}), candidate(OTHER_SCOPE, queue="model.other"))
    gates.open("next", ["a", "b"])
    assert gates.ask("next", "a", both) == "model.other"
    assert gates.held(OTHER_SCOPE)["calls"] == 1
    gates.advance(30.0)
    assert gates.ask("next", "b", both) == QUEUE, "one call finds out whether the first model answers again"


def test_a_call_does_not_change_its_model_for_the_weather(gates: Gates) -> None:
    storm(gates)
    both = asking(candidate(limits={"requests": 60_000}), candidate(OTHER_SCOPE))
    gates.open("next", ["a"])
    assert gates.ask("next", "a", both) == "wait"


def test_a_provider_that_is_away_for_a_minute_gets_all_calls_in_the_end(gates: Gates) -> None:
    provider = Provider(headers=False, retry_after=False, most_in_flight=0)
    simulation = Simulation(gates, provider)
    simulation.arrive("r", [0.0] * 40, FAST)
    simulation.at(60.0, lambda: setattr(provider, "most_in_flight", 1000))
    simulation.go()
    assert simulation.ended == 40
    assert len(provider.refused) <= 40 + 8, "those under way when it began, and the probes"
    assert gates.held() == {}
