"""The pages of runs in a real browser: what a person sees of them, and does there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.contract.quality import OnUnmet, Quality, Rule, RuleKind, Severity
from tests.browser.conftest import PHONE, Site, need_browser, release_plan, report_plan
from tests.browser.large import REAL_ITEMS, deliver_until, filled
from tests.conftest import wait_until
from tests.fleet import python_step

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

need_browser()

pytestmark = pytest.mark.xdist_group("browser")

Opened = Callable[..., "Page"]


def sees(found: Locator, text: str | re.Pattern[str] = "") -> None:
    """Wait until it is there, with this text in it."""
    from playwright.sync_api import expect

    expect(found).to_be_visible()
    if text:
        expect(found).to_contain_text(text)


def has(found: Locator, name: str, value: str | re.Pattern[str]) -> None:
    from playwright.sync_api import expect

    expect(found).to_have_attribute(name, value)


def sees_no(found: Locator) -> None:
    """Wait until it is hidden, or not there."""
    from playwright.sync_api import expect

    expect(found).to_be_hidden()


def box(page: Page, step: str) -> Locator:
    """A step's box in the graph."""
    return page.locator(f'.box[aria-label^="{step},"]')


def row(page: Page, instance: str) -> Locator:
    return page.locator(f'[role=tabpanel]:not([hidden]) tr[data-key="{instance}"]')


@pytest.fixture(scope="module")
def failed(site: Site) -> Run:
    run = site.submit(report_plan(), "nightly", "<i>finance</i>")
    site.close(run)
    return run


@pytest.fixture(scope="module")
def large(site: Site) -> Run:
    return filled(site.fleet, 1000)


# ---- what is seen


def test_the_list_shows_state_reason_and_price_of_every_run(
    site: Site, opened: Opened, failed: Run, large: Run
) -> None:
    waiting = site.submit(release_plan(), "release")
    site.work(waiting)
    page = opened("/runs")
    line = page.locator(f'tr[data-run="{failed.id}"]')
    sees(line, "failed")
    sees(line, "cannot open the font <Inter>")
    sees(line, "<i>finance</i>")
    sees(page.locator(f'tr[data-run="{large.id}"]'), "$")
    site.shoot(page, "list")
    page.get_by_label("State").select_option("failed")
    page.wait_for_url(re.compile("state=failed"))
    sees(page.locator(f'tr[data-run="{failed.id}"]'))
    assert page.locator("#runs tbody tr").count() == 1
    waiting.cancel()


def test_a_failed_run_begins_with_the_step_and_its_reason(site: Site, opened: Opened, failed: Run) -> None:
    page = opened(f"/run/{failed.id}")
    sees(page.locator(".orc-alarm"), "render failed")
    sees(page.locator(".orc-alarm"), "cannot open the font <Inter>")
    has(box(page, "render"), "data-state", "failed")
    has(box(page, "publish"), "data-state", "cancelled")
    site.shoot(page, "failed")
    page.get_by_role("button", name="Show the step").click()
    drawer = page.locator(".orc-drawer")
    sees(drawer, "ValueError")
    sees(drawer, "Parameters, as the plan has them")
    site.shoot(page, "failed-step")
    page.keyboard.press("Escape")
    sees_no(drawer)


def test_a_step_shows_what_the_rules_on_its_quality_found(site: Site, opened: Opened) -> None:
    rules = (Rule(kind=RuleKind.RESIDUE), Rule(kind=RuleKind.LENGTH, asks={"min": 1}, severity=Severity.INFO))
    quality = Quality(rules=rules, on_fail=OnUnmet.WARN)
    run = site.submit(
        Plan(id="held", steps=(python_step("write", "builtins:str", "Dear [YOUR NAME]", quality=quality),))
    )
    site.close(run)
    page = opened(f"/run/{run.id}")
    sees(page.locator(".orc-facts"), "0 of 1 step as they should be")
    page.get_by_role("button", name="write", exact=True).click()
    sees(page.locator(".orc-findings .is-unmet"), "residue (error)")
    assert page.locator(".orc-findings li").count() == 2
    site.shoot(page, "quality")


def test_a_live_run_changes_before_one_s_eyes(site: Site, opened: Opened) -> None:
    run = site.submit(release_plan())
    page = opened(f"/run/{run.id}")
    has(box(page, "build"), "data-state", "ready")
    site.work(run, "build")
    has(box(page, "build"), "data-state", "succeeded")
    has(box(page, "test"), "data-state", "ready")
    sees(row(page, "build"), "succeeded")
    site.shoot(page, "live")
    run.cancel()


def test_a_map_of_500_items_is_one_box_with_counts_and_a_list_of_them_all(site: Site, opened: Opened) -> None:
    run = filled(site.fleet, 500)
    page = opened(f"/run/{run.id}")
    sees(box(page, "draft"), re.compile(r"49\d/\d+"))
    assert page.locator(".box").count() == 5
    site.shoot(page, "map-of-500")
    box(page, "check").click()
    sees(page.get_by_role("button", name="translate.check ×"))
    table = page.locator(".orc-long:visible")
    table.evaluate("element => element.scrollTo(0, element.scrollHeight)")
    sees(row(page, "translate[499].check"), "succeeded")
    assert page.locator("tr[data-key]").count() < 100
    page.get_by_role("tab", name="Timeline").click()
    sees(page.locator(".orc-legend"), "waited for a provider's limit")
    sees(page.locator(".lane.is-worker", has_text="tools-1:4102"))
    site.shoot(page, "timeline")
    page.get_by_role("tab", name="Cost").click()
    sees(page.locator("[role=tabpanel]:not([hidden])"), "openai/gpt-4o-mini")
    run.cancel()


def test_limits_are_seen_with_their_weather(site: Site, opened: Opened) -> None:
    site.fleet.client.set_limits("openai/gpt-4o-mini", requests=60, in_flight=4)
    page = opened("/limits")
    sees(page.locator("section"), "set by a person")
    site.shoot(page, "limits")


# ---- what is done


def test_an_approval_is_given_on_the_page(site: Site, opened: Opened) -> None:
    run = site.submit(release_plan())
    site.work(run)
    page = opened(f"/run/{run.id}")
    sees(page.locator(".orc-question"), "Ship it to all customers?")
    site.shoot(page, "approval")
    page.get_by_label("comment").fill("numbers <checked>")
    page.get_by_role("button", name="Approve").click()
    sees(page.locator("#said"), "release is answered")
    page.wait_for_selector(".orc-question", state="detached")
    site.close(run)
    sees(page.locator(".orc-state").first, "succeeded")
    answer = run.value("release")
    assert (answer["action"], answer["comment"]) == ("approve", "numbers <checked>")


def test_a_run_is_paused_resumed_and_cancelled_on_its_page(site: Site, opened: Opened) -> None:
    run = site.submit(release_plan())
    page = opened(f"/run/{run.id}")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Pause").click()
    sees(page.locator(".orc-state").first, "paused")
    page.get_by_role("button", name="Resume").click()
    sees(page.get_by_role("button", name="Pause"))
    page.get_by_role("button", name="Cancel").click()
    sees(page.locator(".orc-state").first, "cancel")
    wait_until(lambda: run.status().wish == "cancel", "the wish is recorded")
    site.close(run)
    sees(page.locator(".orc-state").first, "cancelled")
    site.shoot(page, "cancelled")


def test_a_failed_run_is_tried_again_on_its_page(site: Site, opened: Opened, failed: Run) -> None:
    page = opened(f"/run/{failed.id}")
    page.get_by_role("button", name="Retry").click()
    sees(page.locator("dt", has_text="Tries again"))
    sees(page.get_by_role("link", name=failed.id))
    again = site.fleet.client.run(page.url.rpartition("/")[2])
    site.fleet.engine.scheduler.start(again.id)
    site.work(again)
    has(box(page, "summarise"), "data-state", "succeeded")
    has(box(page, "render"), "data-state", "failed")


def test_a_form_is_filled_in_on_the_page(site: Site, opened: Opened) -> None:
    questions = [
        {"text": "How good is it?", "id": "quality", "type": "rating"},
        {"text": "For whom?", "id": "whom", "choices": ["all", "few"]},
    ]
    form = {"title": "Feedback", "questions": questions}
    ask = Step(id="ask", kind=StepKind.TOOL, uses="feedback-collection.execute", parameters=form)
    run = site.submit(Plan(id="feedback", steps=(ask,)))
    site.work(run)
    page = opened(f"/run/{run.id}")
    page.locator("[name=quality]").fill("4")
    page.locator("[name=whom]").select_option(label="few")
    page.get_by_role("button", name="Answer").click()
    # Only then has the step's message been sent; that the question is gone is seen before.
    sees(page.locator("#said"), "ask is answered")
    page.wait_for_selector(".orc-question", state="detached")
    [asked] = site.fleet.client.audit(run.id, act="answer")
    assert asked is not None
    site.work(run)
    assert "4" in json.dumps(run.value("ask"))


def test_several_runs_are_cancelled_from_the_list(site: Site, opened: Opened) -> None:
    runs = [site.submit(release_plan(), "many") for _ in range(2)]
    page = opened("/runs?tag=many")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_label("Choose all of this page").check()
    page.get_by_role("group", name="Chosen runs").get_by_role("button", name="Cancel").click()
    sees(page.locator("#said"), "cancel: asked of 2 runs")
    assert {run.status().wish for run in runs} == {"cancel"}


# ---- for everybody


def test_everything_can_be_done_with_the_keyboard(site: Site, opened: Opened, failed: Run) -> None:
    page = opened(f"/run/{failed.id}")
    page.keyboard.press("Tab")
    has(page.locator(":focus"), "href", "#main-content")
    box(page, "render").focus()
    page.keyboard.press("Enter")
    sees(page.locator(".orc-drawer"), "render")
    page.keyboard.press("Escape")
    has(page.locator(":focus"), "aria-label", re.compile("^render,"))
    page.get_by_role("tab", name="Steps").focus()
    page.keyboard.press("ArrowRight")
    has(page.get_by_role("tab", name="Timeline"), "aria-selected", "true")


def test_a_link_to_a_step_opens_it(site: Site, opened: Opened, failed: Run) -> None:
    page = opened(f"/run/{failed.id}#step=summarise")
    sees(page.locator(".orc-drawer"), "summarise")


@pytest.mark.parametrize("path", ["/runs", "/run/{run}", "/limits"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(site: Site, opened: Opened, failed: Run, path: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(path.format(run=failed.id), color_scheme=scheme)
    sees(page.locator("h1"))
    has(page.locator("html"), "data-bs-theme", scheme)
    if scheme == "dark":
        site.shoot(page, f"dark{path.partition('{')[0].rstrip('/').replace('/', '-')}")
    found = Axe().run(page, options=RULES).response["violations"]
    for tab in ("Timeline", "Events", "Cost", "Inputs and outputs") if "run/" in path and scheme == "light" else ():
        page.get_by_role("tab", name=tab).click()
        sees(page.locator("[role=tabpanel]:not([hidden])"), re.compile(r"\w"))
        found += Axe().run(page, context="#page", options=RULES).response["violations"]
    grave = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found if each["impact"] in GRAVE]
    assert grave == [], json.dumps(grave, indent=1)


GRAVE = ("serious", "critical")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


@pytest.mark.parametrize("path", ["/runs", "/run/{run}", "/limits"])
def test_a_phone_shows_all_of_it_without_sideways_scrolling(site: Site, opened: Opened, failed: Run, path: str) -> None:
    page = opened(path.format(run=failed.id), is_mobile=True, viewport=PHONE)
    sees(page.locator("h1"))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    site.shoot(page, f"phone{path.partition('{')[0].rstrip('/').replace('/', '-')}")


def test_the_theme_can_be_chosen(site: Site, opened: Opened) -> None:
    page = opened("/runs", color_scheme="light")
    page.locator("#theme-toggle").click()
    page.get_by_role("button", name="Dark").click()
    has(page.locator("html"), "data-bs-theme", "dark")


# ---- how fast

CLOCKS = """
  window.clocks = {};
  const look = () => {
    if (document.querySelectorAll("tr[data-key]").length > 10) window.clocks.list = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
"""


def test_a_run_of_2000_instances_is_soon_usable_and_at_once_up_to_date(
    site: Site, opened: Opened, large: Run, record_property: Callable[[str, object], None]
) -> None:
    """The figures are printed and kept with the test's record, not judged: a busy machine takes what it takes."""
    page = opened("/runs")
    page.add_init_script(CLOCKS)
    meter = page.context.new_cdp_session(page)
    meter.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(f"{site.flower.root}/run/{large.id}")
    page.wait_for_function("window.clocks.list && performance.getEntriesByName('first-contentful-paint').length")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    usable = page.evaluate("window.clocks.list")
    spent = {each["name"]: each["value"] for each in meter.send("Performance.getMetrics")["metrics"]}
    assert len(site.flower.get(f"/run/{large.id}").payload["rows"]) >= 1990
    instance = f"translate[{REAL_ITEMS}].draft"
    page.get_by_label("Search steps").fill(instance)
    deliver_until(site.fleet, large, instance)
    before = page.evaluate("performance.now()")
    sees(row(page, instance), "succeeded")
    late = page.evaluate("performance.now()") - before
    figures = {"first contentful paint ms": paint, "list usable ms": usable, "shown after the step ended ms": late}
    figures["processor time of the page's thread ms"] = 1000 * spent["TaskDuration"]
    for name, value in figures.items():
        record_property(name, round(value))
    print("run page of 2,000 instances:", ", ".join(f"{name} {value:,.0f}" for name, value in figures.items()))
