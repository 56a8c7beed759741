"""A real Chromium, without a window, before a real Flower. Where there is no Chromium, these tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import OnFailure, Plan, Step, StepKind
from tests.conftest import wait_until
from tests.fleet import InProcessFleet, python_step
from tests.flower_server import FlowerServer
from tests.standing_fleet import CHECKOUT, StandingFleet

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS_VARIABLE = "ORCHESTRATOR_SCREENSHOTS"
"""Folder of the pictures; `build/screenshots` without it."""

WAIT_MS = 60_000
"""Longest that a page may take to become what it should, on a machine that is busy."""

SAID_STAYS = "HTMLParagraphElement.prototype.remove = () => {}"
"""What a page says it takes back after five seconds, in which a busy machine may not have looked."""

DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


def chromium() -> str | None:
    """Where the machine's own is."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def need_browser() -> None:
    """Skip a module, with one line, where pages cannot be looked at."""
    if chromium() is None or find_spec("playwright") is None:
        reason = "no Chromium (apt-get install chromium), or no playwright (the dev extra): pages are not looked at"
        pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    # Root has no sandbox; what is opened is ours.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=arguments, timeout=WAIT_MS)
        yield opened
        opened.close()


@dataclass
class Site:
    """A fleet of this process, whose steps are done when a test says so, and Flower before it."""

    fleet: InProcessFleet
    flower: FlowerServer
    browser: Browser
    shots: Path
    wrong: list[str] = field(default_factory=list)
    """What pages complained of: errors of scripts, and what their policy refused."""

    def open(self, path: str, **context: Any) -> Page:
        """A page of its own, with nothing remembered."""
        page = self.browser.new_context(**{"viewport": DESK, **context}).new_page()
        page.set_default_timeout(WAIT_MS)
        page.add_init_script(SAID_STAYS)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda line: self.wrong.append(line.text) if line.type == "error" else None)
        page.goto(self.flower.root + path)
        return page

    def shoot(self, page: Page, name: str) -> None:
        page.screenshot(path=self.shots / f"{name}.png")

    def submit(self, plan: Plan, *tags: str) -> Run:
        """Record a run and open its chord."""
        run = self.fleet.client.submit(plan, {}, tags=tags)
        self.fleet.engine.scheduler.start(run.id)
        return run

    def work(self, run: Run, *wanted: str) -> None:
        """Do the steps that are ready, or only these; those of other runs wait."""
        left = []
        while (message := self.fleet.take()) is not None:
            if message.task != names.STEP_TASK:
                continue
            if message.args[0] != run.id or (wanted and message.args[1] not in wanted):
                left.append(message)
            else:
                self.fleet.deliver(message)
        for message in left:
            self.fleet.redis.lpush(message.queue, message.raw)

    def close(self, run: Run) -> None:
        self.work(run)
        self.fleet.engine.scheduler.close(run.id)


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    shots = Path(os.environ.get(SCREENSHOTS_VARIABLE) or CHECKOUT / "build" / "screenshots")
    shots.mkdir(parents=True, exist_ok=True)
    with StandingFleet(tmp_path_factory.mktemp("browser")) as standing:
        flower = FlowerServer(standing)
        fleet = InProcessFleet.on(standing.url, standing.folder)
        wait_until(flower.answers, "Flower answers", 60)
        yield Site(fleet, flower, browser, shots)
        fleet.close()


@pytest.fixture
def opened(site: Site) -> Iterator[Callable[..., Page]]:
    """Opens pages, which are closed after the test; none may have complained."""
    site.wrong.clear()
    before = list(site.browser.contexts)
    yield site.open
    for context in site.browser.contexts:
        if context not in before:
            context.close()
    assert site.wrong == []


def report_plan() -> Plan:
    """Steps side by side, one that fails, and one behind it."""
    steps = (
        python_step("fetch", "builtins:str", "figures"),
        python_step("style"),
        python_step("summarise", "builtins:str", "{{ fetch }}", after=("fetch",), reads=("fetch",)),
        python_step(
            "render",
            "tests.functions:fail",
            "cannot open the font <Inter>",
            after=("summarise", "style"),
            on_failure=OnFailure.FAIL,
        ),
        python_step("publish", after=("render",)),
    )
    return Plan(id="nightly_report", name="Nightly report", steps=steps)


def release_plan() -> Plan:
    """Steps of which one waits for a person."""
    ask = {"title": "Release 2.1", "content": "The figures were checked twice.\nShip it to all customers?"}
    steps = (
        python_step("build"),
        python_step("test", after=("build",)),
        Step(id="release", kind=StepKind.TOOL, uses="approval-gate.execute", parameters=ask, after=("test",)),
        python_step("announce", after=("release",)),
    )
    return Plan(id="release", name="Release", steps=steps)
