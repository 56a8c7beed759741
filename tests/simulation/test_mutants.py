"""Each safeguard of the product is needed, and the simulation notices where one is missing."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import run_poisoned, run_seed, simulated
from tests.simulation.mutants import MUTANTS, Mutant, applied
from tests.simulation.wire import Wire

MOST = 300
"""Schedules by which it is noticed."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_missing_safeguard_is_noticed(wire: Wire, mutant: Mutant) -> None:
    with applied(mutant) as mutated, simulated(wire, mutated) as world:
        # One plan in ten schedules is too few of them: every tenth seed has a plan of its own.
        seeds = (run_seed(world, seed)[0] for seed in range(mutant.seed, mutant.seed + MOST * 10, 10))
        results = [run_poisoned(world, "s0")] if mutant.poisoned else seeds
        violation = next((result.violation for result in results if result.violation), "")
    assert violation.startswith(mutant.found_by), violation or f"not noticed in {MOST} schedules"
