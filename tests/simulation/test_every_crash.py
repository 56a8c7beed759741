"""A crash at every operation, before it and after it: one by one for a few small plans, by pairs for the smallest."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.campaign import run_poisoned
from tests.simulation.dice import Dice
from tests.simulation.plans import drawn
from tests.simulation.schedule import Result, Schedule, Storm
from tests.simulation.seam import Actor, Operation
from tests.simulation.world import World

CRASHES = ("crash", "crash after", "die after")

PLANS = {
    "two steps in a row": "01",
    "a fan and its join": "02000001000300",
    "a map": "00500",
    "a call of a model": "101",
    "a question": "103",
    "a pipeline of its own": "104",
}
SMALLEST = "0"


class Fate:
    """Something befalls the operations of workers with these numbers."""

    def __init__(self, befalls: dict[int, str]) -> None:
        self.befalls, self.counted, self.befell = befalls, 0, 0

    def __call__(self, actor: Actor, operation: Operation) -> str | None:
        if actor.process.engine is None or operation.kind == "pause":
            return None
        self.counted += 1
        fault = self.befalls.get(self.counted)
        self.befell += fault is not None
        return fault


def run_with(world: World, plan: str, befalls: dict[int, str]) -> tuple[Result, Fate]:
    world.begin()
    fate = Fate(befalls)
    return Schedule(world, drawn(Dice(None, plan)), Dice(), Storm(), fate, often=1).run(), fate


def until_none_befalls(run: Callable[[int], tuple[Result, Fate]], least: int = 1) -> int:
    """Run with a crash at operation 1, 2, 3, … until there is no such operation; returns how many there were."""
    for number in range(1, 1000):
        result, fate = run(number)
        assert result.violation == "", f"after a crash at operation {number}: {result.violation}"
        assert result.state == "succeeded"
        if fate.befell < least:
            return number - 1
    raise AssertionError("there is always another operation")


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_a_crash_at_any_operation_does_no_harm(world: World, plan: str, crash: str) -> None:
    assert until_none_befalls(lambda number: run_with(world, plan, {number: crash})) > 10


def test_no_two_crashes_do_any_harm(world: World) -> None:
    def pairs_with(first: int) -> int:
        run = lambda second: run_with(world, SMALLEST, {first: "crash after", first + second: "crash"})  # noqa: E731
        return until_none_befalls(run, least=2)

    first = 1
    while pairs_with(first):
        first += 1
    assert first > 10


def test_a_step_that_kills_its_process_is_tried_three_times(world: World) -> None:
    result = run_poisoned(world, "s0")
    assert (result.violation, result.state, result.faults["die"]) == ("", "failed", 3)
