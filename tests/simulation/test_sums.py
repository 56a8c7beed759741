"""A million schedules may be done in parts: none is counted twice, and none is left out."""

from __future__ import annotations

from pathlib import Path

from tests.simulation.campaign import Case, Tally, run_seeds
from tests.simulation.sums import Sums
from tests.simulation.world import World


def test_parts_add_up_to_the_whole(world: World, tmp_path: Path) -> None:
    file = tmp_path / "sums.json"
    for part in (range(7), range(7, 12)):
        sums = Sums.kept(file, 0)
        assert sums.next_seed == part.start
        sums.add(part, run_seeds(world, part))
        sums.keep(file)
    assert Sums.kept(file, 0) == Sums(12, run_seeds(world, range(12)))


def test_a_batch_that_comes_early_is_counted_in_its_turn(tmp_path: Path) -> None:
    one, other = Tally(50, 500), Tally(50, 700, violations=[("S1 no", Case("1", "2"))])
    sums = Sums(0)
    sums.add(range(50, 100), other)
    assert (sums.next_seed, sums.total.schedules) == (0, 0)
    sums.add(range(50), one)
    assert (sums.next_seed, sums.total.operations, sums.early) == (100, 1200, {})
    sums.keep(tmp_path / "sums.json")
    assert Sums.kept(tmp_path / "sums.json", 0) == sums
