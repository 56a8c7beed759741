"""What Flower shows of a fleet: what ran, under which name, for which run, and how it ended. Never with what values."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from orchestrator_client.announce import run_pipeline
from orchestrator_client.contract import names
from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.plan import OnFailure, Plan, Step, StepKind
from tests import foreign_app
from tests.conformance.model_server import ModelServer, text
from tests.conftest import wait_until
from tests.fleet import python_step
from tests.flower_server import FlowerServer
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("flower")

SECRET = 'canary+secret/9"x'
ENCODED = base64.b64encode(SECRET.encode()).decode()

CANARIES = {
    "an input": "canary-input",
    "a parameter": "canary-parameter",
    "a value": "canary-value",
    "a prompt": "canary-prompt",
    "the model's text": "canary-answer",
    "a key": "sk-canary-key",
    "a secret, escaped or not": "canary+secret",
    "a secret in base64": ENCODED.rstrip("=")[:-1],
    "a secret in base64 in a URL": quote(ENCODED[:20], safe=""),
    "a secret in hexadecimal": SECRET.encode().hex(),
    "a secret in a URL": quote(SECRET, safe=""),
}
"""What must not be seen, by what it is."""

MODEL = "gpt-4o-mini"


class Flower(FlowerServer):
    """What Flower's own pages and its API tell."""

    def page(self, path: str) -> str:
        """The text of a page, or of its error."""
        return self.get(path).text

    def knows_worker(self) -> bool:
        """Whether a worker's heartbeat has come: from then on its events do."""
        return bool(self.workers())

    def workers(self) -> list[str]:
        return [worker["hostname"] for worker in json.loads(self.page("/workers?json=1"))["data"]]

    def tasks(self) -> dict[str, Any]:
        """What `/api/tasks` lists, by task id."""
        listed: dict[str, Any] = json.loads(self.page("/api/tasks?limit=1000"))
        return listed

    def fleet_pages(self) -> list[str]:
        """Paths of the pages about the fleet as a whole."""
        paths = ["/", "/workers", "/tasks", "/broker", "/metrics", "/api/tasks", "/api/workers?refresh=1"]
        paths += ["/api/task/types", "/api/queues/length", f"/tasks/datatable?{TABLE}"]
        return [*paths, *(f"/worker/{quote(worker)}" for worker in self.workers())]

    def run_pages(self, run: str) -> list[str]:
        """Paths of the pages about one run and its steps. What a canvas gets as its result is not among them."""
        tasks = [quote(name) for name, task in self.tasks().items() if run in name or run in task["args"]]
        return [page + task for task in tasks for page in ("/task/", "/api/task/info/")]


TABLE = urlencode(
    {
        "draw": 1,
        "start": 0,
        "length": 100,
        "search[value]": "",
        "order[0][column]": 0,
        "order[0][dir]": "asc",
        "columns[0][data]": "name",
    }
)
"""What Flower's own table asks for."""


def shown_plan(folder: Path, *further: Step) -> Plan:
    """Steps of both kinds and a skipped one, with something in every place that must not be seen."""
    file = f"{CANARIES['a parameter']}.txt"
    (folder / file).write_text(CANARIES["a value"])
    prompt = f"{CANARIES['a prompt']} {{{{ word }}}}"
    read = Step(id="read", kind=StepKind.TOOL, uses="filesystem.read", parameters={"path": file})
    idle = python_step("idle", "builtins:str", CANARIES["a parameter"], condition=False)
    ask = Step(id="ask", kind=StepKind.MODEL, uses="generate", model=MODEL, parameters={"prompt": prompt})
    outputs = {"text": "{{ read.content }}", "word": "{{ word }}", "answer": "{{ ask.result }}"}
    return Plan(id="shown", steps=(read, idle, ask, *further), outputs=outputs)


URL = """sed 's/+/%2B/; s|/|%2F|; s/"/%22/'"""
JSON = r"""sed 's/"/\\"/'"""
"""Programs that write what they read as it stands in a URL, and in JSON."""


def telling_secrets() -> tuple[Step, ...]:
    """Steps that fail with a secret in their errors: as it stands, and in all forms in which programs repeat it."""
    raises = python_step("raises", "tests.functions:fail", "secret://TOKEN", on_failure=OnFailure.CONTINUE)
    forms = ("base64 -w0", "base64 -w0 | sed s/+/%2B/g", 'od -An -tx1 | tr -d " \\n"', URL, JSON)
    command = "; ".join([*(f'printf %s "$T" | {form} >&2' for form in forms), "exit 3"])
    told = {"command": command, "env": {"T": "secret://TOKEN"}}
    prints = Step(
        id="prints", kind=StepKind.TOOL, uses="terminal.execute", parameters=told, on_failure=OnFailure.CONTINUE
    )
    return raises, prints


class Shown:
    """A fleet with events, three runs that it has done, and Flower beside it.

    One run went well, one had a step that failed, and one came from a foreign application's canvas.
    """

    def __init__(self, fleet: StandingFleet, model_server: ModelServer) -> None:
        self.fleet = fleet
        self.flower = Flower(fleet, {"FLOWER_UNAUTHENTICATED_API": "true"})
        wait_until(self.flower.answers, "Flower answers", 60)
        environment = {
            "OPENAI_API_KEY": CANARIES["a key"],
            "OPENAI_BASE_URL": model_server.url,
            "ORCHESTRATOR_EVENTS": "1",
            "ORCHESTRATOR_SECRET_TOKEN": SECRET,
            "ORCHESTRATOR_WORKDIR": str(fleet.folder),
        }
        options = ("--queues", "tool,control,model.openai", "--pool", "threads", "-c", "4", "--name", "shown")
        fleet.start_program("shown", "-m", "orchestrator_worker", *options, **environment)
        wait_until(self.flower.knows_worker, "Flower has heard of the worker", 60)
        bad = python_step("bad", "tests.functions:fail", "out of luck", on_failure=OnFailure.CONTINUE)
        failing = (bad, *telling_secrets())
        self.good, self.failed = self._done(shown_plan(fleet.folder)), self._done(shown_plan(fleet.folder, *failing))
        self.runs = {"good": self.good.execution_id, "failed": self.failed.execution_id, "canvas": self._from_canvas()}

    def task(self, run: RunDocument, instance: str) -> Any:
        """What Flower knows of a step."""
        return self.flower.tasks()[names.task_id(run.execution_id, instance)]

    def _done(self, plan: Plan) -> RunDocument:
        run = self.fleet.client.submit(plan, {"word": CANARIES["an input"]}).result(timeout=60)
        tasks = [names.task_id(run.execution_id, step) for step in run.steps]
        wait_until(lambda: all(map(self.has_ended, tasks)), "Flower shows how every step ended")
        return run

    def _from_canvas(self) -> str:
        with foreign_app.at(names.celery_url(self.fleet.url)):
            run = str(run_pipeline(shown_plan(self.fleet.folder), {"word": CANARIES["an input"]}).apply_async())
        wait_until(lambda: self.has_ended(run), "Flower shows the end of the canvas's run")
        return run

    def has_ended(self, task: str) -> bool:
        return self.flower.tasks().get(task, {}).get("state") in ("SUCCESS", "FAILURE")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    with ModelServer() as server, StandingFleet(tmp_path_factory.mktemp("flower")) as fleet:
        server.script(otherwise=lambda _: text(CANARIES["the model's text"]))
        yield Shown(fleet, server)


def seen(flower: Flower, paths: list[str]) -> set[tuple[str, str]]:
    """What must not be seen and is, each with its page."""
    pages = {path: flower.page(path) for path in paths}
    return {(what, path) for path, page in pages.items() for what, canary in CANARIES.items() if canary in page}


def test_the_runs_went_as_planned(shown: Shown) -> None:
    assert shown.good.outputs == {
        "text": CANARIES["a value"],
        "word": CANARIES["an input"],
        "answer": CANARIES["the model's text"],
    }
    assert {step.id: step.status for step in shown.failed.steps.values()} == {
        "read": "completed",
        "idle": "skipped",
        "ask": "completed",
        **dict.fromkeys(("bad", "raises", "prints"), "failed"),
    }


def test_a_task_s_page_leads_to_its_step_and_the_step_s_page_back(shown: Shown) -> None:
    run = shown.failed.execution_id
    task = f"/task/{quote(names.task_id(run, 'bad'))}"
    assert f'href="/run/{run}#step=bad"' in shown.flower.page(task)
    assert shown.flower.get(f"/run/{run}/step?instance=bad").json["task"] == task


def test_a_run_s_own_task_leads_to_its_run(shown: Shown) -> None:
    run = shown.runs["canvas"]
    assert f'href="/run/{run}"' in shown.flower.page(f"/task/{run}")


@pytest.mark.parametrize(
    ("step", "name"),
    [("read", "tool · filesystem.read"), ("bad", "tool · python.call"), ("ask", f"model · {MODEL}")],
)
def test_a_step_goes_by_its_kind_and_says_whose_it_is(shown: Shown, step: str, name: str) -> None:
    task = shown.task(shown.failed, step)
    assert task["name"] == name
    assert task["args"] == f"{shown.failed.execution_id} {step}"
    assert "shown@" in shown.flower.page(f"/task/{quote(task['uuid'])}")


def test_a_failed_step_is_a_failure_with_its_message(shown: Shown) -> None:
    task = shown.task(shown.failed, "bad")
    assert task["state"] == "FAILURE"
    assert "bad: function tests.functions:fail raised ValueError: out of luck" in task["exception"]


@pytest.mark.parametrize(("step", "times"), [("raises", 1), ("prints", 5)])
def test_a_secret_in_an_exception_is_masked(shown: Shown, step: str, times: int) -> None:
    assert shown.task(shown.failed, step)["exception"].count("[secret TOKEN]") == times


def test_a_skipped_step_is_a_success_with_its_reason(shown: Shown) -> None:
    task = shown.task(shown.failed, "idle")
    assert task["state"] == "SUCCESS"
    assert task["result"] == "'skipped: its condition is false'"


def test_steps_that_succeed_show_no_result(shown: Shown) -> None:
    tasks = [shown.task(shown.good, step) for step in ("read", "ask")]
    assert [(task["state"], task["result"]) for task in tasks] == [("SUCCESS", "None")] * 2


def test_the_table_of_tasks_lists_what_the_api_does(shown: Shown) -> None:
    table = json.loads(shown.flower.page(f"/tasks/datatable?{TABLE}"))["data"]
    assert {row["uuid"] for row in table} == set(shown.flower.tasks())


def test_a_run_that_went_well_ends_as_a_success(shown: Shown) -> None:
    wait_until(lambda: shown.has_ended(shown.good.execution_id), "the run's own task has ended")
    assert shown.flower.tasks()[shown.good.execution_id]["state"] == "SUCCESS"


def test_a_run_that_failed_ends_as_a_failure(shown: Shown) -> None:
    wait_until(lambda: shown.has_ended(shown.failed.execution_id), "the run's own task has ended")
    assert shown.flower.tasks()[shown.failed.execution_id]["state"] == "FAILURE"


@pytest.mark.parametrize("run", ["good", "failed", "canvas"])
def test_nothing_confidential_is_on_the_pages_of_a_run(shown: Shown, run: str) -> None:
    paths = shown.flower.run_pages(shown.runs[run])
    assert len(paths) >= 8
    assert seen(shown.flower, paths) == set()


@pytest.mark.parametrize("run", ["good", "failed", "canvas"])
def test_no_secret_is_on_the_page_of_a_run_nor_in_what_it_fetches(shown: Shown, run: str) -> None:
    page = f"/run/{shown.runs[run]}"
    steps = [quote(row["i"]) for row in shown.flower.get(page).payload["rows"]]
    assert len(steps) >= 3
    fetched = [f"{page}/{what}?instance={step}" for step in steps for what in ("step", "value")]
    found = seen(shown.flower, [page, f"{page}/inputs", *fetched])
    assert {what for what, _ in found if what.startswith(("a key", "a secret"))} == set()
    assert {what for what, path in found if path == page} == set()


def test_nothing_confidential_is_on_the_pages_of_the_fleet(shown: Shown) -> None:
    assert seen(shown.flower, shown.flower.fleet_pages()) == set()


@pytest.mark.parametrize("run", ["good", "failed", "canvas"])
def test_nothing_confidential_is_in_what_pages_are_sent_as_news(shown: Shown, run: str) -> None:
    """From a run's first event on; what a failed step says has the secret in it."""
    news = ""
    with shown.flower.stream(f"/run/{shown.runs[run]}/stream") as messages:
        for _, told in messages:
            news += json.dumps(told)
            if '"run_closed"' in news:
                break
    with shown.flower.stream("/runs/stream") as messages:
        news += json.dumps(next(messages)[1])
    news += shown.flower.page("/runs")
    assert shown.runs[run] in news
    assert ("[secret TOKEN]" in news) is (run == "failed")
    assert {what for what, canary in CANARIES.items() if canary in news} == set()
