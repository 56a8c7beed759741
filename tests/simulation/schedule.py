"""One schedule: a plan, three workers and a client, and every decision about who goes on, what breaks and what is lost.

First comes a storm, in which the dice decide. Then it is calm: whoever died is replaced, whoever was frozen goes on,
all messages arrive, and time goes on as far as anything waits for it. By its end every run has ended (L1, L2), and has
come to what its plan says (S10), whatever the storm has done.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator_client.contract import names
from tests.simulation import final
from tests.simulation.client import SimClient
from tests.simulation.dice import MOST_SIDES, Dice
from tests.simulation.plans import Drawn
from tests.simulation.processes import DAEMONS, FAULTS, Processes
from tests.simulation.seam import Actor, Operation
from tests.simulation.watch import PLANS, Violated, Watch
from tests.simulation.world import CONFIG, World

LEASE_MS, HINT_MS = round(CONFIG.lease_seconds * 1000), round(CONFIG.hint_seconds * 1000)
TICKS_MS = (50, 1_000, 3_001, HINT_MS + 1, LEASE_MS + 1, 21_000)

MOST_STEPS = 4_000
"""Of the calm: what has not ended by then never ends."""

LOOKS = 3
"""Looks that whoever waits has before time goes on."""


@dataclass
class Storm:
    """Which faults there are in one schedule, and how often."""

    decisions: int = 0
    faults: tuple[str, ...] = ()
    one_in: int = 48
    """Operations of which one meets a fault."""
    drops: bool = False
    doubles: bool = False
    stops: bool = False
    """Workers are asked to stop, and hand back what they work on."""
    cancels: bool = False
    pauses: bool = False

    @classmethod
    def drawn(cls, dice: Dice) -> Storm:
        decisions = dice.pick((0, 20, 40, 80, 160))
        if not decisions:
            return cls()
        faults = tuple(fault for fault in FAULTS if dice.roll(2))
        one_in = dice.pick((48, 24, 12, 6))
        return cls(
            decisions,
            faults,
            one_in,
            dice.chance(2),
            dice.chance(2),
            stops=dice.chance(4),
            cancels=dice.chance(6),
            pauses=dice.chance(4),
        )


@dataclass
class Result:
    """What came of a schedule."""

    digits: str = ""
    state: str = ""
    """In which its run ended."""
    operations: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violation: str = ""
    """The first word is the invariant's."""


class Schedule:
    """One of them, on a world that has begun anew.

    `befalls` says what befalls an operation, instead of the dice; the store is compared with what was seen of it once
    in `often` operations.
    """

    def __init__(
        self,
        world: World,
        plan: Drawn,
        dice: Dice,
        storm: Storm | None = None,
        befalls: Callable[[Actor, Operation], str | None] | None = None,
        often: int = 16,
    ) -> None:
        self.world, self.plan, self.dice = world, plan, dice
        self.watch = Watch(world)
        world.roll, world.calls_by = dice.roll, self.watch.calls_by
        world.transport.on_body = self.watch.body_called
        PLANS.update((each.hash, each) for each in (plan.plan, *map(plan.plan.child, plan.plan.children)))
        self.processes = Processes(world, self.watch, often)
        self.storm = Storm.drawn(dice) if storm is None else storm
        cap = dice.pick((None, 75_000, 130_000, 40_000)) if plan.models else None
        self.client = SimClient(world, self.watch, plan.plan, cap, dice.pick(("fail", "pause")) if cap else "fail")
        self.todo = [self.client.submit]
        self.todo += [self.client.pause, self.client.resume] if self.storm.pauses else []
        self.todo += [self.client.cancel] if self.storm.cancels else []
        self._befalls = befalls or (lambda _actor, _operation: None)
        self._looked = self._stalled = 0

    def run(self) -> Result:
        result = Result()
        try:
            self._rage()
            self.calm_down()
            final.check(self.watch, self.plan, self.client.run)
        except Violated as violated:
            result.violation = str(violated)
        except Exception:  # noqa: BLE001 - whatever it is, it is told with the schedule that leads to it
            result.violation = f"EXCEPTION {traceback.format_exc()}"
        finally:
            self.processes.end_all()
        main = self.watch.runs.get(self.client.run)
        result.digits, result.state = self.dice.digits, (main.closed if main else "") or "open"
        result.operations, result.faults = self.processes.operations, self.processes.faults
        return result

    # --- the storm ---------------------------------------------------------------------------------------------

    def _rage(self) -> None:
        if self.storm.decisions:
            before, self._befalls = self._befalls, self._drawn_fault
            for _ in range(self.storm.decisions):
                self._decide(self.dice.roll(20))
            self._befalls = before

    def _decide(self, kind: int) -> None:
        roll = self.dice.roll
        if kind < 10 and (actors := self.processes.runnable()):
            self._go_on(actors[roll(min(len(actors), MOST_SIDES))])
        elif kind < 14:
            _ = self._deliver(roll) or self._go_calmly_on()
        elif kind == 14:
            self._let_time_pass()
        elif kind == 15:
            if workers := self.processes.that_go_on():
                self.processes.begin_daemon(workers[roll(len(workers))], DAEMONS[roll(3)])
        elif kind == 16:
            self.world.set_clock(self.world.now_ms + TICKS_MS[roll(len(TICKS_MS))])
        elif kind == 17:
            self._come_and_go(roll)
        elif kind == 18:
            self._lose_or_double(roll)
        else:
            self._act_as_client(roll)

    def _drawn_fault(self, actor: Actor, operation: Operation) -> str | None:
        if not self.storm.faults or not self.dice.chance(self.storm.one_in):
            return None
        fault = self.dice.pick(self.storm.faults)
        if fault in ("before", "after"):
            return fault if operation.away is not None else None
        is_worker = actor.process is not self.processes.outside
        return fault if is_worker and operation.kind != "pause" else None

    def _come_and_go(self, roll: Callable[[int], int]) -> None:
        """One that is frozen goes on, or one that died is replaced; or one is asked to stop."""
        gone = [process for process in self.processes.workers if not process.goes_on]
        if gone:
            process = gone[roll(len(gone))]
            if process.alive:
                process.frozen = False
            else:
                self.processes.replace(process)
        elif self.storm.stops and (busy := [process for process in self.processes.workers if process.tasks]):
            self.processes.stop(busy[roll(len(busy))])

    def _lose_or_double(self, roll: Callable[[int], int]) -> None:
        bag = self.world.transport.bag
        if not bag:
            return
        at = roll(min(len(bag), MOST_SIDES))
        if self.storm.drops and roll(2):
            del bag[at]
            self.processes.faults["drop"] += 1
        elif self.storm.doubles:
            bag.append(bag[at].copy())
            self.processes.faults["double"] += 1

    def _act_as_client(self, roll: Callable[[int], int]) -> None:
        if self.processes.outside.actors:
            return
        if self.todo:
            self.processes.begin(self.processes.outside, "client", self.todo.pop(0))
        elif roll(2) and self.client.is_asked():
            self.processes.begin(self.processes.outside, "client", self.client.answer)

    # --- the calm ----------------------------------------------------------------------------------------------

    def calm_down(self) -> None:
        """Whatever has happened so far, every run comes to its end, and nothing comes of what is late."""
        for process in self.processes.workers:
            # Some go on only when all is over.
            process.frozen = process.frozen and self.dice.chance(2)
        if not self.processes.that_go_on():
            self.processes.workers[0].frozen = False
        for _ in range(MOST_STEPS):
            if not (self._go_calmly_on() or self._replace_the_dead() or self._let_time_pass()):
                break
        else:
            raise Violated(f"L1 it goes on for ever; {self._where()}")
        if [name for name, run in self.watch.runs.items() if not run.closed]:
            raise Violated(f"L2 nothing is left to do; {self._where()}")
        self._hear_the_last()

    def _go_calmly_on(self) -> bool:
        """The plainest thing that can be done at this moment; False if there is nothing."""
        actors = self.processes.runnable()
        if moving := [actor for actor in actors if actor.operation.kind != "pause"]:
            self._go_on(moving[0])
        elif self._deliver(lambda _sides: 0):
            pass
        elif self.todo and not self.processes.outside.actors:
            self.processes.begin(self.processes.outside, "client", self.todo.pop(0))
        elif actors and self._looked < LOOKS:
            self._looked += 1
            for actor in actors:
                self._go_on(actor)
        else:
            self._looked = 0
            return False
        return True

    def _replace_the_dead(self) -> bool:
        """Whether there were any."""
        dead = [process for process in self.processes.workers if not process.alive]
        for process in dead:
            self.processes.replace(process)
        return bool(dead)

    def _let_time_pass(self) -> bool:
        """Until something is due; False if nothing is."""
        due = self._next_due()
        if due is None:
            return False
        self.world.set_clock(max(self.world.now_ms + 1, due))
        if workers := self.processes.that_go_on():
            self.processes.begin_daemon(workers[0], "beat")
            self.processes.begin_daemon(workers[0], "pump")
        return True

    def _next_due(self) -> int | None:
        """When there is something to look at in the store; None once every run has ended."""
        if self.watch.runs and all(run.closed for run in self.watch.runs.values()):
            return None
        first, agenda, again = self.world.wire.ask_all(
            [
                ("ZRANGE", names.TIMETABLE, 0, 0, "WITHSCORES"),
                ("ZRANGE", names.AGENDA, 0, 0, "WITHSCORES"),
                ("EXISTS", names.AGAIN),
            ]
        )
        self._stalled += 1
        if self._stalled > LOOKS:
            # What waits for a person is not for the sweep to end.
            self._stalled = 0
            self.todo += [self.client.answer] if self.client.is_asked() else []
            self.todo += [self.client.pay] if self.client.waits_for_money() else []
        return min([int(float(at[1])) for at in (first, agenda) if at] + [self.world.now_ms] * again, default=None)

    def _hear_the_last(self) -> None:
        """Whoever was frozen all the time goes on, and messages come that are hours late: nothing comes of it."""
        for process in self.processes.workers:
            process.frozen = False
        for _ in range(MOST_STEPS):
            if not self._go_calmly_on() and not self.processes.runnable():
                return
        raise Violated(f"L1 what came late goes on for ever: {self.processes.runnable()}")

    # --- both --------------------------------------------------------------------------------------------------

    def _go_on(self, actor: Actor) -> None:
        self.processes.go_on(actor, self._befalls(actor, actor.operation))

    def _deliver(self, roll: Callable[[int], int]) -> bool:
        bag, idle = self.world.transport.bag, self.processes.idle()
        if not bag or not idle:
            return False
        process = idle[roll(len(idle))]
        self.processes.deliver(process, bag.pop(roll(min(len(bag), MOST_SIDES))))
        return True

    def _where(self) -> str:
        reached = {name: sorted(run.reached - run.outcomes.keys()) for name, run in self.watch.runs.items()}
        return f"open are {reached}"
