"""Whatever becomes of messages, a graph ends in the state that a plain reading of it gives, and a run always ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.contract.plan import Plan
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet
from tests.integration.loops import finish
from tests.plans.graph_interpreter import Interpreter, TooLong
from tests.plans.random_graphs import Drawn, graphs
from tests.plans.test_random_plans import SEEDS, assert_each_ended_once, examples


@pytest.fixture(scope="module")
def engine(_redis_session: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessFleet]:
    """One engine for all examples; each begins with an empty store."""
    fleet = InProcessFleet.on(_redis_session.url, Path(tmp_path_factory.mktemp("graphs")))
    yield fleet
    fleet.redis.flushall()
    fleet.close()


def compiled(drawn: Drawn) -> Plan | None:
    """The plan; None where a cycle has two entries or no end, which nothing else of a drawn graph can be wrong with."""
    try:
        return drawn.graph().compile()
    except PlanInvalid as invalid:
        if {problem.code for problem in invalid.problems} != {"cycle"}:
            raise
        return None


SENT_IN_TWO_PASSES = Drawn(
    nodes=["n0", "n1", "n2", "n3", "n4", "n5", "n6", "w"],
    edges=[("n0", "n3"), ("n3", "n4"), ("n0", "n5")],
    routers={
        "n0": ("s0", {"0": "n1", "1": "n2", "2": "n6", "w": "w"}),
        "n1": ("s1", {"0": "__end__", "1": "__end__", "2": "__end__", "w": "w"}),
        "n4": ("s4", {"0": "__end__", "1": "n3", "2": "n0", "w": "w"}),
    },
    max_iterations=2,
)
"""A cycle within a cycle sends along one edge in each of its passes."""


@settings(examples, max_examples=150)
@example(drawn=SENT_IN_TWO_PASSES, seed=None, given_seed=12)
@given(drawn=graphs(), seed=SEEDS, given_seed=st.integers(0, 99))
def test_a_graph_ends_in_the_state_that_it_says(
    engine: InProcessFleet, drawn: Drawn, seed: int | None, given_seed: int
) -> None:
    plan = compiled(drawn)
    if plan is None:
        event("refused")
        return
    engine.redis.flushall()
    run = engine.submit(plan, seed=given_seed)
    document = finish(engine, run, seed)
    assert run.status().state.ended, f"the run has not ended: {run.status()}"
    said = Interpreter(drawn, given_seed)
    try:
        state = said.run()
    except TooLong:
        event("too long")
        assert document.error_type == "CycleTooLong"
        return
    event("cycles" if any("#" in name for name in said.receipts) else "no cycles")
    event("sends" if any("[" in name for name in said.receipts) else "no sends")
    event("cycles in cycles" if any(name.count("#") > 1 for name in said.receipts) else "no cycles in cycles")
    assert document.error is None
    assert document.outputs["state"] == state
    assert {name: step.status for name, step in document.steps.items()} == said.receipts
    assert_each_ended_once(run, document)
