"""Calls that wait at a gate go in fair order.

First comes the tenant that was served least, of it the run that was served least, of that the call that waits longest.
So a run of a thousand calls does not keep a run of three waiting, nor one tenant's hundred runs another tenant's one;
and whoever comes late stands where the least served stands, without credit for the time in which it asked for nothing.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_worker.records import Refusal, Repair
from tests.conftest import RedisServer
from tests.fundamentals.gates import NOT_SENT, QUEUE, Gates, asking, candidate, gates_on

ONE_A_SECOND = 60.7
"""Requests a minute; a gate keeps 99 % of a limit by pacing."""


def slow(tenant: str = "") -> str:
    return asking(candidate(limits={"requests": ONE_A_SECOND}), tenant=tenant)


def close_the_door(gates: Gates) -> None:
    """Use up what may go at once, so that whoever comes now has to wait."""
    assert gates.ask_all("first", 1, slow("somebody")) == ["c000"]


def served(gates: Gates, calls: int) -> list[tuple[str, str]]:
    """The next so many (run, instance) that the gate lets through, one a second."""
    order: list[tuple[str, str]] = []
    for _ in range(3 * calls + 10):
        if len(order) >= calls:
            break
        gates.advance(1.0)
        order += [(one.run, one.instance) for one in gates.promote()]
    return order


def runs_of(order: list[tuple[str, str]]) -> list[str]:
    return [run for run, _ in order]


def test_runs_of_one_size_take_turns(gates: Gates) -> None:
    close_the_door(gates)
    for run in ("a", "b", "c"):
        assert gates.ask_all(run, 4, slow()) == []
    rounds = [set(runs_of(served(gates, 3))) for _ in range(4)]
    assert rounds == [{"a", "b", "c"}] * 4


def test_a_small_run_does_not_wait_for_a_large_one(gates: Gates) -> None:
    close_the_door(gates)
    gates.ask_all("large", 40, slow())
    gates.ask_all("middle", 6, slow())
    gates.ask_all("small", 2, slow())
    order = runs_of(served(gates, 48))
    assert max(at for at, run in enumerate(order) if run == "small") < 6
    assert max(at for at, run in enumerate(order) if run == "middle") < 14
    assert Counter(order) == {"large": 40, "middle": 6, "small": 2}


def test_calls_of_a_run_go_in_the_order_in_which_they_came(gates: Gates) -> None:
    close_the_door(gates)
    gates.open("r", ["x", "m", "a"])
    for instance in ("m", "x", "a"):
        gates.ask("r", instance, slow())
        gates.advance(0.01)
    assert [instance for _, instance in served(gates, 3)] == ["m", "x", "a"]


def test_two_tenants_get_half_each_however_many_runs_they_have(gates: Gates) -> None:
    close_the_door(gates)
    for number in range(5):
        gates.ask_all(f"many{number}", 5, slow("many"), tenant="many")
    gates.ask_all("one", 5, slow("one"), tenant="one")
    order = runs_of(served(gates, 10))
    assert Counter(run.rstrip("01234") for run in order) == {"many": 5, "one": 5}
    assert set(order) == {"one", *(f"many{number}" for number in range(5))}


def test_a_latecomer_has_neither_credit_nor_debt(gates: Gates) -> None:
    close_the_door(gates)
    gates.ask_all("early", 30, slow())
    served(gates, 10)
    gates.ask_all("late", 5, slow())
    order = runs_of(served(gates, 10))
    assert Counter(order) == {"early": 5, "late": 5}
    longest = max(len(list(same)) for _, same in groupby(order))
    assert longest <= 2, "who comes late makes up for nothing"


def test_a_cancelled_run_holds_nobody_up(gates: Gates) -> None:
    close_the_door(gates)
    gates.ask_all("gone", 5, slow())
    gates.ask_all("stays", 3, slow())
    gates.cancel("gone")
    gates.advance(3600)
    for due in gates.store.sweep():
        if due.repair is Repair.PUBLISH:
            assert gates.ask(due.run, due.instance) == QUEUE, "its message goes out, so that its step can end"
            assert gates.start(due.run, due.instance) is Refusal.CANCELLED
    assert gates.in_line() == 3
    assert runs_of(served(gates, 3)) == ["stays"] * 3
    assert gates.in_line() == 0


def test_a_call_that_was_let_through_and_not_sent_leaves_its_place_to_the_next(gates: Gates) -> None:
    close_the_door(gates)
    gates.ask_all("r", 2, slow())
    gates.make("first", "c000", NOT_SENT)
    assert [one.instance for one in gates.promote()] == ["c000"]


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(1, 12), min_size=2, max_size=5))
def test_nobody_is_passed_over_and_nobody_goes_twice(server: RedisServer, sizes: list[int]) -> None:
    with gates_on(server) as gates:
        close_the_door(gates)
        for number, calls in enumerate(sizes):
            gates.ask_all(f"run{number}", calls, slow())
        order = served(gates, sum(sizes))
        assert len(order) == len(set(order)) == sum(sizes)
        assert gates.in_line() == 0
        last: dict[str, int] = {run: at for at, (run, _) in enumerate(order)}
        for number, calls in enumerate(sizes):
            fair_turns = sum(min(calls, other) for other in sizes)
            assert last[f"run{number}"] < fair_turns, "a run of equals waits for its equals only"
