"""The pages of runs over HTTP: what they hold, who may see them and change something, and where they come from."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.plan import OnFailure, Plan, Step, StepKind
from tests.conftest import wait_until
from tests.fleet import InProcessFleet, python_step
from tests.flower_server import FlowerServer
from tests.integration.loops import each
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("flower_pages")

EVIL = "<script>alert('x')</script>"
CREDENTIAL = "sk-abcdefghij0123456789abcdef"
LOGIN = {"Authorization": "Basic " + base64.b64encode(b"ana:secret").decode()}


@dataclass
class Site:
    """Three Flowers on one fleet, and runs that were done in this process."""

    fleet: StandingFleet
    engine: InProcessFleet
    open: FlowerServer
    """Without a login, and with its API open to everybody."""
    locked: FlowerServer
    """With a login, under a prefix."""
    remote: FlowerServer
    """Without a login, on a socket whose callers are not known to be on this machine."""
    failed: Run
    waiting: Run

    def run(self) -> Run:
        """One more run, whose step has not been taken yet."""
        self.work()
        return self.engine.submit(Plan(id="idle", steps=(python_step("only"),)))

    def work(self) -> None:
        """Do all steps that there are."""
        while (message := self.engine.take()) is not None:
            if message.task == names.STEP_TASK:
                self.engine.deliver(message)

    def close(self, run: Run) -> None:
        self.work()
        self.engine.engine.scheduler.close(run.id)


def gate() -> Step:
    return Step(
        id="release", kind=StepKind.TOOL, uses="approval-gate.execute", parameters={"content": EVIL, "title": "Release"}
    )


def failing() -> Plan:
    """A run with text of a user wherever a page shows some."""
    steps = (
        python_step("first", "builtins:str", f"{EVIL} {CREDENTIAL}"),
        each("every", [1, 2, 3], python_step("item", "builtins:str", "{{ item }}"), after=("first",)),
        python_step("large", "builtins:str", "x" * 60_000, after=("first",)),
        python_step("bad", "tests.functions:fail", EVIL, after=("every", "large"), on_failure=OnFailure.FAIL),
        python_step("never", after=("bad",)),
    )
    return Plan(id="failing", name=EVIL, description=EVIL, steps=steps)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with StandingFleet(tmp_path_factory.mktemp("pages")) as fleet:
        told = {"ORCHESTRATOR_FLOWER_HOSTS": "Ops.example", "ORCHESTRATOR_METRICS_PORT": "0"}
        anybody = FlowerServer(fleet, {"FLOWER_UNAUTHENTICATED_API": "true", **told})
        locked = FlowerServer(fleet, {"FLOWER_BASIC_AUTH": "ana:secret"}, prefix="ops")
        remote = FlowerServer(fleet, unix_socket=fleet.folder / "flower.sock")
        engine = InProcessFleet.on(fleet.url, fleet.folder)
        failed = engine.client.submit(failing(), {"topic": EVIL, "api_key": "hidden"}, tags=[EVIL, "nightly"])
        engine.engine.scheduler.start(failed.id)
        waiting = engine.submit(Plan(id="asking", steps=(gate(),)))
        site = Site(fleet, engine, anybody, locked, remote, failed, waiting)
        site.close(failed)
        wait_until(lambda: anybody.answers() and locked.answers() and remote.answers(), "all Flowers answer", 60)
        yield site
        engine.close()


# ---- what the pages hold


def test_a_list_says_of_each_run_how_far_it_is_and_why_it_failed(site: Site) -> None:
    rows = {row["id"]: row for row in site.open.get("/runs").payload["runs"]}
    failed = rows[site.failed.id]
    assert (failed["state"], failed["done"], failed["steps"]) == ("failed", 7, 7)
    assert failed["halt"] == "bad"
    assert EVIL in failed["why"]
    assert rows[site.waiting.id]["state"] == "running"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=failed", True),
        ("state=open", False),
        ("tag=nightly", True),
        ("tag=night", False),
        ("pipeline=failing", True),
        ("pipeline=fail", False),
        ("text=FAILING_", True),
        ("text=alert", True),
        ("text=nowhere", False),
        ("text=failing&state=succeeded", False),
    ],
)
def test_a_list_is_filtered_and_searched(site: Site, query: str, found: bool) -> None:
    listed = {row["id"] for row in site.open.get(f"/runs?{query}").payload["runs"]}
    assert (site.failed.id in listed) is found


def test_a_list_is_paged_and_no_run_is_lost_between_pages(site: Site) -> None:
    runs = [site.fleet.client.submit(Plan(id="paged", steps=(python_step("only"),))).id for _ in range(120)]
    assert sorted(listed(site, "pipeline=paged")) == sorted(runs)
    assert len(site.open.get("/runs").payload["runs"]) == 50


def listed(site: Site, query: str) -> list[str]:
    """The runs on all pages of a list."""
    found: list[str] = []
    address = f"/runs?{query}"
    while address:
        page = site.open.get(address).payload
        found += [row["id"] for row in page["runs"]]
        address = page["older"]
    return found


def test_flower_s_metrics_tell_of_as_many_runs_as_the_pages(site: Site) -> None:
    text = site.open.get("/metrics").text
    told = re.findall(r'^orchestrator_runs\{state="\w+"\} (\d+)', text, re.M)
    assert sum(map(int, told)) == len(listed(site, "state=open")) > 0
    assert "flower_" in text
    assert "orchestrator_runs" not in site.remote.get("/metrics").text


def test_a_page_of_a_run_holds_its_steps_in_the_plan_s_order_with_what_became_of_them(site: Site) -> None:
    page = site.open.get(f"/run/{site.failed.id}").payload
    rows = {row["i"]: row for row in page["rows"]}
    assert list(rows) == ["first", "every", "every[0].item", "every[1].item", "every[2].item", "large", "bad", "never"]
    assert rows["every[2].item"]["p"] == "every.item"
    assert rows["bad"]["s"] == "failed"
    assert EVIL in rows["bad"]["e"]["message"]
    assert rows["never"]["s"] == "pending"
    assert {box["id"] for box in page["drawing"]["boxes"]} == {"first", "every", "every.item", "large", "bad", "never"}
    assert page["events"][-1][1] == "run_closed"
    assert page["after"] == page["events"][-1][0]


def test_a_page_of_a_run_holds_what_it_asks(site: Site) -> None:
    [asked] = site.open.get(f"/run/{site.waiting.id}").payload["questions"]
    assert (asked["i"], asked["kind"], asked["title"], asked["prompt"]) == ("release", "approval", "Release", EVIL)
    assert [option["value"] for option in asked["options"] if option["approves"]] == ["approve"]


def test_a_run_that_is_not_there_is_not_found(site: Site) -> None:
    reply = site.open.get("/run/nowhere_1", Accept="text/html")
    assert reply.status == 404
    assert "no run &#x27;nowhere_1&#x27;" in reply.text
    assert site.open.get("/run/nowhere_1/step?instance=a").status == 404


def test_a_step_shows_its_value_and_what_the_plan_gave_it(site: Site) -> None:
    step = site.open.get(f"/run/{site.failed.id}/step?instance={quote('every[1].item')}").json
    assert json.loads(step["value"]["text"])["result"] == "2"
    assert "{{ item }}" in step["parameters"]["text"]


def test_a_large_value_is_cut_and_can_be_had_whole(site: Site) -> None:
    step = site.open.get(f"/run/{site.failed.id}/step?instance=large").json
    assert step["value"]["cut"]
    assert len(step["value"]["text"]) == 20_000
    whole = site.open.get(f"/run/{site.failed.id}/value?instance=large")
    assert whole.headers["Content-Disposition"].startswith("attachment")
    assert len(whole.json["result"]) == 60_000


def test_inputs_are_shown_without_those_that_are_secret(site: Site) -> None:
    shown = site.open.get(f"/run/{site.failed.id}/inputs").json
    assert json.loads(shown["inputs"]["text"]) == {"topic": EVIL, "api_key": "•••"}


def test_no_text_of_a_user_becomes_part_of_a_page_and_no_credential_is_in_one(site: Site) -> None:
    run = f"/run/{site.failed.id}"
    paths = ["/runs", run, f"{run}/step?instance=first", f"{run}/value?instance=first", f"/run/{site.waiting.id}"]
    for path in paths:
        text = site.open.get(path).text
        assert EVIL not in text, path
        assert CREDENTIAL not in text, path
    assert "sk-a…" in site.open.get(f"{run}/value?instance=first").text


def test_flower_s_own_pages_have_the_tabs(site: Site) -> None:
    for path in ("/workers", "/tasks", "/broker"):
        text = site.open.get(path).text
        assert 'href="/runs"' in text
        assert 'href="/limits"' in text


def test_limits_are_a_page_too(site: Site) -> None:
    site.fleet.client.set_limits("openai/gpt-4o-mini", requests=60)
    [gate] = site.open.get("/limits").payload["gates"]
    assert gate["limits"]["requests"]["limit"] == 60
    with site.open.stream("/limits/stream") as messages:
        assert next(messages)[1]["gates"][0]["scope"] == gate["scope"]


# ---- news


def test_a_stream_goes_on_where_its_page_ended_and_where_it_was_cut(site: Site) -> None:
    run = site.run()
    page = site.open.get(f"/run/{run.id}").payload
    assert [row["s"] for row in page["rows"]] == ["ready"]
    with site.open.stream(f"/run/{run.id}/stream?after={page['after']}") as messages:
        assert next(messages)[1]["events"] == []
        site.work()
        told: list[str] = []
        while "step_succeeded" not in told:  # in one message, or in two if the step took a while
            seen, news = next(messages)
            told += [event[1] for event in news["events"]]
        assert told == ["step_started", "step_succeeded"]
        assert [(row["i"], row["s"]) for row in news["rows"]] == [("only", "succeeded")]
    site.close(run)
    with site.open.stream(f"/run/{run.id}/stream?after={page['after']}", **{"Last-Event-ID": seen}) as messages:
        last, news = next(messages)
        assert [event[1] for event in news["events"]] == ["run_closed"]
        assert news["run"]["state"] == "succeeded"
        assert last == news["events"][-1][0]


def test_two_who_watch_a_run_hear_the_same(site: Site) -> None:
    run = site.run()
    path = f"/run/{run.id}/stream?after={site.open.get(f'/run/{run.id}').payload['after']}"
    with site.open.stream(path) as one, site.open.stream(path) as other:
        next(one), next(other)
        site.close(run)
        heard = [[event[0] for event in until_closed(messages)] for messages in (one, other)]
    assert heard[0] == heard[1]
    assert len(set(heard[0])) == len(heard[0]) == 3


def until_closed(messages: Iterator[tuple[str, dict[str, list[list[str]]]]]) -> list[list[str]]:
    found: list[list[str]] = []
    for _, news in messages:
        found += news["events"]
        if any(event[1] == "run_closed" for event in found):
            break
    return found


def test_a_list_says_when_a_run_has_come(site: Site) -> None:
    with site.open.stream("/runs/stream?pipeline=idle&state=open") as messages:
        before = {row["id"] for row in next(messages)[1]["runs"]}
        run = site.run()
        assert {row["id"] for row in next(messages)[1]["runs"]} == {*before, run.id}


# ---- who may do what


def test_a_run_is_cancelled_by_who_is_on_this_machine_and_has_the_token(site: Site) -> None:
    run = site.run()
    reply = site.open.post(f"/run/{run.id}/cancel", {}, Origin=site.open.root)
    assert reply.json == {"said": "its end is asked for"}
    assert run.status().wish == "cancel"


def test_a_run_is_paused_and_goes_on(site: Site) -> None:
    run = site.run()
    assert site.locked.post(f"/run/{run.id}/pause", {}, **LOGIN).json == {"said": "paused"}
    head = site.locked.get(f"/run/{run.id}", **LOGIN).payload["run"]
    assert (head["state"], head["paused"]["by"]) == ("paused", "ana (Flower)")
    site.work()
    assert run.document().steps["only"].status != "completed"
    assert site.locked.post(f"/run/{run.id}/resume", {}, **LOGIN).json == {"said": "it goes on"}
    assert run.status().wish == "run"
    run.cancel()


def test_a_failed_run_is_tried_again_as_a_new_one_and_each_names_the_other(site: Site) -> None:
    reply = site.locked.post(f"/run/{site.failed.id}/retry", {}, **LOGIN).json
    site.engine.engine.scheduler.start(reply["run"])
    site.work()
    assert site.locked.post("/runs/retry", {"runs": [site.failed.id]}, **LOGIN).json["done"] == [site.failed.id]
    again = site.locked.get(f"/run/{reply['run']}", **LOGIN).payload
    assert again["run"]["forked_from"] == site.failed.id
    assert next(row for row in again["rows"] if row["i"] == "first")["kept"] == site.failed.id
    assert site.locked.get(f"/run/{site.failed.id}", **LOGIN).payload["run"]["forks"] == [reply["run"]]
    refused = site.locked.post(f"/run/{site.failed.id}/retry", {"steps": ["nothing"]}, **LOGIN)
    assert (refused.status, "nothing" in refused.json["error"]) == (400, True)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Host": "evil.example"}, "a name that somebody else owns"),
        ({"Host": "127.0.0.1.evil.example:80"}, "a name that begins like ours"),
        ({"Host": ""}, "no name"),
        ({"Origin": "https://evil.example"}, "another site's script"),
        ({"Origin": "null"}, "a page without an origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "another site's form"),
        ({"X-Forwarded-For": "203.0.113.7"}, "a proxy that speaks for somebody else"),
        ({"X-Real-Ip": "127.0.0.1"}, "whoever says to be local"),
        ({"X-Xsrftoken": "2|aaaaaaaa|aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|1"}, "a token of somebody else"),
    ],
)
def test_nobody_else_changes_anything(site: Site, headers: dict[str, str], why: str) -> None:
    run = site.run()
    for path, body in ((f"/run/{run.id}/cancel", {}), ("/runs/cancel", {"runs": [run.id]})):
        assert site.open.post(path, body, **headers).status == 403, why
    assert run.status().wish == "run"


def test_nothing_is_changed_without_the_token(site: Site) -> None:
    run = site.run()
    assert site.open.post(f"/run/{run.id}/cancel", {}, token=False).status == 403
    assert site.locked.post(f"/run/{run.id}/cancel", {}, token=False, **LOGIN).status == 403
    assert site.open.get(f"/run/{run.id}/cancel").status == 405
    assert run.status().wish == "run"


def test_without_a_login_nobody_from_elsewhere_changes_anything(site: Site) -> None:
    run = site.run()
    reply = site.remote.post(f"/run/{run.id}/cancel", {})
    assert (reply.status, "login" in reply.json["error"]) == (403, True)
    assert not site.remote.get(f"/run/{run.id}").payload["may"]
    assert run.status().wish == "run"


@pytest.mark.parametrize("path", ["/runs", "/limits", "/runs/stream", "/run/x", "/run/x/stream", "/run/x/step"])
def test_without_a_login_pages_are_for_the_server_s_own_names(site: Site, path: str) -> None:
    assert site.open.get(path, Host="evil.example").status == 403


@pytest.mark.parametrize("host", ["localhost:5555", "127.0.0.1", "[::1]:5555", "ops.EXAMPLE"])
def test_its_own_names_are_those_of_loopback_and_the_configured_ones(site: Site, host: str) -> None:
    assert site.open.get("/runs", Host=host).status == 200


def test_no_other_site_reads_a_page_even_if_flower_s_api_is_open_to_all(site: Site) -> None:
    assert site.open.get("/workers").headers["Access-Control-Allow-Origin"] == "*"
    headers = site.open.get("/runs").headers
    assert "Access-Control-Allow-Origin" not in headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert (headers["X-Frame-Options"], headers["Cache-Control"]) == ("DENY", "no-store")


@pytest.mark.parametrize("path", ["/runs", "/limits", "/run/x", "/run/x/stream", "/run/x/value?instance=a"])
def test_with_a_login_every_page_asks_for_it(site: Site, path: str) -> None:
    reply = site.locked.get(path)
    assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, 'Basic realm="flower"')


def test_with_a_login_the_audit_log_says_who_did_it(site: Site) -> None:
    run = site.run()
    reply = site.locked.post("/runs/cancel", {"runs": [run.id, "nowhere_1"]}, **LOGIN)
    assert reply.json["done"] == [run.id]
    assert "no run 'nowhere_1'" in reply.json["refused"]["nowhere_1"]
    [entry] = site.fleet.client.audit(run.id, act="cancel")
    assert entry.who == "ana (Flower)"


def test_everything_is_below_the_prefix(site: Site) -> None:
    page = site.locked.get(f"/run/{site.failed.id}", **LOGIN)
    assert page.payload["run"]["id"] == site.failed.id
    links = [part.partition('"')[0] for key in ('href="', 'src="') for part in page.text.split(key)[1:]]
    own = [link for link in links if not link.startswith(("#", "https://flower.readthedocs", "https://github.com"))]
    assert own
    assert [link for link in own if not link.startswith("/ops/")] == []
    script = next(link for link in own if link.endswith("run.js"))
    assert "import" in site.locked.get(script.removeprefix("/ops"), **LOGIN).text


def test_an_answer_of_the_wrong_kind_is_refused_and_the_right_one_counts_once(site: Site) -> None:
    path = f"/run/{site.waiting.id}/answer"
    refused = site.locked.post(path, {"step": "release", "value": {"action": "perhaps"}}, **LOGIN)
    assert (refused.status, "perhaps" in refused.json["error"]) == (400, True)
    given = {"step": "release", "value": {"action": "approve", "comment": EVIL}}
    assert site.locked.post(path, given, **LOGIN).json == {"said": "release is answered"}
    again = site.locked.post(path, given, **LOGIN)
    assert (again.status, "by ana" in again.json["error"]) == (409, True)


def test_what_is_no_json_object_is_refused(site: Site) -> None:
    headers = {**site.open.token(), "Content-Type": "application/json"}
    for body in ("[]", "{", "1", "[" * 100_000):
        assert site.open.ask("POST", f"/run/{site.failed.id}/cancel", headers, body).status == 400


def test_a_redis_that_is_away_is_told_of_in_a_sentence_and_missed_by_nobody_once_it_is_back(tmp_path: Path) -> None:
    with StandingFleet(tmp_path, append_only=True) as fleet:
        flower = FlowerServer(fleet)
        wait_until(flower.answers, "Flower answers", 60)
        run = fleet.client.submit(Plan(id="idle", steps=(python_step("only"),)))
        page = f"/run/{run.id}"
        with flower.stream(f"{page}/stream") as messages:
            assert [event[1] for event in next(messages)[1]["events"]] == ["run_submitted"]
            fleet.server.kill()
            trouble = next(message for _, message in messages if isinstance(message, str))
            assert "cannot use Redis" in trouble
            reply = flower.get(page, Accept="text/html")
            assert (reply.status, "cannot use Redis" in reply.text, "Traceback" in reply.text) == (503, True, False)
            fleet.server.start()
        with flower.stream(f"{page}/stream") as messages:
            next(messages)
            run.cancel()
            assert [event[1] for event in next(messages)[1]["events"]] == ["cancel_requested"]
