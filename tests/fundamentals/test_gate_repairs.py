"""Whatever is lost, doubled or killed on the way: every call gets through, and nothing stays reserved.

What a gate holds for a call it gives back, however the call ends: with an answer, with a worker that dies, with a run
that is cancelled. Each script may run twice with the same arguments, for its reply may be lost. And what a waiting call
waits in may vanish: `sweep` knows each instance that waits, and has it looked at once more.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract import names
from orchestrator_client.contract.run import Outcome
from orchestrator_worker.records import Claim, Parking, Refusal, Repair, Report, Settlement
from tests.conftest import RedisServer
from tests.fundamentals.gates import (
    NOT_SENT,
    OK,
    OTHER_SCOPE,
    QUEUE,
    SCOPE,
    Gates,
    asking,
    candidate,
    gates_on,
    refusal,
)

BUDGET = "run:r"


def full_call(**limits: float) -> str:
    """A call with everything that can be reserved."""
    priced = candidate(limits=limits, usd=(1_000, 4_000))
    return asking(priced, candidate(OTHER_SCOPE), budgets=[{"id": BUDGET, "cap": 10**10, "on": "fail"}], tags=["x"])


def nothing_is_reserved(gates: Gates) -> None:
    assert gates.held() == gates.held(OTHER_SCOPE) == {}
    assert gates.money(BUDGET, "reserved") == 0


# --- lost workers ----------------------------------------------------------------------------------------------------


def test_a_lost_worker_gives_its_place_back_and_what_it_may_have_used_stays_used(gates: Gates) -> None:
    assert gates.ask_all("r", 3, full_call(in_flight=2, requests=600)) == ["c000", "c001"]
    gates.start("r", "c000")
    gates.advance(60.0)
    gates.store.sweep()
    gates.advance(10.0)
    lost = [due for due in gates.store.sweep() if due.repair is Repair.LOST]
    assert [(due.instance, due.attempt) for due in lost] == [("c000", 1)]
    assert gates.leave("r", "c000", None) == (Parking.READY, 2)
    assert gates.held()["calls"] == 1
    assert gates.money(BUDGET, "spent") > 0
    assert [one.instance for one in gates.promote()] == ["c002"]


def test_a_call_that_is_given_up_for_good_is_no_longer_held(gates: Gates) -> None:
    gates.ask_all("r", 1, full_call(in_flight=1))
    gates.start("r", "c000")
    assert gates.end("r", "c000", None, outcome=Outcome.FAILED) is Settlement.SETTLED
    nothing_is_reserved(gates)
    assert gates.redis.hlen(names.RunKeys("r").calls) == 0


def test_a_report_that_comes_after_its_attempt_was_given_up_changes_nothing(gates: Gates) -> None:
    gates.ask_all("r", 1, full_call(in_flight=1))
    gates.start("r", "c000")
    gates.leave("r", "c000", None)
    before = gates.snapshot()
    assert gates.end("r", "c000", OK, attempt=1) is Settlement.REFUSED
    assert gates.leave("r", "c000", OK, attempt=1)[0] is Parking.REFUSED
    assert gates.snapshot() == before


class Fleet:
    """Workers that start calls, are refused, die and come back, at random, until all calls have ended."""

    def __init__(self, gates: Gates, seed: int) -> None:
        self.gates, self.dice = gates, random.Random(seed)
        self.messages: list[tuple[str, str, int]] = []
        self.running: list[tuple[str, str, int]] = []

    def submit(self, run: str, calls: int, call: str, tenant: str) -> None:
        self.messages += [(run, instance, 1) for instance in self.gates.ask_all(run, calls, call, tenant)]

    def until_all_have_ended(self, rounds: int = 600) -> None:
        for _ in range(rounds):
            self.gates.advance(self.dice.choice([0.0, 0.1, 2.0]))
            self.pump_and_sweep()
            self.start_some()
            self.end_some()
            if not self.open_instances():
                return
        raise AssertionError(f"calls were left behind: {self.open_instances()}")

    def open_instances(self) -> dict[bytes, bytes]:
        keys = self.gates.redis.scan_iter("orc:{*}:instances", count=1000)
        return {instance: state for key in keys for instance, state in self.gates.redis.hgetall(key).items()}

    def pump_and_sweep(self) -> None:
        self.messages += [(one.run, one.instance, one.attempt) for one in self.gates.promote()]
        for due in self.gates.store.sweep():
            if due.repair is Repair.LOST:
                self.come_back(due.run, due.instance, due.attempt, None)
            elif due.instance:
                self.ask(due.run, due.instance, due.attempt)

    def ask(self, run: str, instance: str, attempt: int) -> None:
        if self.gates.ask(run, instance, attempt=attempt) == QUEUE:
            self.messages.append((run, instance, attempt))

    def come_back(self, run: str, instance: str, attempt: int, report: Report | None) -> None:
        parked, after = self.gates.leave(run, instance, report, attempt)
        if parked is Parking.HALTED:
            self.gates.end(run, instance, report, attempt, Outcome.CANCELLED)
        elif parked is Parking.READY:
            self.ask(run, instance, after)

    def start_some(self) -> None:
        self.dice.shuffle(self.messages)
        for message in [self.messages.pop() for _ in range(self.dice.randint(0, len(self.messages)))]:
            if isinstance(self.gates.start(*message), Claim):
                self.running.append(message)
            if self.dice.random() < 0.2:
                self.gates.start(*message, token="doubled")

    def end_some(self) -> None:
        self.dice.shuffle(self.running)
        for message in [self.running.pop() for _ in range(self.dice.randint(0, len(self.running)))]:
            match self.dice.choice(["answered", "answered", "refused", "failed", "unsent", "killed"]):
                case "answered":
                    self.gates.end(*message[:2], OK, message[2])
                case "refused":
                    self.come_back(*message, refusal(self.dice.choice([0.1, 3.0])))
                case "failed":
                    self.come_back(*message, Report("server"))
                case "unsent":
                    self.come_back(*message, NOT_SENT)
                case "killed":
                    pass


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    cancelled=st.booleans(),
    digest=st.booleans(),
)
def test_once_everything_has_ended_nothing_is_reserved(
    server: RedisServer, seed: int, sizes: list[int], cancelled: bool, digest: bool
) -> None:
    with gates_on(server) as gates:
        fleet = Fleet(gates, seed)
        limits = {"requests": 600, "in_flight": 3, "tokens": 100_000}
        same = {"digest": "d", "life_s": 60} if digest else {}
        priced = candidate(limits=limits, usd=(1_000, 4_000))
        budgets = [{"id": BUDGET, "cap": 10**9, "on": "fail"}]
        for number, calls in enumerate(sizes):
            call = asking(priced, candidate(OTHER_SCOPE), budgets=budgets, tenant=f"t{number % 2}", **same)
            fleet.submit(f"run{number}", calls, call, f"t{number % 2}")
        if cancelled:
            gates.cancel("run0")
        fleet.until_all_have_ended()
        gates.advance(60.0)
        assert gates.promote() == []
        nothing_is_reserved(gates)
        assert gates.in_line() == 0
        assert list(gates.redis.scan_iter("orc:flight:*")) == []
        assert list(gates.redis.scan_iter("orc:short:*")) == []
        assert all(not gates.redis.hlen(names.RunKeys(f"run{number}").calls) for number in range(len(sizes)))


# --- what comes twice ------------------------------------------------------------------------------------------------


def changes_nothing(gates: Gates, verb: Callable[[], object]) -> object:
    """Do once more what was done, and return its answer."""
    before = gates.snapshot()
    answer = verb()
    assert gates.snapshot() == before
    return answer


def test_each_script_may_run_twice(gates: Gates) -> None:
    gates.ask_all("r", 2, full_call(in_flight=1))
    assert changes_nothing(gates, lambda: gates.ask("r", "c000")) == QUEUE
    assert changes_nothing(gates, lambda: gates.ask("r", "c001")) == "stale"
    gates.start("r", "c000")
    assert isinstance(changes_nothing(gates, lambda: gates.start("r", "c000")), Claim)
    assert changes_nothing(gates, lambda: gates.start("r", "c000", token="other")) is Refusal.REFUSED
    gates.leave("r", "c000", NOT_SENT, wait_seconds=30.0)
    assert changes_nothing(gates, lambda: gates.leave("r", "c000", NOT_SENT, wait_seconds=30.0)) == (Parking.REFUSED, 0)
    assert [one.instance for one in gates.promote()] == ["c001"]
    assert changes_nothing(gates, gates.promote) == []
    gates.make("r", "c001")
    assert changes_nothing(gates, lambda: gates.end("r", "c001")) is Settlement.AGAIN
    assert changes_nothing(gates, lambda: gates.start("r", "c001")) is Refusal.SETTLED


def test_a_claim_that_sends_a_call_back_may_run_twice(gates: Gates) -> None:
    gates.ask_all("r", 2, full_call(requests=60_000))
    gates.start("r", "c000")
    gates.leave("r", "c000", refusal(10.0))
    assert gates.start("r", "c001") is Refusal.PARKED
    assert changes_nothing(gates, lambda: gates.start("r", "c001")) is Refusal.REFUSED


def test_a_message_that_was_lost_is_sent_again_with_the_reservation_that_stands(gates: Gates) -> None:
    gates.ask_all("r", 1, full_call(in_flight=1))
    gates.advance(6.0)
    assert [due.repair for due in gates.store.sweep() if due.instance] == [Repair.REPUBLISH]
    assert gates.ask("r", "c000") == QUEUE
    assert gates.held()["calls"] == 1


# --- what vanishes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["agenda", "tenants", "runs", "instances", "all of them"])
def test_a_call_whose_line_is_lost_is_found_by_sweep(gates: Gates, lost: str) -> None:
    assert gates.ask_all("r", 2, full_call(in_flight=1)) == ["c000"]
    line = names.waiting(SCOPE)
    keys = {"agenda": names.AGENDA, "tenants": line, "runs": f"{line}|", "instances": f"{line}||r"}
    gates.redis.delete(*(keys.values() if lost == "all of them" else [keys[lost]]))
    gates.make("r", "c000")
    gates.advance(6.0)
    gates.store.sweep()
    gates.check_lives()
    assert [one.instance for one in gates.promote()] == ["c001"]
    gates.make("r", "c001")
    nothing_is_reserved(gates)


def test_a_follower_whose_leader_is_forgotten_is_found_by_sweep(gates: Gates) -> None:
    gates.ask_all("r", 2, asking(digest="d", life_s=60))
    gates.redis.delete("orc:flight:d:waiting")
    gates.make("r", "c000", OK)
    assert gates.promote() == []
    gates.advance(6.0)
    gates.store.sweep()
    assert [one.instance for one in gates.promote()] == ["c001"]


def test_calls_that_were_to_be_looked_at_and_were_lost_are_found_by_sweep(gates: Gates) -> None:
    same = asking(digest="d", life_s=60)
    gates.ask_all("r", 2, same)
    gates.make("r", "c000", Report("ok", reply_json='{"text": "yes"}'))
    assert gates.redis.delete(names.AGAIN) == 1
    assert gates.promote() == []
    gates.advance(6.0)
    gates.store.sweep()
    assert [one.instance for one in gates.promote()] == ["c001"]


def test_what_sweep_finds_is_looked_at_at_once(gates: Gates) -> None:
    gates.ask_all("r", 2, asking(digest="d", life_s=60))
    wakes = gates.store.wakes()
    gates.advance(6.0)
    gates.store.sweep()
    heard = gates.redis.pubsub_numsub(names.WAKE)
    assert heard == [(names.WAKE.encode(), 1)]
    wakes.wait(5.0)
    wakes.close()
    assert gates.redis.llen(names.AGAIN) == 1


def test_a_gate_that_is_forgotten_begins_anew_and_owes_nobody(gates: Gates) -> None:
    gates.ask_all("r", 2, full_call(in_flight=2))
    gates.redis.delete(names.gate(SCOPE))
    gates.make("r", "c000")
    gates.make("r", "c001")
    nothing_is_reserved(gates)


# --- lives of keys ---------------------------------------------------------------------------------------------------


def test_every_key_has_a_life_from_the_moment_that_it_exists(gates: Gates) -> None:
    same = asking(
        candidate(limits={"in_flight": 1}, usd=(1_000, 4_000)),
        budgets=[{"id": BUDGET, "cap": 10**10, "on": "fail"}],
        digest="d",
        life_s=60,
    )
    gates.ask_all("r", 3, same)
    gates.check_lives()
    gates.ask_all("other", 3, full_call(in_flight=1))
    gates.check_lives()
    gates.make("r", "c000", Report("ok", input_tokens=100, output_tokens=50, cost_nano_usd=1, reply_json='"yes"'))
    gates.check_lives()
    gates.promote()
    gates.check_lives()
    kinds = {key.decode().split(":")[1] for key in gates.redis.scan_iter(count=1000)}
    assert kinds >= {"gate", "scopes", "agenda", "waiting", "budget", "cache", "ledger", "history", "timetable"}


def test_a_gate_that_only_refused_has_a_life(gates: Gates) -> None:
    broke = asking(
        candidate(limits={"requests": 60}, usd=(10**6, 10**6)), budgets=[{"id": BUDGET, "cap": 1, "on": "fail"}]
    )
    gates.ask_all("r", 1, broke)
    assert gates.call("r", "c000")["state"] == "refused"
    assert gates.redis.ttl(names.gate(SCOPE)) > 0
