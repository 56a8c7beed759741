"""Schedules that once broke an invariant, as `make simulate` printed them: plan and decisions, roll by roll."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import Case, run_case
from tests.simulation.world import World

CASES = (
    # What a tool asks in the middle of its call ends after the tool's step, whose worker had died.
    "132a3119201811714:h2170000005300a100000000000000000000000000000000000000b0ih",
    # It starts while its run is paused, because the tool is running.
    "107412:301000003000030000000000000000000000000000000000000000000h0c",
)


@pytest.mark.parametrize("case", CASES)
def test_a_schedule_that_went_wrong_goes_well_now(world: World, case: str) -> None:
    assert run_case(world, Case.parse(case)).violation == ""
