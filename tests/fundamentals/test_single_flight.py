"""Of calls that ask the same, one is made; the others wait for its answer.

Whatever becomes of that one, the others are not forgotten: where it leaves no answer, the next of them makes the call.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator_client.contract import names
from orchestrator_worker.records import Claim, Parking, Refusal, Report
from tests.conftest import RedisServer
from tests.fundamentals.gates import NOT_SENT, QUEUE, Gates, asking, gates_on, refusal

SAME = asking(digest="d1", life_s=60)
ANSWER = Report("ok", input_tokens=100, output_tokens=50, reply_json='{"text": "yes"}')
CACHED = Report("cached", sent=False)


@pytest.fixture
def gates(_redis_session: RedisServer) -> Iterator[Gates]:
    with gates_on(_redis_session) as gates:
        yield gates


def three(gates: Gates) -> None:
    """A leader and two followers, one of them in another run."""
    assert gates.ask_all("r", 2, SAME) == ["c000"]
    assert gates.ask_all("other", 1, SAME) == []
    assert gates.call("r", "c001")["why"] == gates.call("other", "c000")["why"] == "cache"


def state_of(claim: Claim | Refusal) -> str:
    assert isinstance(claim, Claim)
    assert claim.admitted is not None
    return claim.admitted.state


def promoted(gates: Gates) -> set[tuple[str, str]]:
    return {(one.run, one.instance) for one in gates.promote()}


def test_followers_take_the_leaders_answer(gates: Gates) -> None:
    three(gates)
    gates.make("r", "c000", ANSWER)
    gates.check_lives()
    assert promoted(gates) == {("r", "c001"), ("other", "c000")}
    assert state_of(gates.make("r", "c001", CACHED)) == state_of(gates.make("other", "c000", CACHED)) == "cached"
    assert gates.store.cached("d1") == {"text": "yes"}
    assert gates.held() == {}


def test_an_answer_in_the_cache_is_taken_at_once_and_only_for_its_life(gates: Gates) -> None:
    gates.ask_all("r", 1, SAME)
    gates.make("r", "c000", ANSWER)
    assert gates.ask_all("next", 1, SAME) == ["c000"]
    assert gates.call("next", "c000")["state"] == "cached"
    assert 0 < gates.redis.ttl(names.cached("d1")) <= 60


@pytest.mark.parametrize("report", [None, NOT_SENT, Report("bad_request"), Report("timeout")])
def test_if_the_leader_ends_without_an_answer_one_of_the_followers_leads(gates: Gates, report: Report | None) -> None:
    three(gates)
    gates.make("r", "c000", report)
    [leader] = promoted(gates)
    assert state_of(gates.make(*leader, ANSWER)) == "admitted"
    assert len(promoted(gates)) == 1


def test_if_the_leader_is_cancelled_one_of_the_followers_leads(gates: Gates) -> None:
    three(gates)
    gates.cancel("r")
    assert gates.start("r", "c000") is Refusal.CANCELLED
    assert gates.start("r", "c001") is Refusal.REFUSED
    gates.advance(10)
    for due in gates.store.sweep():
        if due.instance:
            gates.start(due.run, due.instance)
    assert promoted(gates) == {("other", "c000")}
    assert state_of(gates.make("other", "c000", ANSWER)) == "admitted"


def test_if_the_leader_comes_back_asking_for_something_else_nobody_waits_for_it(gates: Gates) -> None:
    three(gates)
    gates.start("r", "c000")
    assert gates.leave("r", "c000", Report("server")) == (Parking.READY, 2)
    gates.calls["r", "c000"] = asking(digest="another model's", life_s=60)
    assert gates.ask("r", "c000", attempt=2) == QUEUE
    assert len(promoted(gates)) == 1


def test_a_leader_that_is_refused_by_the_provider_leaves_the_others_waiting_at_the_gate(gates: Gates) -> None:
    three(gates)
    gates.start("r", "c000")
    gates.leave("r", "c000", refusal(10.0))
    assert gates.ask("r", "c000", attempt=2) == "wait"
    assert promoted(gates) == set()
    gates.advance(10.0)
    [leader] = gates.promote()
    gates.make(leader.run, leader.instance, ANSWER, leader.attempt)
    assert len(promoted(gates)) == 2


def test_a_turn_of_a_conversation_whose_answer_is_kept_serves_the_others(gates: Gates) -> None:
    three(gates)
    gates.start("r", "c000")
    gates.leave("r", "c000", ANSWER, wait_seconds=30.0)
    assert promoted(gates) == {("r", "c001"), ("other", "c000")}
    assert gates.call("r", "c001")["state"] == "cached"


def test_other_requests_do_not_wait(gates: Gates) -> None:
    three(gates)
    assert gates.ask_all("different", 1, asking(digest="d2", life_s=60)) == ["c000"]
    assert gates.ask_all("uncached", 1, asking()) == ["c000"]
