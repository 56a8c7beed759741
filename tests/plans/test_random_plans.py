"""Whatever becomes of messages, a plan means what a plain reading of it says.

Plans are drawn at random and run twice: by the engine, whose messages come in order, or shuffled, doubled and dropped;
and by an interpreter that performs one step after the other. Every instance must end alike in both, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from orchestrator_client.client import Run
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.run import RunDocument
from orchestrator_client.loader import loads
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet
from tests.integration.loops import finish
from tests.plans.interpreter import Interpreter, comparable, receipts
from tests.plans.pipeline_text import text_of
from tests.plans.random_plans import INPUTS, plans

SEEDS = st.one_of(st.none(), st.integers(0, 999))
"""None: messages are delivered in their order, once each."""

ENDS = ("step_succeeded", "step_failed", "step_skipped", "step_cancelled")

examples = settings(
    deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture(scope="module")
def engine(_redis_session: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessFleet]:
    """One engine for all examples; each begins with an empty store."""
    fleet = InProcessFleet.on(_redis_session.url, tmp_path_factory.mktemp("plans"))
    yield fleet
    fleet.redis.flushall()
    fleet.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new folder for each example."""
    return (tmp_path_factory.mktemp("example") for _ in iter(int, 1))  # type: ignore[return-value]


@settings(examples, max_examples=70)
@given(plan=plans(), seed=SEEDS)
def test_the_engine_does_what_the_plan_says(
    engine: InProcessFleet, folders: Iterator[Path], plan: Plan, seed: int | None
) -> None:
    check(engine, plan, plan, next(folders), seed)


@settings(examples, max_examples=30)
@given(plan=plans(jumps=False), seed=SEEDS)
def test_a_file_means_the_plan_that_it_was_written_from(
    engine: InProcessFleet, folders: Iterator[Path], plan: Plan, seed: int | None
) -> None:
    check(engine, loads(text_of(plan)).plan, plan, next(folders), seed)


def check(engine: InProcessFleet, plan: Plan, meant: Plan, folder: Path, seed: int | None) -> None:
    """Run a plan, and compare it with what is meant by it."""
    engine.redis.flushall()
    for name in ("engine", "plain"):
        (folder / name).mkdir()
    run = engine.submit(plan, folder=str(folder / "engine"))
    document = finish(engine, run, seed)
    said = Interpreter(meant, {**INPUTS, "folder": str(folder / "plain")}).run()
    assert run.record().state.ended, f"the run has not ended: {run.status()}"
    event("halted" if said.halts else "failed" if not said.success else "succeeded")
    expected, found = dict(receipts(said)), found_in(document)
    if said.halts:
        # What else had run by then is a matter of luck; but what ran, ran as the plan says.
        found = {name: end for name, end in found.items() if end[0] != "cancelled"}
        expected = {name: end for name, end in expected.items() if name in found}
        assert document.status == "failed"
    assert found == expected
    if not said.halts:
        assert document.success == said.success
        assert document.outputs == said.outputs()
    assert_each_ended_once(run, document)


def found_in(document: RunDocument) -> dict[str, tuple[str, object, int]]:
    """What became of each instance."""
    return {
        name: (step.status, comparable(step.value or {}), step.retries + 1) for name, step in document.steps.items()
    }


def assert_each_ended_once(run: Run, document: RunDocument) -> None:
    ended = Counter(one.instance for one in run.stream() if one.kind in ENDS)
    assert ended == dict.fromkeys(document.steps, 1)
