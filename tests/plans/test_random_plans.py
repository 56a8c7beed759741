"""Whatever becomes of messages, a plan means what a plain reading of it says.

Plans are drawn at random and run twice: by the engine, whose messages come in order, or shuffled, doubled and dropped;
and by an interpreter that performs one step after the other. Every instance must end alike in both, once.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.loader import loads
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet
from tests.integration.loops import dies, finish
from tests.plans.interpreter import Interpreter, comparable, receipts
from tests.plans.pipeline_text import text_of
from tests.plans.random_plans import INPUTS, plans
from tests.plans.random_plans import settings as variables

SEEDS = st.one_of(st.none(), st.integers(0, 999))
"""None: messages are delivered in their order, once each."""

ENDS = ("step_succeeded", "step_failed", "step_skipped", "step_cancelled")

examples = settings(
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Both:
    """The engine and the interpreter. Not a record, which a failing example would show in full."""

    def __init__(self, fleet: InProcessFleet, folder: Path) -> None:
        self.fleet, self.folder, self.examples = fleet, folder, 0

    def check(
        self,
        plan: Plan,
        meant: Plan,
        seed: int | None,
        settings: Mapping[str, Json] | None = None,
        between: Callable[[Run], object] = lambda _: None,
    ) -> None:
        """Run a plan, and compare it with what is meant by it. `settings` are set before its first step starts."""
        self.fleet.redis.flushall()
        self.fleet.delivered.clear()
        self.examples += 1
        run = self.fleet.submit(plan, folder=self._new_folder("engine"))
        for name, value in (settings or {}).items():
            run.variables.set(name, value)
        document = finish(self.fleet, run, seed, deaths=True, between=between)
        assert run.status().state.ended, f"the run has not ended: {run.status()}"
        inputs = {**INPUTS, **(settings or {}), "folder": self._new_folder("plain")}
        said = Interpreter(meant, inputs, dies=partial(dies, seed)).run()
        event("halted" if said.halts else "succeeded" if said.success else "failed")
        compare(document, said)
        assert_each_ended_once(run, document)
        assert_joins_waited(run, plan)

    def check_retry(self, plan: Plan, seed: int, messages: int) -> None:
        """Cancel a run after so many messages, try it again, and compare the two together with what is meant."""
        self.fleet.redis.flushall()
        self.fleet.delivered.clear()
        self.examples += 1
        folder = self._new_folder("engine")
        cut = self.fleet.submit(plan, folder=folder)
        finish(self.fleet, cut, seed, deaths=True, between=cancelling_after(messages))
        before = {name for name, step in cut.document().steps.items() if step.status == "completed"}
        for counted in Path(folder).iterdir():
            counted.unlink()  # what is done again begins from nothing
        rerun = self.fleet.client.rerun(cut.id, [step.id for step in plan.steps if cut.status().success][:1])
        run = self.fleet.client.retry(cut.id, [step.id for step in plan.steps if cut.status().success][:1])
        self.fleet.redis.delete(names.CONTROL_QUEUE)
        self.fleet.engine.scheduler.start(run.id)
        document = finish(self.fleet, run, seed, deaths=True)
        said = Interpreter(plan, {**INPUTS, "folder": self._new_folder("plain")}, dies=partial(dies, seed)).run()
        expected = {name: end[:2] for name, end in dict(receipts(said)).items()}
        found = {name: end[:2] for name, end in found_in(document).items() if end[0] != "cancelled"}
        if said.halts:
            expected = {name: end for name, end in expected.items() if name in found}
        assert found == expected
        kept = {name for name, step in document.steps.items() if step.kept_from == cut.id}
        event("kept some" if kept else "kept nothing")
        assert kept <= before
        assert set(rerun.kept) == kept if not said.halts else kept <= set(rerun.kept)
        assert_each_ended_once(run, document)

    def _new_folder(self, whose: str) -> str:
        folder = self.folder / f"{self.examples}.{whose}"
        folder.mkdir()
        return str(folder)


@pytest.fixture(scope="module")
def both(_redis_session: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """One engine for all examples; each begins with an empty store."""
    folder = tmp_path_factory.mktemp("plans")
    fleet = InProcessFleet.on(_redis_session.url, folder)
    yield Both(fleet, folder)
    fleet.redis.flushall()
    fleet.close()


@settings(examples, max_examples=200)
@given(plan=plans(), seed=SEEDS, given=variables())
def test_the_engine_does_what_the_plan_says(both: Both, plan: Plan, seed: int | None, given: dict[str, Json]) -> None:
    both.check(plan, plan, seed, given)


@settings(examples, max_examples=80)
@given(plan=plans(jumps=False), seed=SEEDS)
def test_a_file_means_the_plan_that_it_was_written_from(both: Both, plan: Plan, seed: int | None) -> None:
    both.check(loads(text_of(plan)).plan, plan, seed)


@settings(examples, max_examples=40)
@given(plan=plans(jumps=False), seed=SEEDS)
def test_dollars_and_braces_are_two_spellings(both: Both, plan: Plan, seed: int | None) -> None:
    written = re.sub(r"\{\{ ([a-z]\w*(?:\.\w+)*) \}\}", r"${\1}", text_of(plan))
    both.check(loads(written).plan, plan, seed)


@settings(examples, max_examples=40)
@given(plan=plans(), seed=st.integers(0, 999))
def test_a_run_that_is_paused_now_and_then_does_the_same(both: Both, plan: Plan, seed: int) -> None:
    both.check(plan, plan, seed, between=Pauses(seed))


@settings(examples, max_examples=40)
@given(plan=plans(), seed=st.integers(0, 999), messages=st.integers(0, 30))
def test_a_run_that_was_cut_and_is_tried_again_does_the_rest(both: Both, plan: Plan, seed: int, messages: int) -> None:
    both.check_retry(plan, seed, messages)


class Pauses:
    """Pauses a run at random moments and resumes it at others; nothing of it may start in between."""

    def __init__(self, seed: int) -> None:
        self._dice, self._since = random.Random(seed), ""

    def __call__(self, run: Run) -> None:
        if self._since:
            behind = run._store.events(run.id, self._since, 0)  # `stream` would wait for the end of the run
            assert "step_started" not in [one.kind for one in behind]
        if self._dice.random() < (0.3 if self._since else 0.15):
            run.resume() if self._since else run.pause()
            self._since = "" if self._since else run._store.last_event_id(run.id)


def cancelling_after(messages: int) -> Callable[[Run], object]:
    """Cancels a run once so many messages were looked for."""
    seen = iter(range(messages))
    return lambda run: None if next(seen, None) is not None else run.cancel()


def compare(document: RunDocument, said: Interpreter) -> None:
    expected, found = dict(receipts(said)), found_in(document)
    if said.halts:
        # What else had run by then is a matter of luck; but what ran, ran as the plan says.
        found = {name: end for name, end in found.items() if end[0] != "cancelled"}
        assert found == {name: end for name, end in expected.items() if name in found}
        assert document.status == "failed"
        return
    assert found == expected
    assert document.success == said.success
    assert document.outputs == said.outputs()


def found_in(document: RunDocument) -> dict[str, tuple[str, object, int]]:
    """What became of each instance."""
    return {
        name: (step.status, comparable(step.value or {}), step.retries + 1) for name, step in document.steps.items()
    }


def assert_joins_waited(run: Run, plan: Plan) -> None:
    """No step starts before all that it waits for, in its own item or pass, have ended."""
    ended: set[str] = set()
    for one in run.stream():
        if one.kind in ENDS:
            ended.add(one.instance)
        elif one.kind == "step_started":
            prefix = one.instance[: one.instance.rfind(".") + 1]
            step = plan.step_at(one.instance)
            assert step is not None
            assert {f"{prefix}{name}" for name in step.after} <= ended


def assert_each_ended_once(run: Run, document: RunDocument) -> None:
    """One end for each instance; a step that a halt kept from ever becoming ready has none."""
    ended = Counter(one.instance for one in run.stream() if one.kind in ENDS)
    ran = {name for name, step in document.steps.items() if step.status != "cancelled"}
    assert set(ended.values()) <= {1}
    assert ran <= ended.keys() <= document.steps.keys()
