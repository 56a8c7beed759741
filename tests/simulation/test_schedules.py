"""Nothing is lost and nothing is done twice, whatever happens: the real scripts and the real scheduler, in schedules
that the dice have drawn. `make simulate` runs a million of them, here is a slice; `watch` has the invariants.
"""

from __future__ import annotations

from tests.simulation.campaign import run_case, run_seed, run_seeds
from tests.simulation.processes import FAULTS
from tests.simulation.world import World

SLICE = 120


def test_no_schedule_breaks_an_invariant(world: World) -> None:
    tally = run_seeds(world, range(SLICE))
    assert [f"{violation}\n{case}" for violation, case in tally.violations] == []
    # And it was no walk in the sun.
    assert {*FAULTS, "drop", "double"} <= tally.faults.keys()
    assert sum(tally.faults.values()) > SLICE
    assert tally.states["succeeded"] >= SLICE / 2
    assert tally.states["cancelled"] > 0
    assert tally.states["failed"] > 0


def test_a_schedule_goes_the_same_way_each_time(world: World) -> None:
    for seed in range(0, 100, 20):
        once, case = run_seed(world, seed)
        effects = list(world.ledger.begun)
        again = run_case(world, case)
        assert (again.state, again.operations, again.faults) == (once.state, once.operations, once.faults)
        assert world.ledger.begun == effects
