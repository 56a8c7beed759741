"""Messages are hints, the store is the truth.

A message says: look at this step, it may be time. Whoever gets it asks the store, and the store alone decides. So it
does no harm if a message comes twice, late or in the wrong order: the store refuses what is not due. Nor if it is lost:
whatever should have been under way for a while and is not, `sweep` finds in the store and sends again. Here messages
are shuffled, doubled, held back and dropped at random while the store's clock moves on, over many small plans. Whatever
happens to the messages, each run ends, with one outcome a step, and no step starts before those it waits for.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.event import EventKind
from tests.conftest import RedisServer, assert_keys_have_ttl
from tests.fleet import InProcessFleet, Message, plan_of_shape

Needs = dict[str, list[str]]
"""Step -> the steps that it waits for."""

ROUNDS = 300
"""By then every message has come through with a probability that leaves no doubt."""


@st.composite
def dags(draw: st.DrawFn) -> Needs:
    """Up to eight steps, each behind any of the earlier ones."""
    steps = [f"s{number}" for number in range(draw(st.integers(1, 8)))]
    return {
        step: draw(st.lists(st.sampled_from(steps[:at]), unique=True)) if at else [] for at, step in enumerate(steps)
    }


@pytest.fixture(scope="module")
def hostile(_redis_session: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessFleet]:
    """One engine for all examples; each begins with an empty store."""
    fleet = InProcessFleet.on(_redis_session.url, tmp_path_factory.mktemp("hints"))
    yield fleet
    begin_anew(fleet)
    fleet.close()


def begin_anew(fleet: InProcessFleet) -> None:
    fleet.redis.flushall()
    fleet.delivered.clear()


class Weather:
    """What becomes of messages on their way."""

    def __init__(self, fleet: InProcessFleet, seed: int) -> None:
        self.fleet, self.random = fleet, random.Random(seed)
        self.under_way: list[Message] = []

    def blow(self) -> None:
        """One round: collect what was sent, and deliver some of it, in any order and any number of times."""
        while (message := self.fleet.take()) is not None:
            self.under_way.append(message)
        self.random.shuffle(self.under_way)
        for message in list(self.under_way):
            times = self.random.choice([None, 0, 1, 1, 2])
            if times is None:
                continue  # held back
            self.under_way.remove(message)
            for _ in range(times):
                self.deliver(message)

    def deliver(self, message: Message) -> None:
        """Do what a worker does that takes this message. The task id of a control message is the run."""
        run = message.parsed["headers"]["id"]
        match message.task:
            case names.STEP_TASK:
                self.fleet.deliver(message)
            case names.RUN_TASK:
                self.fleet.engine.scheduler.start(run)
            case names.CLOSE_TASK:
                self.fleet.engine.scheduler.close(run)


def weather_through(fleet: InProcessFleet, run: Run, weather: Weather) -> None:
    """Let the weather rage, the clock go on and `sweep` repair, until the run has closed."""
    for round_ in range(1, ROUNDS):
        weather.blow()
        if run.status().state.ended:
            return
        fleet.set_clock(run, forward_ms=round_ * 6_000)
        fleet.engine.scheduler.sweep()
    raise AssertionError(f"the run has not ended: {run.document()}")


@settings(max_examples=50)
@given(needs=dags(), seed=st.integers(0, 2**32))
def test_whatever_happens_to_messages_a_run_ends_as_it_should(hostile: InProcessFleet, needs: Needs, seed: int) -> None:
    begin_anew(hostile)
    weather = Weather(hostile, seed)
    run = hostile.client.submit(plan_of_shape(needs))
    weather_through(hostile, run, weather)

    document, events = run.document(), list(run.stream())
    assert document.success
    ended = [event.instance for event in events if event.kind is EventKind.STEP_SUCCEEDED]
    assert Counter(ended) == Counter(list(needs)), "not one receipt a step"
    place = {(event.kind, event.instance): number for number, event in enumerate(events)}
    for step, befores in needs.items():
        for before in befores:
            assert place[EventKind.STEP_SUCCEEDED, before] < place[EventKind.STEP_STARTED, step]

    for message in weather.under_way:
        weather.deliver(message)  # what was held back comes when all is over
    assert (run.document(), list(run.stream())) == (document, events), "a late message changed a run that had closed"
    assert_keys_have_ttl(hostile.redis)


@settings(max_examples=10)
@given(needs=dags())
def test_with_every_first_message_lost_sweep_alone_brings_the_run_home(hostile: InProcessFleet, needs: Needs) -> None:
    begin_anew(hostile)
    run = hostile.client.submit(plan_of_shape(needs))
    weather = Weather(hostile, seed=0)
    for round_ in range(1, ROUNDS):
        while hostile.take() is not None:
            continue  # every message but those that `sweep` is about to send
        hostile.set_clock(run, forward_ms=round_ * 60_000)
        hostile.engine.scheduler.sweep()
        for message in list(iter(hostile.take, None)):
            weather.deliver(message)
        if run.status().state.ended:
            break
    assert run.document().success
