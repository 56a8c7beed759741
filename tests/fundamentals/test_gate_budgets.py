"""Money is reserved before a call is made, and never more of it than there is.

Whatever calls cost in the end, as long as that is not more than the most that they could: what is spent and what is
reserved never pass a cap together. And a budget is not left lying for fear of passing it: nearly all of it can be used.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Json
from orchestrator_worker.records import Claim, Parking, Refusal, Repair, Report
from tests.conftest import RedisServer
from tests.fundamentals.gates import NOT_SENT, OTHER_SCOPE, QUEUE, SCOPE, Gates, asking, candidate, gates_on, refusal

BUDGET = "run:r"

INPUT_NANO, OUTPUT_NANO = 1_000, 4_000
INPUT, MOST_INPUT, LONGEST = 100, 200, 100

FIRST_NANO = MOST_INPUT * INPUT_NANO + LONGEST * OUTPUT_NANO
"""What a call may cost while nothing is known of its model."""


def paid(cap: int, on: str = "fail", *others: dict[str, Json], **fields: object) -> str:
    """A call on the account of one budget."""
    usd = fields.pop("usd", (INPUT_NANO, OUTPUT_NANO))
    priced = candidate(usd=usd, input=INPUT, most=MOST_INPUT, longest=LONGEST)
    return asking(priced, *others, budgets=[{"id": BUDGET, "cap": cap, "on": on}], **fields)


def answered(input_tokens: int = INPUT, output_tokens: int = 50) -> Report:
    """A call that used so much, at the prices of these tests."""
    cost = input_tokens * INPUT_NANO + output_tokens * OUTPUT_NANO
    return Report("ok", input_tokens=input_tokens, output_tokens=output_tokens, cost_nano_usd=cost)


def spent(gates: Gates, budget: str = BUDGET) -> tuple[int, int]:
    """What is spent, and what is reserved."""
    return gates.money(budget, "spent"), gates.money(budget, "reserved")


def test_what_a_call_may_cost_is_reserved_and_what_it_costs_is_spent(gates: Gates) -> None:
    gates.ask_all("r", 1, paid(10 * FIRST_NANO))
    assert spent(gates) == (0, FIRST_NANO)
    gates.make("r", "c000", answered())
    assert spent(gates) == (300_000, 0)


def test_what_was_not_sent_and_what_was_refused_costs_nothing(gates: Gates) -> None:
    gates.ask_all("r", 2, paid(10 * FIRST_NANO))
    gates.make("r", "c000", NOT_SENT)
    gates.start("r", "c001")
    gates.leave("r", "c001", refusal(1.0))
    assert spent(gates) == (0, 0)


def test_a_call_of_which_nobody_knows_the_end_has_cost_all_that_it_may(gates: Gates) -> None:
    gates.ask_all("r", 2, paid(10 * FIRST_NANO))
    gates.make("r", "c000", None)
    gates.make("r", "c001", Report("timeout"))
    assert spent(gates) == (2 * FIRST_NANO, 0)


# --- at the end of the money -----------------------------------------------------------------------------------------


def test_a_call_waits_for_money_that_others_may_give_back(gates: Gates) -> None:
    assert gates.ask_all("r", 3, paid(2 * FIRST_NANO)) == ["c000", "c001"]
    assert gates.call("r", "c002")["why"] == "budget"
    assert gates.promote() == []
    gates.make("r", "c000", answered(INPUT, 1))
    assert [one.instance for one in gates.promote()] == ["c002"]


def test_a_call_that_no_budget_will_ever_pay_for_is_refused(gates: Gates) -> None:
    assert gates.ask_all("r", 1, paid(FIRST_NANO - 1)) == ["c000"], "its message goes out, so that its step can fail"
    claim = gates.start("r", "c000")
    assert isinstance(claim, Claim)
    assert claim.admitted is not None
    assert (claim.admitted.state, BUDGET in claim.admitted.words) == ("refused", True)
    gates.check_lives()
    gates.end("r", "c000", NOT_SENT)
    assert spent(gates) == (0, 0)


def test_those_that_wait_hear_of_it_when_their_money_is_gone_for_good(gates: Gates) -> None:
    assert gates.ask_all("r", 9, paid(FIRST_NANO)) == ["c000"]
    gates.make("r", "c000", answered(MOST_INPUT, LONGEST))
    gates.check_lives()
    assert len(gates.promote()) == 8
    assert {gates.call("r", f"c{number:03}")["state"] for number in range(1, 9)} == {"refused"}


def test_a_paused_call_goes_once_a_person_raises_the_budget(gates: Gates) -> None:
    assert gates.ask_all("r", 2, paid(FIRST_NANO, "pause")) == ["c000"]
    gates.make("r", "c000", answered(MOST_INPUT, LONGEST))
    assert gates.promote() == []
    gates.redis.hset(names.budget(BUDGET), "cap", 10 * FIRST_NANO)
    gates.redis.rpush(names.AGAIN, *gates.redis.zrange(names.short(BUDGET), 0, -1))
    gates.redis.expire(names.AGAIN, 60)
    gates.redis.delete(names.short(BUDGET))
    assert [one.instance for one in gates.promote()] == ["c001"]


def test_a_cheaper_model_is_asked_where_the_first_is_too_dear(gates: Gates) -> None:
    cheap = candidate(OTHER_SCOPE, usd=(10, 40), most=MOST_INPUT, longest=LONGEST, queue="model.cheap")
    gates.open("r", ["a"])
    assert gates.ask("r", "a", paid(FIRST_NANO - 1, "cheaper", cheap)) == "model.cheap"
    assert spent(gates) == (0, 200 * 10 + 100 * 40)
    assert (gates.held(), gates.held(OTHER_SCOPE)["calls"]) == ({}, 1)


def test_where_even_the_cheaper_model_is_too_dear_the_call_is_refused(gates: Gates) -> None:
    cheap = candidate(OTHER_SCOPE, usd=(10, 40), most=MOST_INPUT, longest=LONGEST)
    gates.ask_all("r", 1, paid(100, "cheaper", cheap))
    assert gates.call("r", "c000")["state"] == "refused"


def test_a_budget_never_pays_for_a_call_whose_price_nobody_knows(gates: Gates) -> None:
    gates.ask_all("r", 1, paid(10**12, usd=None))
    assert gates.call("r", "c000")["state"] == "refused"
    assert "no price" in gates.call("r", "c000")["words"]


def test_the_tightest_of_several_budgets_counts_and_all_are_charged(gates: Gates) -> None:
    both: list[Json] = [
        {"id": BUDGET, "cap": 10 * FIRST_NANO, "on": "fail"},
        {"id": "tenant:t:ever", "cap": 2 * FIRST_NANO, "on": "fail", "ttl_s": 1000},
    ]
    priced = candidate(usd=(INPUT_NANO, OUTPUT_NANO), most=MOST_INPUT, longest=LONGEST)
    assert gates.ask_all("r", 3, asking(priced, budgets=both)) == ["c000", "c001"]
    gates.make("r", "c000", answered())
    assert spent(gates) == spent(gates, "tenant:t:ever") == (300_000, FIRST_NANO)
    assert gates.redis.ttl(names.budget("tenant:t:ever")) <= 1000


def test_a_reply_is_cut_to_what_the_budget_pays_for(gates: Gates) -> None:
    long = candidate(usd=(INPUT_NANO, OUTPUT_NANO), most=MOST_INPUT, longest=100_000)
    budgets: list[Json] = [{"id": BUDGET, "cap": 80_000_000, "on": "fail"}]
    gates.ask_all("r", 1, asking(long, budgets=budgets))
    claim = gates.start("r", "c000")
    assert isinstance(claim, Claim)
    assert claim.admitted is not None
    assert claim.admitted.granted_tokens == (80_000_000 // 8 - MOST_INPUT * INPUT_NANO) // OUTPUT_NANO
    assert spent(gates) == (0, 10_000_000)


def test_a_call_that_went_back_for_the_weather_gives_its_money_back_until_it_goes(gates: Gates) -> None:
    gates.ask_all("r", 3, paid(2 * FIRST_NANO))
    gates.start("r", "c000")
    assert gates.leave("r", "c000", refusal(5.0)) == (Parking.READY, 2)
    gates.start("r", "c001")
    assert gates.instance_state("r", "c001") == "waiting"
    gates.check_lives()
    assert spent(gates) == (0, 0)


def test_a_cancelled_call_that_waited_for_money_takes_nobodys_turn(gates: Gates) -> None:
    gates.ask_all("gone", 6, paid(FIRST_NANO))
    assert gates.ask_all("stays", 1, paid(FIRST_NANO)) == []
    gates.start("gone", "c000")
    gates.cancel("gone")
    gates.advance(6.0)
    for due in gates.store.sweep():
        if due.repair is Repair.PUBLISH:
            assert gates.start(due.run, due.instance) is Refusal.CANCELLED
    gates.redis.delete(names.AGAIN)
    gates.end("gone", "c000", NOT_SENT)
    assert [one.run for one in gates.promote()] == ["stays"]


# --- whatever calls cost ---------------------------------------------------------------------------------------------


class Spenders:
    """Calls of one budget that start, end and ask again at random; the budget is looked at after each step."""

    def __init__(self, gates: Gates, cap: int, seed: int) -> None:
        self.gates, self.cap, self.dice = gates, cap, random.Random(seed)
        self.let_through: list[tuple[str, int]] = []

    def run(self, calls: int) -> None:
        self.let_through = [(instance, 1) for instance in self.gates.ask_all("r", calls, paid(self.cap))]
        self.look()
        while self.let_through:
            self.dice.shuffle(self.let_through)
            self.step(*self.let_through.pop())
            self.look()
            self.let_through += self.promoted()

    def promoted(self) -> list[tuple[str, int]]:
        """What may go now; if nothing may and nothing is under way, what may go once the weather has passed."""
        for _ in range(70):
            promoted = [(one.instance, one.attempt) for one in self.gates.promote()]
            self.look()
            if promoted or self.let_through:
                return promoted
            self.gates.advance(1.0)
        return []

    def step(self, instance: str, attempt: int) -> None:
        """One call is made; a fifth of them come back for another attempt."""
        claim = self.gates.start("r", instance, attempt)
        if claim is Refusal.PARKED:
            return
        assert isinstance(claim, Claim)
        assert claim.admitted is not None
        if claim.admitted.state == "refused":
            self.gates.end("r", instance, NOT_SENT, attempt)
            return
        granted = claim.admitted.granted_tokens or 0
        report = self.dice.choice(
            [answered(INPUT, self.dice.randint(1, granted)), answered(INPUT, granted), NOT_SENT, refusal(0.0), None]
        )
        if self.dice.random() < 0.2 and attempt < 4:
            _, after = self.gates.leave("r", instance, report, attempt)
            if self.gates.ask("r", instance, attempt=after) == QUEUE:
                self.let_through.append((instance, after))
        else:
            self.gates.end("r", instance, report, attempt)

    def look(self) -> None:
        out, kept = spent(self.gates)
        assert out >= 0
        assert kept >= 0
        assert out + kept <= self.cap


@settings(max_examples=40)
@given(cap=st.integers(0, 12 * FIRST_NANO), calls=st.integers(1, 25), seed=st.integers(0, 2**32))
def test_spent_and_reserved_never_pass_the_cap(server: RedisServer, cap: int, calls: int, seed: int) -> None:
    with gates_on(server) as gates:
        spenders = Spenders(gates, cap, seed)
        spenders.run(calls)
        out, kept = spent(gates)
        assert kept == 0
        assert out <= cap
        assert gates.held() == {}
        assert {gates.instance_state("r", f"c{number:03}") for number in range(calls)} == {""}, "a call was left behind"


def test_nearly_all_of_a_budget_can_be_used(gates: Gates) -> None:
    dice = random.Random(0)
    cost = INPUT * INPUT_NANO + 75 * OUTPUT_NANO
    cap = 50 * cost
    going = gates.ask_all("r", 200, paid(cap))
    while going:
        instance = going.pop(0)
        claim = gates.start("r", instance)
        assert isinstance(claim, Claim)
        assert claim.admitted is not None
        refused = claim.admitted.state == "refused"
        gates.end("r", instance, NOT_SENT if refused else answered(INPUT, dice.randint(50, 100)))
        going += [one.instance for one in gates.promote()]
    out, kept = spent(gates)
    assert kept == 0
    assert 0.95 * cap <= out <= cap


def test_every_call_is_entered_in_the_ledger_once(gates: Gates) -> None:
    call = paid(10**12, tenant="acme", tags=["red", "blue"])
    gates.ask_all("r", 3, call)
    gates.make("r", "c000", answered(100, 50))
    gates.end("r", "c000", answered(100, 50))
    gates.make("r", "c001", answered(300, 10))
    gates.make("r", "c002", NOT_SENT)
    stored = gates.redis.hgetall(names.ledger(gates.now_ms // 86_400_000))
    ledger = {field.decode(): int(amount) for field, amount in stored.items()}
    model = SCOPE.replace("default/", "")
    sums = {"calls": 2, "input": 400, "output": 60, "nano": 400 * INPUT_NANO + 60 * OUTPUT_NANO}
    places = ("all|", "tenant|acme", "tag|red", "tag|blue")
    assert ledger == {f"{place}|{model}|{what}": amount for place in places for what, amount in sums.items()}
    history = gates.redis.hgetall(names.history("p", "s"))
    assert (history[b"n"], history[b"input_max"], history[b"output_max"]) == (b"2", b"300", b"50")
