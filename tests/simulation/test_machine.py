"""The same simulation in the hands of hypothesis, which looks for the shortest way to break an invariant."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.simulation import final
from tests.simulation.dice import Dice
from tests.simulation.plans import drawn
from tests.simulation.processes import DAEMONS, FAULTS
from tests.simulation.schedule import TICKS_MS, Schedule, Storm
from tests.simulation.world import World

ANY = st.integers(0, 61)
PLANS = st.text("0123456789", max_size=12)


def machine_in(world: World) -> type[RuleBasedStateMachine]:
    """The machine; its rules are what may happen in a fleet at any moment."""

    class Fleet(RuleBasedStateMachine):
        @initialize(plan=PLANS, cancels=st.booleans(), pauses=st.booleans())
        def begin(self, plan: str, cancels: bool, pauses: bool) -> None:
            world.begin()
            storm = Storm(cancels=cancels, pauses=pauses)
            self.schedule = Schedule(world, drawn(Dice(None, plan)), Dice(), storm, often=1)
            self.processes, self.bag = self.schedule.processes, world.transport.bag

        @rule(which=ANY, fault=st.sampled_from((None, None, None, *FAULTS)))
        def go_on(self, which: int, fault: str | None) -> None:
            if actors := self.processes.runnable():
                actor = actors[which % len(actors)]
                outside = actor.process is self.processes.outside
                is_told = actor.operation.away is not None
                may_be = is_told if fault in ("before", "after") else not outside
                self.processes.go_on(actor, fault if may_be else None)

        @rule(which=ANY, worker=ANY)
        def deliver(self, which: int, worker: int) -> None:
            if self.bag and (idle := self.processes.idle()):
                self.processes.deliver(idle[worker % len(idle)], self.bag.pop(which % len(self.bag)))

        @precondition(lambda self: self.bag)
        @rule(which=ANY, doubled=st.booleans())
        def lose_or_double(self, which: int, doubled: bool) -> None:
            message = self.bag[which % len(self.bag)]
            if doubled:
                self.bag.append(message.copy())
            else:
                self.bag.remove(message)

        @rule(worker=ANY, name=st.sampled_from(DAEMONS))
        def begin_daemon(self, worker: int, name: str) -> None:
            if workers := self.processes.that_go_on():
                self.processes.begin_daemon(workers[worker % len(workers)], name)

        @rule(worker=ANY)
        def thaw_or_replace(self, worker: int) -> None:
            process = self.processes.workers[worker % len(self.processes.workers)]
            process.frozen = False
            if not process.alive:
                self.processes.replace(process)

        @rule(by=st.sampled_from(TICKS_MS))
        def tick(self, by: int) -> None:
            world.set_clock(world.now_ms + by)

        @rule()
        def act_as_client(self) -> None:
            if self.schedule.todo and not self.processes.outside.actors:
                self.processes.begin(self.processes.outside, "client", self.schedule.todo.pop(0))

        @invariant()
        def what_the_store_holds_is_what_was_seen(self) -> None:
            if hasattr(self, "schedule"):
                self.schedule.watch.check_store()

        def teardown(self) -> None:
            if hasattr(self, "schedule"):
                try:
                    self.schedule.calm_down()
                    final.check(self.schedule.watch, self.schedule.plan, self.schedule.client.run)
                finally:
                    self.processes.end_all()

    return Fleet


def test_no_way_leads_to_a_broken_invariant(world: World) -> None:
    run_state_machine_as_test(
        machine_in(world),
        settings=settings(
            max_examples=15,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
