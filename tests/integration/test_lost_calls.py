"""What becomes of a step whose attempt is lost: as its tool said when it was called, and nobody loads it to ask."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract.errors import WorkerLost
from orchestrator_client.contract.plan import OnLost, Plan, Retry, Step, StepKind
from orchestrator_client.contract.project import McpSection
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools.mcp import servers
from orchestrator_worker.tools.mcp.pool import Servers
from orchestrator_worker.vault import in_use
from tests import lost_tools
from tests.conformance.tools.adapters import install_package
from tests.conformance.tools.conftest import forget
from tests.fleet import InProcessFleet

ONCE, AGAIN = "python:tests.lost_tools:once", "python:tests.lost_tools:again"


def step(uses: str, on_lost: OnLost | None = None) -> Step:
    return Step(id="s", kind=StepKind.TOOL, uses=uses, on_lost=on_lost, retry=Retry(initial_seconds=0))


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The tools of `lost_tools` as those of an installed package, `lost.*`."""
    install_package(monkeypatch, tmp_path, "lost = tests.lost_tools")
    yield
    monkeypatch.undo()
    forget()


def lose(fleet: InProcessFleet, run: Run, number: int) -> None:
    """What a sweeper does that has not heard of the attempt, or the parent of its process."""
    fleet.engine.scheduler.give_up(run.id, "s", number, WorkerLost("the process of the step died"))


@pytest.mark.parametrize(
    ("uses", "on_lost", "calls_made"),
    [
        (ONCE, None, 1),
        ("python:tests.lost_tools:undeclared", None, 1),
        ("langchain:tests.lost_tools:chained", None, 1),
        ("langchain:tests.lost_tools:chained_again", None, 2),
        ("lost.once", None, 1),
        ("lost.again", None, 2),
        ("lost.looks", None, 2),
        (AGAIN, None, 2),
        (ONCE, OnLost.RETRY, 2),
        (AGAIN, OnLost.FAIL, 1),
    ],
)
@pytest.mark.usefixtures("packaged")
def test_one_that_is_lost_in_the_middle_of_its_call(
    fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch, uses: str, on_lost: OnLost | None, calls_made: int
) -> None:
    made: list[int] = []
    run = fleet.submit(Plan(id="lost", steps=(step(uses, on_lost),)))

    def lost_at_first() -> None:
        made.append(1)
        if len(made) == 1:
            lose(fleet, run, 1)

    monkeypatch.setattr(lost_tools, "in_the_middle", lost_at_first)
    document = fleet.finish(run)
    assert len(made) == calls_made
    assert document.success is (calls_made == 2)
    if not document.success:
        assert f"{uses} may or may not have run, so it is not tried again" in (document.steps["s"].error or "")


@pytest.mark.parametrize("uses", [ONCE, "langchain:tests.lost_tools:chained", "mcp:nowhere/tool"])
def test_one_that_is_lost_before_its_call_is_tried_again(fleet: InProcessFleet, uses: str) -> None:
    run = fleet.submit(Plan(id="early", steps=(step(uses),)))
    assert fleet.take() is not None
    fleet.engine.store.claim(run.id, "s", 1, "token", "worker", [])
    lose(fleet, run, 1)
    assert not fleet.engine.store.begin_call(run.id, "s", 1, repeatable=True), "it is somebody else's by now"
    message = fleet.take()
    assert message is not None
    assert message.args == [run.id, "s", 2]


def test_nobody_loads_a_tool_to_ask_it(fleet: InProcessFleet, tmp_path: Path) -> None:
    run = fleet.submit(Plan(id="poison", steps=(step("python:tests.no_such_module:work"),)))
    fleet.engine.store.claim(run.id, "s", 1, "token", "worker", [])
    before = set(sys.modules)
    lose(fleet, run, 1)
    assert set(sys.modules) == before


def test_one_that_fails_is_tried_again_as_its_tool_says(fleet: InProcessFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("not today")

    monkeypatch.setattr(lost_tools, "in_the_middle", fail)
    for uses, attempts in ((ONCE, 1), (AGAIN, 3)):
        document = fleet.finish(fleet.submit(Plan(id="fails", steps=(step(uses),))))
        assert document.steps["s"].retries == attempts - 1


@pytest.mark.parametrize(("tool", "again"), [("pid", True), ("count", False)])
def test_a_server_says_so_of_its_tools(fleet: InProcessFleet, tool: str, again: bool) -> None:
    pool = Servers({"it": McpSection(command=sys.executable, args=("-m", "tests.mcp_server", "stdio"))}, in_use())
    servers.use(pool)
    run = fleet.submit(Plan(id="asks", steps=(step(f"mcp:it/{tool}"),)))
    begin = fleet.engine.store.begin_call
    said: list[bool] = []

    def seen(*of: object) -> bool:
        said.append(bool(of[-1]))
        return begin(*of)  # type: ignore[arg-type]

    try:
        fleet.engine.store.begin_call = seen  # type: ignore[method-assign]
        assert fleet.finish(run).success
        assert said == [again]
    finally:
        calls().run(pool.close())
        servers.use(None)
