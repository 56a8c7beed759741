"""The client from end to end, awaited and not, against a worker that is really there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from orchestrator_client.client import AsyncClient, Client
from orchestrator_client.contract.errors import RunNotFound
from orchestrator_client.contract.event import Event, EventKind
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.run import RunState
from tests.conftest import wait_until
from tests.fleet import python_step
from tests.processes import has_ended
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("client")

SECONDS = 60.0
"""For one short run, with a fleet that is already there."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingFleet]:
    with StandingFleet(tmp_path_factory.mktemp("client")) as standing:
        standing.start_worker("w1", "-c", "3", beat_seconds=0.3)
        yield standing


def chain_of(count: int, plan_id: str = "chain") -> Plan:
    """Steps one behind the other; the first leaves the input `word`."""
    first = python_step("s0", "builtins:str", "{{ word }}")
    rest = [python_step(f"s{i}", "builtins:str", i, after=(f"s{i - 1}",)) for i in range(1, count)]
    return Plan(id=plan_id, steps=(first, *rest), outputs={"word": "{{ s0.result }}"})


def held(flag: Path, plan_id: str = "held") -> Plan:
    """A step that waits for a file, and one behind it."""
    steps = (python_step("hold", "tests.functions:wait_for", str(flag)), python_step("behind", after=("hold",)))
    return Plan(id=plan_id, steps=steps)


def awaited(fleet: StandingFleet, scenario: Callable[[AsyncClient], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on a loop of its own, with a client of its own."""

    async def run() -> None:
        async with AsyncClient(fleet.url) as client:
            await asyncio.wait_for(scenario(client), SECONDS)

    asyncio.run(run())


class TestAsync:
    def test_submit_stream_result_and_value(self, fleet: StandingFleet) -> None:
        async def scenario(client: AsyncClient) -> None:
            run = await client.submit(chain_of(3), {"word": "hello"}, tags=["async"])
            kinds = [event.kind async for event in run.stream()]
            assert (kinds[0], kinds[-1]) == (EventKind.RUN_SUBMITTED, EventKind.RUN_CLOSED)
            assert kinds.count(EventKind.STEP_SUCCEEDED) == 3
            document = await run.result()
            assert (document.success, document.outputs) == (True, {"word": "hello"})
            assert (await run.value("s2"))["result"] == "2"
            assert await run.value("nothing") is None
            assert (await run.status()).state is RunState.SUCCEEDED

        awaited(fleet, scenario)

    def test_cancel_while_a_stream_is_read(self, fleet: StandingFleet, tmp_path: Path) -> None:
        async def scenario(client: AsyncClient) -> None:
            run = await client.submit(held(tmp_path / "never"))
            kinds = []
            async for event in run.stream():
                kinds.append(event.kind)
                if event.kind is EventKind.STEP_STARTED:
                    assert await run.cancel() is RunState.RUNNING
            assert EventKind.CANCEL_REQUESTED in kinds
            assert (await run.wait()).state is RunState.CANCELLED
            assert (await run.document(values=False)).steps["hold"].status == "cancelled"

        awaited(fleet, scenario)

    def test_two_runs_at_once_each_with_its_own(self, fleet: StandingFleet) -> None:
        async def scenario(client: AsyncClient) -> None:
            runs = await asyncio.gather(*(client.submit(chain_of(4), {"word": word}) for word in "ab"))
            assert runs[0].id != runs[1].id
            documents = await asyncio.gather(*(run.result() for run in runs))
            assert [document.outputs["word"] for document in documents] == ["a", "b"]

        awaited(fleet, scenario)

    def test_the_loop_goes_on_while_a_result_is_waited_for(self, fleet: StandingFleet, tmp_path: Path) -> None:
        async def scenario(client: AsyncClient) -> None:
            run = await client.submit(held(tmp_path / "go"))
            waiting = asyncio.create_task(run.result())
            while (await run.status()).open != 1:
                await asyncio.sleep(0.01)
            (tmp_path / "go").touch()
            assert (await waiting).success

        awaited(fleet, scenario)

    def test_runs_are_found_again(self, fleet: StandingFleet) -> None:
        async def scenario(client: AsyncClient) -> None:
            run = await client.submit(chain_of(1, "found-again"), {"word": "x"}, tags=["blue"])
            await run.result()
            by_either = await client.runs(pipeline="found-again"), await client.runs(tag="blue")
            assert [[record.run for record in found] for found in by_either] == [[run.id], [run.id]]
            assert await client.runs(pipeline="found-again", state=RunState.FAILED) == []
            assert (await (await client.run(run.id)).result()).outputs == {"word": "x"}
            with pytest.raises(RunNotFound, match="no run 'nobody'"):
                await client.run("nobody")

        awaited(fleet, scenario)

    def test_the_same_key_submitted_at_once_is_one_run(self, fleet: StandingFleet) -> None:
        async def scenario(client: AsyncClient) -> None:
            plan = chain_of(2, "keyed")
            submitted = (client.submit(plan, {"word": "k"}, idempotency_key="key") for _ in range(6))
            runs = await asyncio.gather(*submitted)
            assert len({run.id for run in runs}) == 1
            assert (await runs[0].result()).success
            assert len(await client.runs(pipeline="keyed")) == 1

        awaited(fleet, scenario)


class TestSync:
    def test_a_stream_continues_behind_an_event(self, fleet: StandingFleet, tmp_path: Path) -> None:
        run = fleet.client.submit(held(tmp_path / "go"))
        before: list[Event] = []
        for event in run.stream():
            before.append(event)
            if event.kind is EventKind.STEP_STARTED:
                break  # the reader dies here
        (tmp_path / "go").touch()
        with Client(fleet.url) as another:
            behind = list(another.run(run.id).stream(after=before[-1].id, timeout=SECONDS))
        assert before + behind == list(run.stream())
        assert behind[-1].kind is EventKind.RUN_CLOSED
        assert list(run.stream(after=behind[-1].id, timeout=SECONDS)) == [], "a reader that has seen all waits for more"

    def test_a_result_that_is_late_raises_and_the_run_goes_on(self, fleet: StandingFleet, tmp_path: Path) -> None:
        run = fleet.client.submit(held(tmp_path / "go"))
        with pytest.raises(TimeoutError, match=f"run {run.id} has not ended within 0.3 s; it goes on"):
            run.result(timeout=0.3)
        assert not run.status().state.ended
        (tmp_path / "go").touch()
        assert run.result(timeout=SECONDS).success

    def test_a_run_that_is_not_there(self, fleet: StandingFleet) -> None:
        with pytest.raises(RunNotFound, match="`orchestrator runs` lists those there are"):
            fleet.client.run("nobody_1_abcd")

    def test_cancelling_what_has_ended_changes_nothing(self, fleet: StandingFleet) -> None:
        run = fleet.client.submit(chain_of(1), {"word": "x"})
        document = run.result(timeout=SECONDS)
        assert run.cancel() is RunState.SUCCEEDED
        assert run.document() == document

    def test_one_client_in_eight_threads(self, fleet: StandingFleet) -> None:
        def once(number: int) -> tuple[int, str]:
            run = fleet.client.submit(chain_of(3, "threads"), {"word": f"w{number}"})
            ended = [event.instance for event in run.stream(timeout=SECONDS) if event.kind is EventKind.STEP_SUCCEEDED]
            assert ended == ["s0", "s1", "s2"]
            return number, run.result(timeout=SECONDS).outputs["word"]

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(once, range(24))) == [(number, f"w{number}") for number in range(24)]
        assert len(fleet.client.runs(pipeline="threads", state=RunState.SUCCEEDED)) == 24


class TestLocal:
    def test_a_local_client_runs_a_plan_and_leaves_nothing_behind(self, tmp_path: Path) -> None:
        before = own_children()
        with Client.local(tmp_path) as client:
            assert client.submit(chain_of(3), {"word": "here"}).result(timeout=SECONDS).outputs == {"word": "here"}
            home = Path(client.url.removeprefix("unix://").partition("?")[0]).parent
            children = started_since(before)
            assert len(children) >= 3, "Redis, a worker and a child of its pool"
        wait_until(lambda: all(map(has_ended, children)), "every process of the fleet has ended")
        assert not home.exists()

    def test_a_local_client_ends_its_fleet_when_a_step_is_running(self, tmp_path: Path) -> None:
        before = own_children()
        client = Client.local(tmp_path)
        try:
            run = client.submit(held(tmp_path / "never"))
            wait_until(lambda: run.document().steps["hold"].status == "running", "the step is running")
            children = started_since(before)
        finally:
            client.close()
        wait_until(lambda: all(map(has_ended, children)), "every process of the fleet has ended")

    def test_an_awaited_local_client(self, tmp_path: Path) -> None:
        before = own_children()

        async def scenario() -> list[psutil.Process]:
            client = await AsyncClient.local(tmp_path)
            async with client:
                run = await client.submit(chain_of(2), {"word": "there"})
                assert (await run.result(timeout=SECONDS)).outputs == {"word": "there"}
                return started_since(before)

        children = asyncio.run(scenario())
        wait_until(lambda: all(map(has_ended, children)), "every process of the fleet has ended")


def own_children() -> set[psutil.Process]:
    """Processes that this one has started."""
    return set(psutil.Process().children())


def started_since(before: set[psutil.Process]) -> list[psutil.Process]:
    """Processes that this one has started since, with their children."""
    return [member for child in own_children() - before for member in (child, *child.children(recursive=True))]
