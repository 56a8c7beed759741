"""Every run leaves a sound history, whatever becomes of its messages and workers; and no tampering goes unseen.

Runs are those of random plans and graphs. Each is then tampered with, in one way for each promise: the rule of that
promise must say so, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.client.facts import history_of
from orchestrator_client.contract.event import Event, EventKind
from orchestrator_client.contract.plan import Json, OnFailure, Plan
from orchestrator_client.contract.run import Outcome, Receipt, RunState
from orchestrator_client.contract.usage import Usage
from orchestrator_client.history import OUTCOME_OF, History
from orchestrator_client.soundness import RULES, judge
from orchestrator_client.store import Stores
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet, python_step
from tests.integration.loops import finish
from tests.plans.random_graphs import Drawn, graphs
from tests.plans.random_plans import plans
from tests.plans.test_random_graphs import compiled
from tests.plans.test_random_plans import SEEDS, examples


class Past:
    """Runs plans, and reads what is left of them."""

    def __init__(self, fleet: InProcessFleet, folder: Path) -> None:
        self.fleet, self.folder, self.stores, self.runs = fleet, folder, Stores(fleet.client.url, "test"), 0

    def of(self, plan: Plan, seed: int | None, inputs: Mapping[str, Json] = {}) -> History:
        """The history of one run; it begins with an empty store."""
        self.fleet.redis.flushall()
        self.runs += 1
        (folder := self.folder / str(self.runs)).mkdir()
        run = self.fleet.submit(plan, folder=str(folder), **inputs)
        finish(self.fleet, run, seed, deaths=True)
        return history_of(self.stores, run.id)

    def cancelled(self, plan: Plan) -> History:
        """The history of a run that was cancelled after its first step."""
        self.fleet.redis.flushall()
        run = self.fleet.submit(plan)
        message = self.fleet.take("tool")
        assert message is not None
        self.fleet.deliver(message)
        run.cancel()
        finish(self.fleet, run)
        return history_of(self.stores, run.id)


@pytest.fixture(scope="module")
def past(_redis_session: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("past")
    fleet = InProcessFleet.on(_redis_session.url, folder)
    past = Past(fleet, folder)
    yield past
    fleet.redis.flushall()
    past.stores.close()
    fleet.close()


def broken(history: History) -> list[str]:
    """The rules that find something."""
    return [finding.rule for finding in judge(history).findings if not finding.kept]


@settings(examples, max_examples=50)
@given(plan=plans(), seed=SEEDS)
def test_a_pipeline_leaves_a_sound_history(past: Past, plan: Plan, seed: int | None) -> None:
    judgement = judge(past.of(plan, seed))
    assert [finding for finding in judgement.findings if not finding.kept or not finding.judged] == []


@settings(examples, max_examples=30)
@given(drawn=graphs(), seed=SEEDS, given_seed=st.integers(0, 99))
def test_a_graph_leaves_a_sound_history(past: Past, drawn: Drawn, seed: int | None, given_seed: int) -> None:
    if (plan := compiled(drawn)) is not None:
        judgement = judge(past.of(plan, seed, {"seed": given_seed}))
        assert [finding for finding in judgement.findings if not finding.kept or not finding.judged] == []


def test_what_a_tool_asked_may_outlive_its_step(past: Past) -> None:
    history = past.of(CHAIN, None)
    start, end = at(history, EventKind.STEP_STARTED, "first"), at(history, EventKind.STEP_SUCCEEDED, "second")
    asked = {"instance": "first#0.1001"}
    late = told(history, end.model_copy(update=asked), place=history.events.index(end) + 1)
    both = told(late, start.model_copy(update=asked), place=history.events.index(start) + 1)
    assert broken(replace(both, receipts={**both.receipts, "first#0.1001": both.receipts["first"]})) == []


def test_what_a_tool_asks_starts_also_while_its_run_is_paused(past: Past) -> None:
    history = past.of(CHAIN, None)
    start, end = at(history, EventKind.STEP_STARTED, "first"), at(history, EventKind.STEP_SUCCEEDED, "first")
    kinds = (EventKind.PAUSE_REQUESTED, EventKind.STEP_STARTED, EventKind.STEP_SUCCEEDED, EventKind.RESUME_REQUESTED)
    asked = [end.model_copy(update={"kind": kind, "instance": "first#0.1001"}) for kind in kinds]
    paused = told(history, *asked, place=history.events.index(start) + 1)
    paused = replace(paused, receipts={**paused.receipts, "first#0.1001": paused.receipts["first"]})
    assert broken(paused) == []


# --- tampering -------------------------------------------------------------------------------------------------------

CHAIN = Plan(
    id="chain",
    steps=(
        python_step("first"),
        python_step("second", after=("first",)),
        python_step("third", after=("second",), condition="{{ 1 > 2 }}"),
    ),
)
BROKEN = Plan(
    id="broken",
    steps=(
        python_step("bad", "tests.functions:fail", "no", on_failure=OnFailure.SKIP),
        python_step("behind", after=("bad",)),
    ),
)
PRICE = Usage(input_tokens=10, output_tokens=5, cost_usd=Decimal("0.25"))


def told(history: History, *events: Event, place: int | None = None, without: int | None = None) -> History:
    """The history with events put in, and with one left out."""
    kept = [event for at, event in enumerate(history.events) if at != without]
    where = len(kept) if place is None else place
    return replace(history, events=[*kept[:where], *events, *kept[where:]])


def place_of(history: History, kind: EventKind, instance: str = "") -> int:
    return next(at.place for at in history.of_kind(kind) if at.event.instance == instance)


def at(history: History, kind: EventKind, instance: str = "") -> Event:
    return history.events[place_of(history, kind, instance)]


def changed(history: History, event: Event, **fields: object) -> History:
    """The history in which one event says something else."""
    new = event.model_copy(update=fields)
    return replace(history, events=[new if each is event else each for each in history.events])


def with_receipt(history: History, instance: str, **fields: object) -> History:
    receipt: Receipt = history.receipts[instance].model_copy(update=fields)
    return replace(history, receipts={**history.receipts, instance: receipt})


def with_record(history: History, **fields: object) -> History:
    return replace(history, record=history.record.model_copy(update=fields))


def closed_twice(history: History) -> History:
    return told(history, at(history, EventKind.RUN_CLOSED))


def ended_in_another_state(history: History) -> History:
    closed = at(history, EventKind.RUN_CLOSED)
    return with_record(changed(history, closed, data={"state": "cancelled"}), state=RunState.CANCELLED)


def two_outcomes(history: History) -> History:
    end = place_of(history, EventKind.STEP_SUCCEEDED, "second")
    return told(history, history.events[end], place=end)


def another_receipt(history: History) -> History:
    return with_receipt(history, "third", outcome=Outcome.SUCCEEDED)


def early_join(history: History) -> History:
    start = place_of(history, EventKind.STEP_STARTED, "second")
    return told(history, history.events[start], without=start, place=start - 2)


def ran_behind_a_failure(history: History) -> History:
    end = at(history, EventKind.STEP_SKIPPED, "behind")
    return with_receipt(changed(history, end, kind=EventKind.STEP_SUCCEEDED), "behind", outcome=Outcome.SUCCEEDED)


def skipped_for_nothing(history: History) -> History:
    end = at(history, EventKind.STEP_SUCCEEDED, "second")
    return with_receipt(changed(history, end, kind=EventKind.STEP_SKIPPED), "second", outcome=Outcome.SKIPPED)


def started_twice(history: History) -> History:
    start = place_of(history, EventKind.STEP_STARTED, "second")
    return told(history, history.events[start], place=start)


def tried_for_ever(history: History) -> History:
    start, end = at(history, EventKind.STEP_STARTED, "second"), at(history, EventKind.STEP_SUCCEEDED, "second")
    tries = [start.model_copy(update={"attempt": number}) for number in range(2, 10)]
    more = told(changed(history, end, attempt=9), *tries, place=history.events.index(end))
    return with_receipt(more, "second", attempt=9)


def stale_attempt(history: History) -> History:
    start = place_of(history, EventKind.STEP_STARTED, "second")
    return told(history, history.events[start].model_copy(update={"attempt": 2}), place=start + 1)


def started_after_cancel(history: History) -> History:
    asked = place_of(history, EventKind.CANCEL_REQUESTED)
    return told(history, history.events[asked], without=asked, place=2)


def started_while_paused(history: History) -> History:
    pause = history.events[0].model_copy(update={"kind": EventKind.PAUSE_REQUESTED})
    return told(history, pause, place=4)


def lost_step(history: History) -> History:
    """An instance of which nobody heard again: neither an outcome nor a receipt."""
    end = place_of(history, EventKind.STEP_SKIPPED, "third")
    receipts = {name: receipt for name, receipt in history.receipts.items() if name != "third"}
    return replace(told(history, without=end), receipts=receipts)


def half_the_usage(history: History) -> History:
    return with_receipt(history, "second", usage=PRICE)


def spent_elsewhere(history: History) -> History:
    """The receipts say more than was counted on the budget."""
    end = at(history, EventKind.STEP_SUCCEEDED, "second")
    usage = changed(history, end, data={**end.data, "usage": PRICE.model_dump(mode="json")})
    return replace(with_receipt(usage, "second", usage=PRICE), spent_usd=Decimal("0.1"), cap_usd=Decimal(1))


def over_budget(history: History) -> History:
    return replace(history, spent_usd=Decimal("1.1"), cap_usd=Decimal(1))


Tampering = Callable[[History], History]
TAMPERINGS: Mapping[str, tuple[tuple[Plan, Tampering], ...]] = {
    "life": ((CHAIN, closed_twice),),
    "state": ((CHAIN, ended_in_another_state),),
    "one outcome": ((CHAIN, two_outcomes),),
    "receipts": ((CHAIN, another_receipt),),
    "joins": ((CHAIN, early_join),),
    "ways": ((BROKEN, ran_behind_a_failure), (CHAIN, skipped_for_nothing)),
    "order": ((CHAIN, started_twice),),
    "attempts": ((CHAIN, tried_for_ever),),
    "fence": ((CHAIN, stale_attempt),),
    "end": ((CHAIN, started_while_paused),),
    "complete": ((CHAIN, lost_step),),
    "costs": ((CHAIN, half_the_usage), (CHAIN, spent_elsewhere)),
    "budget": ((CHAIN, over_budget),),
}


@pytest.mark.parametrize(
    ("rule", "plan", "tamper"),
    [pytest.param(rule, plan, how, id=how.__name__) for rule, ways in TAMPERINGS.items() for plan, how in ways],
)
def test_a_tampering_is_seen_by_its_rule_alone(past: Past, rule: str, plan: Plan, tamper: Tampering) -> None:
    history = past.of(plan, None)
    assert broken(history) == []
    assert broken(tamper(history)) == [rule]


def test_a_start_after_the_wish_to_cancel_is_seen(past: Past) -> None:
    history = past.cancelled(CHAIN)
    assert (history.record.state, broken(history)) == (RunState.CANCELLED, [])
    assert broken(started_after_cancel(history)) == ["end"]


def test_each_rule_has_a_tampering() -> None:
    assert {rule.name for rule in RULES} == TAMPERINGS.keys()


@settings(examples, max_examples=20)
@given(plan=plans(), seed=SEEDS, data=st.data())
def test_in_no_run_can_an_outcome_be_lost_or_doubled(
    past: Past, plan: Plan, seed: int | None, data: st.DataObject
) -> None:
    history = past.of(plan, seed)
    if ends := [place for place, event in enumerate(history.events) if event.kind in OUTCOME_OF]:
        end = data.draw(st.sampled_from(ends))
        assert "one outcome" in broken(told(history, history.events[end], place=end))
        assert "receipts" in broken(told(history, without=end))


def test_a_history_without_its_beginning_is_judged_as_far_as_it_goes(past: Past) -> None:
    history = past.of(CHAIN, None)
    judgement = judge(replace(history, events=history.events[3:]))
    assert judgement.sound
    assert {finding.rule for finding in judgement.findings if not finding.judged} >= {"joins", "order", "fence"}
