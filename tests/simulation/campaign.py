"""Schedules by the thousand: from seeds, counted, and those that went wrong made small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.simulation.dice import Dice
from tests.simulation.plans import drawn
from tests.simulation.schedule import Result, Schedule, Storm
from tests.simulation.seam import Actor, Operation
from tests.simulation.wire import Wire, private_redis
from tests.simulation.world import World, seams

A_PLAN = 10
"""Schedules of one plan: a plan costs as much as a short schedule."""

SHRINKS = 400
"""Schedules that are run to make one smaller."""


@dataclass(frozen=True)
class Case:
    """A schedule by its rolls; as text, `<rolls of the plan>:<rolls of the schedule>`."""

    plan: str
    schedule: str

    @classmethod
    def parse(cls, text: str) -> Case:
        plan, _, schedule = text.partition(":")
        return cls(plan, schedule)

    def __str__(self) -> str:
        return f"{self.plan}:{self.schedule}"


@dataclass
class Tally:
    """What became of many schedules."""

    schedules: int = 0
    operations: int = 0
    states: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, Case]] = field(default_factory=list)

    def add(self, result: Result, case: Case) -> None:
        self.schedules += 1
        self.operations += result.operations
        self.states[result.state] += 1
        self.faults += result.faults
        if result.violation:
            self.violations.append((result.violation, case))

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.schedules + other.schedules,
            self.operations + other.operations,
            self.states + other.states,
            self.faults + other.faults,
            self.violations + other.violations,
        )


@contextmanager
def simulated(
    wire: Wire | None = None, mutated: Callable[[str, str], str] = lambda _name, text: text
) -> Iterator[World]:
    """A world to run schedules in; on a Redis of its own if none is given."""
    if wire is None:
        with private_redis() as own, simulated(own, mutated) as world:
            yield world
        return
    world = World(wire, mutated)
    with seams(world):
        yield world


def run_seed(world: World, seed: int) -> tuple[Result, Case]:
    """The schedule of one seed."""
    rolls = Dice(f"plan {seed // A_PLAN}")
    world.begin()
    result = Schedule(world, drawn(rolls), Dice(seed)).run()
    return result, Case(rolls.digits, result.digits)


def run_case(world: World, case: Case) -> Result:
    """A schedule once more, or a smaller one."""
    world.begin()
    return Schedule(world, drawn(Dice(None, case.plan)), Dice(None, case.schedule)).run()


def run_poisoned(world: World, at: str) -> Result:
    """A plan of two steps, of which one kills every process that performs it."""
    world.begin()
    plan = drawn(Dice(None, "01"))

    def dies(_actor: Actor, operation: Operation) -> str | None:
        return "die" if operation.kind == "effect" and operation.name == at else None

    return Schedule(world, plan, Dice(), Storm(), dies).run()


def run_seeds(world: World, seeds: Iterable[int]) -> Tally:
    tally = Tally()
    for seed in seeds:
        tally.add(*run_seed(world, seed))
    return tally


def shrunk(world: World, case: Case) -> Case:
    """A smaller schedule, of a plainer plan, that breaks the same invariant: shorter, and calm wherever it may be."""
    broken = _rule(run_case(world, case))
    left = SHRINKS

    def fails(candidate: Case) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and _rule(run_case(world, candidate)) == broken

    while left > 0:
        smaller = next((one for one in _smaller(case) if fails(one)), None)
        if smaller is None:
            break
        case = smaller
    return case


def _rule(result: Result) -> str:
    return result.violation.partition(" ")[0]


def _smaller(case: Case) -> Iterator[Case]:
    for schedule in _smaller_text(case.schedule):
        yield Case(case.plan, schedule)
    for plan in _smaller_text(case.plan):
        yield Case(plan, case.schedule)


def _smaller_text(text: str) -> Iterator[str]:
    """The text without parts of it, and with parts of it calm: great parts first."""
    size = len(text)
    while size:
        for at in range(0, len(text), size):
            yield (text[:at] + text[at + size :]).rstrip("0")
            calm = (text[:at] + "0" * size + text[at + size :])[: len(text)].rstrip("0")
            if calm != text:
                yield calm
        size //= 2
