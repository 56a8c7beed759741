"""Steps that call tools of MCP servers: through the registry, the store, models of ours, and real workers that die."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator_client.client import Client
from orchestrator_client.contract.inputs import InputType
from orchestrator_client.contract.plan import Input, Plan, Retry, Step, StepKind
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools.mcp import servers
from tests.command_line import FAST
from tests.conformance.model_server import ModelServer, text
from tests.conftest import RedisServer, wait_until
from tests.fleet import InProcessFleet, WorkerProcess, start_worker
from tests.integration.model_fleet import ModelFleet
from tests.integration.test_model_step import everything_in

SECRET = "sesame-open-up-42"

CONFIG = """\
default_model = "openai/gpt-4o-mini"
[mcp.it]
command = "{python}"
args = ["-m", "tests.mcp_server", "stdio", "{mark}"]
env = {{ TOKEN = "secret://TOKEN", CITY = "CITY" }}
sampling = true
elicitation = true
[mcp.quick]
command = "{python}"
args = ["-m", "tests.rude_mcp_server", "naps", "{mark}"]
env = {{ TOKEN = "secret://TOKEN" }}
"""


def mcp_step(id: str, tool: str, after: tuple[str, ...] = (), server: str = "it", **parameters: Any) -> Step:
    return Step(id=id, kind=StepKind.TOOL, uses=f"mcp:{server}/{tool}", parameters=parameters, after=after)


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A project with one server, whose processes are known by this argument. None is left afterwards."""
    mark = f"mark-{tmp_path.name}-{os.getpid()}"
    (tmp_path / "orchestrator.toml").write_text(CONFIG.format(python=sys.executable, mark=mark))
    for name, value in {
        "ORCHESTRATOR_CONFIG": str(tmp_path / "orchestrator.toml"),
        "ORCHESTRATOR_SECRET_TOKEN": SECRET,
        "CITY": "Bonn",
    }.items():
        monkeypatch.setenv(name, value)
    servers.use(None)
    yield mark
    calls().run(servers.servers().close())
    servers.use(None)
    wait_until(lambda: not processes(mark), "no server is left")


def processes(mark: str) -> list[psutil.Process]:
    """Servers with that argument, wherever they were started."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        with suppress(psutil.NoSuchProcess):
            if mark in (process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_a_plan_calls_a_server(redis_server: RedisServer, tmp_path: Path, mark: str) -> None:
    fleet = InProcessFleet.on(redis_server.url, tmp_path / "runs")
    steps = (
        mcp_step("sum", "add", a="{{ inputs.first }}", b="2"),
        mcp_step("look", "picture"),
        mcp_step("told", "environment"),
        Step(
            id="old",
            kind=StepKind.TOOL,
            uses="mcp-server.execute_tool",
            parameters={"server_name": "it", "tool_name": "echo", "arguments": {"text": "{{ sum.result.total }}"}},
            after=("sum",),
            reads=("sum",),
        ),
        Step(id="tools", kind=StepKind.TOOL, uses="mcp-server.list_tools", parameters={"server_name": "it"}),
    )
    plan = Plan(id="calls", inputs={"first": Input(type=InputType.INTEGER)}, steps=steps)
    try:
        run = fleet.submit(plan, first=40)
        document = fleet.finish(run)
        assert document.status == "completed", document.error
        assert document.steps["sum"].value["result"] == {"total": 42, "words": "40 and 2"}
        (picture, _note) = document.steps["look"].value["artifacts"]
        assert (tmp_path / "runs" / picture["path"]).read_bytes().startswith(b"\x89PNG")
        assert document.steps["old"].value["result"] == "42"
        assert "echo" in [tool["name"] for tool in document.steps["tools"].value["result"]["tools"]]
        assert document.steps["told"].value["result"]["CITY"] == "Bonn"
        assert document.steps["told"].value["result"]["TOKEN"] == "[secret TOKEN]"
        assert SECRET.encode() not in everything_in(redis_server.url)
    finally:
        fleet.close()


def test_a_server_asks_our_model(redis_server: RedisServer, tmp_path: Path, server: ModelServer, mark: str) -> None:
    fleet = ModelFleet.on(redis_server.url, tmp_path / "runs", default_model="openai/gpt-4o-mini")
    server.script(text("fourty-two"))
    plan = Plan(id="asks", steps=(mcp_step("ask", "ask", question="How many?"),))
    try:
        run = fleet.submit(plan)
        message = fleet.take("tool")
        assert message is not None
        tool = threading.Thread(target=fleet.deliver, args=(message,))
        tool.start()
        asked = wait_until(lambda: fleet.take("model.openai"), "the model is asked while the tool goes on")
        fleet.deliver(asked)
        tool.join(60)
        document = fleet.finish(run)
        assert document.status == "completed", document.error
        assert document.steps["ask"].value["result"].endswith(": fourty-two")
        [request] = server.requests
        assert "How many?" in str(request.body)
        assert fleet.receipt(run, "ask#0.1001").usage.requests == 1
        assert run.status().open == 0
    finally:
        fleet.close()


def test_a_server_asks_a_person(redis_server: RedisServer, tmp_path: Path, mark: str) -> None:
    fleet = InProcessFleet.on(redis_server.url, tmp_path / "runs")
    try:
        run = fleet.submit(Plan(id="greets", steps=(mcp_step("greet", "greet", greeting="Hello"),)))
        fleet.drain()
        [asked] = run.questions()
        assert (asked.question.title, asked.question.prompt) == ("it/greet", "Who is it for?")
        assert run.status().open == 1, "it waits, and holds no worker"
        run.answer("greet", {"name": "Ada"}, by="me")
        document = fleet.finish(run)
        assert document.status == "completed", document.error
        assert document.steps["greet"].value["result"] == "Hello Ada (18)"
    finally:
        fleet.close()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Client]:
    client = Client(redis_server.url)
    yield client
    client.close()


Workers = Callable[..., WorkerProcess]


@pytest.fixture
def worker(redis_server: RedisServer, tmp_path: Path, mark: str) -> Iterator[Workers]:
    """`worker()`: start one with two processes."""
    running: list[WorkerProcess] = []

    def start(**settings: float) -> WorkerProcess:
        fields = {**FAST, "workdir": str(tmp_path / "{run}"), **settings}
        running.append(start_worker(redis_server.url, tmp_path, f"w{len(running)}", "-c", "2", **fields))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.kill()


def test_cancel_is_told_to_the_server_whose_session_lives_on(
    client: Client, worker: Workers, tmp_path: Path, mark: str
) -> None:
    # Whoever has not stopped by the beat after the one that asks for it is killed: a slow machine has time until then.
    worker(beat_seconds=6, lease_seconds=30)
    note = tmp_path / "note"
    run = client.submit(Plan(id="slow", steps=(mcp_step("slow", "slow", seconds=300, mark=str(note)),)))
    wait_until(lambda: (tmp_path / "note.started").exists(), "the call is under way", 60)
    [before] = [process.pid for process in processes(mark)]
    run.cancel()
    assert run.result(timeout=60).status == "cancelled"
    wait_until(note.exists, "the server has heard of it")
    assert [process.pid for process in processes(mark)] == [before]


RUNS = int(os.environ.get("ORCHESTRATOR_TEST_KILLS", "10"))


def test_kills_leave_no_server_behind(client: Client, worker: Workers, tmp_path: Path, mark: str) -> None:
    current = worker()
    once_more = Retry(attempts=5, initial_seconds=0)
    steps = (mcp_step("one", "work", server="quick"), mcp_step("two", "work", ("one",), "quick"))
    plan = Plan(id="kills", steps=tuple(step.model_copy(update={"retry": once_more}) for step in steps))
    warm = client.submit(plan)
    assert warm.result(timeout=60).status == "completed"
    for number in range(RUNS):
        run = client.submit(plan)
        wait_until(lambda run=run: run.status().state != "submitted", "it has begun")
        victims = [one for one in processes(mark) if number % 3 == 0]
        if number % 3 == 1:
            victims = psutil.Process(current.process.pid).children()
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        if number % 10 == 9:
            current.kill()
            wait_until(lambda: not processes(mark), "a killed worker leaves no server")
            current = worker()
        assert run.result(timeout=60).status in ("completed", "failed")
    assert client.submit(plan).result(timeout=60).status == "completed"
    # One for each of the worker's two processes, at most.
    wait_until(lambda: len(processes(mark)) <= 2, "no more than were there before")
    log = "".join(path.read_text() for path in tmp_path.glob("w*.log"))
    assert SECRET not in log
