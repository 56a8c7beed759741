"""Why a run is where it is, from what workers leave in Redis; no worker is on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client import Client
from orchestrator_client.client import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.contract.run import Receipt
from orchestrator_client.story import story
from orchestrator_client.why import Why
from tests.conftest import RedisServer
from tests.unit.test_cli_runs import Fleet
from tests.unit.test_gates import NOW, SCOPE, state

PLAN = Plan(
    id="tell",
    steps=(
        Step(id="topic", kind=StepKind.TOOL, uses="terminal.execute"),
        Step(id="draft", kind=StepKind.MODEL, uses="generate", after=("topic",)),
        Step(id="keep", kind=StepKind.TOOL, uses="filesystem.write", after=("topic", "draft")),
    ),
)
CALL = {
    "scope": SCOPE,
    "queue": "model.openai",
    "costs": {"requests": 1, "tokens": 900, "input_tokens": 600, "output_tokens": 300},
}


class Scene:
    """A run whose worker is the test."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis = redis.Redis.from_url(url)
        self.redis.set(names.CLOCK, NOW)
        self.client = Client(url)
        self.run: Run = self.client.submit(PLAN)
        self.keys = names.RunKeys(self.run.id)

    def put(self, key: str, **fields: Any) -> None:
        self.redis.hset(key, mapping=fields)
        self.redis.expire(key, 600)

    def start(self) -> None:
        self.put(self.keys.record, state="running", started_ms=NOW - 5_000)

    def receipt(self, step: str, **fields: Any) -> None:
        receipt = {"outcome": "succeeded", "attempt": 1, "started_ms": NOW - 2_000, **fields}
        self.put(self.keys.receipts, **{step: f"{NOW} {json.dumps(receipt)}"})

    def open(self, step: str, state_word: str, queue: str = "tool", attempt: int = 1) -> None:
        self.put(self.keys.instances, **{step: f"{state_word}|{attempt}|{NOW - 1_000}|0|0|{queue}|"})

    def event(self, kind: str, step: str, **data: Any) -> None:
        fields = {"kind": kind, "at": NOW, "instance": step, "attempt": 1, "data": json.dumps(data)}
        self.redis.xadd(self.keys.events, fields)  # type: ignore[arg-type]

    def wait(self, why: str, words: str, budgets: list[dict[str, Any]] | None = None, **call: Any) -> None:
        """The draft's call waits."""
        self.start(), self.receipt("topic"), self.open("draft", "waiting", "model.openai")
        entry = {"state": "waiting", "why": why, "words": words, "pick": 1, "tenant": "acme", "budgets": budgets or []}
        self.put(self.keys.calls, draft=json.dumps({**entry, "candidates": [{**CALL, **call}]}))

    def gate(self, stored: dict[str, Any], **config: int) -> None:
        self.put(names.gate(SCOPE), state=json.dumps(stored), config=json.dumps(config))

    def line(self, *runs: str) -> None:
        """Calls of these runs wait at the gate, and of each of them the oldest first."""
        key = names.waiting(SCOPE)
        for place, run in enumerate(runs):
            self.redis.zadd(key, {"acme": 0})
            self.redis.zadd(f"{key}|acme", {run: 0})
            self.redis.zadd(f"{key}|acme|{run}", {"draft" if run == self.run.id else f"s{place}": place})
            for each in (key, f"{key}|acme", f"{key}|acme|{run}"):
                self.redis.expire(each, 600)

    def why(self, step: str = "draft") -> Why:
        [found] = self.run.why(step)
        return found


@pytest.fixture
def scene(redis_server: RedisServer) -> Iterator[Scene]:
    scene = Scene(redis_server.url)
    yield scene
    scene.client.close()
    scene.redis.close()


def test_a_run_that_nobody_has_started(scene: Scene) -> None:
    [why] = scene.run.why()
    assert (why.instance, why.state) == ("", "submitted")
    assert "no worker has started it yet, 1 message waits in the queue control" in why.because
    assert "orchestrator worker" in why.help


def test_a_step_that_is_ready_names_its_queue(scene: Scene) -> None:
    scene.start(), scene.open("topic", "ready")
    scene.redis.lpush("tool", "a", "b")
    why = scene.why("topic")
    assert (why.state, why.queue) == ("ready", "tool")
    assert "2 messages wait there" in why.because
    assert why.help == "start a worker: orchestrator worker --queues tool"


def test_a_step_that_runs_names_its_worker(scene: Scene) -> None:
    scene.start(), scene.open("topic", "running"), scene.event("step_started", "topic", worker="tools@a")
    assert scene.why("topic").worker == "tools@a"
    scene.open("topic", "late")
    assert "taken for lost" in scene.why("topic").because


def test_a_step_that_backs_off_says_until_when_and_after_what(scene: Scene) -> None:
    scene.start(), scene.open("topic", "parked", attempt=2)
    scene.event("step_parked", "topic", reason="attempt 1 failed", error={"type": "ToolFailed", "message": "exit 3"})
    scene.redis.zadd(names.TIMETABLE, {f"{scene.run.id}|topic": NOW + 7_000})
    why = scene.why("topic")
    assert why.until_ms == NOW + 7_000
    assert "attempt 1 failed: ToolFailed: exit 3" in why.because


def test_a_step_that_asked_for_others_names_them(scene: Scene) -> None:
    scene.start(), scene.receipt("topic"), scene.open("draft", "parked")
    scene.open("draft.1.search", "ready"), scene.open("drafty", "ready")
    why = scene.why()
    assert why.waits_for == ("draft.1.search",)
    assert why.until_ms is None


def test_a_step_that_is_not_reached_names_what_is_before_it(scene: Scene) -> None:
    scene.start(), scene.receipt("topic"), scene.open("draft", "running")
    assert scene.why("keep").waits_for == ("draft",)
    assert [why.instance for why in scene.run.why()] == ["draft", "keep"]


def test_a_call_that_waits_for_a_limit_says_which_and_how_long(scene: Scene) -> None:
    scene.wait("limit", "")
    scene.gate(state(level={"tokens": -90.0}), tokens=6_000, requests=6_000)
    scene.line("other_run", scene.run.id)
    why = scene.why()
    assert (why.scope, why.limit, why.ahead) == (SCOPE, "tokens", 1 if scene.run.id > "other_run" else 0)
    assert "tokens (6,000 a minute, configured)" in why.because
    assert "lower max_tokens" in why.help
    assert f"limits set {SCOPE} tokens=N" in why.help
    # 150 tokens are missing at 5,940 a minute; the call ahead takes 900.
    missing_ms, apart_ms = 150 / 5_940 * 60_000, 900 / 5_940 * 60_000
    assert why.until_ms == pytest.approx(NOW + missing_ms + (why.ahead or 0) * apart_ms, abs=3)


def test_a_call_that_waits_for_the_weather_says_what_the_provider_said(scene: Scene) -> None:
    scene.wait("limit", "busy")
    scene.gate(state(closed_until=NOW + 4_000, closed_for="try again in 4 s"))
    why = scene.why()
    assert (why.limit, why.until_ms) == ("weather", NOW + 4_000)
    assert "try again in 4 s" in why.because


def test_a_call_that_waits_for_others_to_end(scene: Scene) -> None:
    scene.wait("limit", "")
    scene.gate(state(held={"calls": 2}, seconds=3.0), in_flight=2)
    why = scene.why()
    assert why.limit == "in_flight"
    assert "one of 2 calls in flight" in why.because


def test_a_call_that_waits_for_money_says_what_there_is_and_how_to_give_more(scene: Scene) -> None:
    identity = f"run:{scene.run.id}"
    words = f"{identity}: the call may cost 0.2 USD"
    scene.wait("budget", words, [{"id": identity, "cap": 500_000_000, "on": "pause"}])
    scene.put(names.budget(identity), spent=400_000_000, reserved=50_000_000)
    why = scene.why()
    assert words in why.because
    assert "$0.5000, of which $0.4000 are spent and $0.0500 reserved" in why.because
    assert why.help == f"orchestrator budget {scene.run.id} 1"
    assert why.budget is not None
    assert why.budget.left_usd == Decimal("0.05")


def test_a_tenants_budget_is_raised_by_its_name(scene: Scene) -> None:
    identity = "tenant:acme:2027-01"
    scene.wait("budget", f"{identity}: x", [{"id": identity, "cap": 10**9, "on": "pause"}])
    assert scene.why().help == "orchestrator budget tenant:acme 2"


def test_a_call_whose_request_is_made_elsewhere(scene: Scene) -> None:
    scene.wait("cache", "the same request is under way in other_1|draft", digest="d")
    assert scene.why().waits_for == ("other_1 draft",)


def test_a_call_between_two_waits(scene: Scene) -> None:
    scene.wait("limit", ""), scene.redis.delete(scene.keys.calls)
    assert "looked at again" in scene.why().because


def test_an_ended_run_tells_what_became_of_its_steps(scene: Scene) -> None:
    (
        scene.start(),
        scene.receipt("topic"),
        scene.receipt("draft", outcome="failed", error={"type": "E", "message": "no"}),
    )
    error = json.dumps({"type": "RunFailed", "message": "step draft failed"})
    scene.put(scene.keys.record, state="failed", ended_ms=NOW, halt="draft", error=error)
    told = {why.instance: why.because for why in scene.run.why()}
    assert told == {
        "": "failed after 5.0 s: step draft failed",
        "topic": "succeeded in 2.0 s",
        "draft": "failed on attempt 1 after 2.0 s: E: no",
    }
    assert scene.why("keep").because == "was not reached: draft failed"


def test_a_step_that_is_none_is_refused(scene: Scene) -> None:
    with pytest.raises(InputsInvalid, match="no step 'nope'"):
        scene.run.why("nope")


def test_a_receipt_in_one_sentence() -> None:
    usage = {"requests": 2, "input_tokens": 9, "output_tokens": 9, "cost_usd": "0.0123"}
    receipt = Receipt.model_validate(
        {
            "outcome": "succeeded",
            "attempt": 3,
            "excused": 1,
            "started_ms": 1_000,
            "ended_ms": 3_500,
            "model": "gpt-5",
            "selection": "the cheapest of 3",
            "worker": "models@a",
            "usage": usage,
            "warnings": ["odd"],
        }
    )
    assert story(receipt) == (
        "answered by gpt-5 (the cheapest of 3) in 2.5 s on attempt 3, 1 of those before through no fault of its own"
        " on models@a for $0.0123 with a warning: odd"
    )
    assert story(receipt.model_copy(update={"cached": True})).startswith("answered from the cache (of gpt-5) ")


def test_the_command_says_it_in_lines_and_in_json(scene: Scene, tmp_path: Path) -> None:
    scene.start(), scene.open("topic", "ready"), scene.redis.lpush("tool", "a")
    fleet = Fleet(scene.url, tmp_path)
    code, out, _ = fleet.run("why", scene.run.id)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["topic", "(ready)"],
        ["what", "helps:"],
        ["draft", "(pending)"],
        ["keep", "(pending)"],
    ]
    code, out, _ = fleet.run("why", scene.run.id, "topic", "--json")
    assert [(why["instance"], why["queue"]) for why in json.loads(out)] == [("topic", "tool")]
    assert fleet.run("why", "nope")[0] == 2
