"""Drives the scripts of the rate-limit queue by hand, on a clock that stands until it is told to move."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.run import Outcome, Receipt, Submission
from orchestrator_worker.pace import Expectation
from orchestrator_worker.records import Claim, Leave, Parking, Promoted, Ready, Refusal, Report, Settlement
from orchestrator_worker.settings import Settings
from orchestrator_worker.store import Store, connect
from tests.conftest import RedisServer, assert_keys_have_ttl
from tests.fleet import plan_of_shape

SCOPE = "openai/default/large"
OTHER_SCOPE = "openai/default/small"
QUEUE = names.model_queue("openai")

NOON_MS = 1_800_014_400_000
"""When every test begins: far from midnight, at which a day of the ledger ends."""

DIMENSIONS = ("requests", "tokens", "input_tokens", "output_tokens")

OK = Report("ok", input_tokens=100, output_tokens=50, cost_nano_usd=0, seconds=1.0)
NOT_SENT = Report("unsent", sent=False)

PLAN = plan_of_shape({"a": []})
"""The scripts never look into it."""


def candidate(scope: str = SCOPE, limits: Mapping[str, float] | None = None, **fields: Any) -> dict[str, Json]:
    """One model that a call may go to; `usd` is (input, output) in billionths of a dollar a token."""
    usd = fields.pop("usd", None)
    asked: dict[str, Json] = {
        "scope": scope,
        "queue": QUEUE,
        "model": scope.replace("default/", ""),
        "input": 100,
        "most": 200,
        "longest": 500,
        "config": json.dumps(limits or {}),
    }
    priced: dict[str, Json] = {} if usd is None else {"usd": {"input": usd[0], "output": usd[1]}}
    return asked | priced | fields


def asking(*candidates: dict[str, Json], **fields: Json) -> str:
    """A call as `admission.lua` takes it; of one model without limits if none is named."""
    call: dict[str, Json] = {"candidates": list(candidates) or [candidate()], "budgets": [], "tenant": "", "tags": []}
    return json.dumps(call | {"history": names.history("p", "s")} | fields)


def refusal(wait_seconds: float | None = None, kind: str = "rate_limit") -> Report:
    """What the provider turned away."""
    return Report(kind, wait_seconds=wait_seconds, cost_nano_usd=0, words="slow down")


@dataclass
class Gates:
    """The store's scripts, and what they leave behind."""

    store: Store
    redis: Any
    now_ms: int = NOON_MS
    calls: dict[tuple[str, str], str] = field(default_factory=dict)
    """What each instance asks for, so that it can ask again."""

    def begin(self) -> None:
        """An empty store, at noon."""
        self.redis.flushall()
        self.calls.clear()
        self.set_clock(NOON_MS)

    def set_clock(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.redis.set(names.CLOCK, now_ms)

    def advance(self, seconds: float) -> None:
        self.set_clock(self.now_ms + round(seconds * 1000))

    # --- verbs -------------------------------------------------------------------------------------------------

    def open(self, run: str, instances: Iterable[str], tenant: str = "") -> None:
        """Start a run all of whose instances are ready."""
        self.store.submit(Submission(run=run, plan=PLAN, tenant=tenant))
        self.store.start_run(
            run,
            [(instance, QUEUE) for instance in instances],
            f"orc:size:{run}",
            Expectation(1000.0, None, {"": 1000.0}),
        )

    def ask(self, run: str, instance: str, call: str | None = None, attempt: int = 1) -> str:
        """Admit one call: its queue, `wait` or `stale`."""
        call = self.calls.setdefault((run, instance), call or asking())
        return self.store.admit(run, [(Ready(instance, attempt), call)])[0]

    def ask_all(self, run: str, calls: int, call: str | None = None, tenant: str = "") -> list[str]:
        """Start a run of so many calls, `c000`, `c001`, …, and ask for each; those that were let through."""
        instances = [f"c{number:03}" for number in range(calls)]
        self.open(run, instances, tenant)
        return [instance for instance in instances if self.ask(run, instance, call) == QUEUE]

    def start(self, run: str, instance: str, attempt: int = 1, token: str = "t") -> Claim | Refusal:
        return self.store.claim(run, instance, attempt, token, "worker", [])

    def end(
        self,
        run: str,
        instance: str,
        report: Report | None = OK,
        attempt: int = 1,
        outcome: Outcome = Outcome.SUCCEEDED,
    ) -> Settlement:
        """Record an outcome; without a report, nobody knows what became of the call."""
        receipt = Receipt(outcome=outcome, attempt=attempt)
        settled, _ = self.store.settle(run, instance, receipt, None, [], f"orc:size:{run}", False, False, report)
        return settled

    def make(self, run: str, instance: str, report: Report | None = OK, attempt: int = 1) -> Claim | Refusal:
        """Start a call that was let through, and end it."""
        claim = self.start(run, instance, attempt)
        if isinstance(claim, Claim):
            self.end(run, instance, report, attempt)
        return claim

    def leave(
        self, run: str, instance: str, report: Report | None, attempt: int = 1, wait_seconds: float = 0.0
    ) -> tuple[Parking, int]:
        """End an attempt that comes back."""
        left = Leave("limit", wait_seconds=wait_seconds, excused=1, report=report)
        return self.store.park(run, instance, attempt, left, f"orc:size:{run}")

    def promote(self) -> list[Promoted]:
        """What may go now, until nothing more may."""
        promoted: list[Promoted] = []
        while True:
            due_seconds, more = self.store.promote()
            promoted += more
            if not more and due_seconds != 0:
                return promoted

    def cancel(self, run: str) -> None:
        """What `cancel` of a client comes to: from here on nothing of the run starts."""
        self.redis.hset(names.RunKeys(run).record, "wish", "cancel")

    # --- what is left behind -----------------------------------------------------------------------------------

    def state(self, scope: str = SCOPE) -> dict[str, Any]:
        """The gate's state; empty before the first call."""
        state: dict[str, Any] = json.loads(self.redis.hget(names.gate(scope), "state") or b"{}")
        return state

    def held(self, scope: str = SCOPE) -> dict[str, float]:
        """What is reserved at a gate, without what is not."""
        return {what: amount for what, amount in self.state(scope).get("held", {}).items() if amount}

    def call(self, run: str, instance: str) -> dict[str, Any]:
        """What is kept of a call; empty once it has ended."""
        call: dict[str, Any] = json.loads(self.redis.hget(names.RunKeys(run).calls, instance) or b"{}")
        return call

    def instance_state(self, run: str, instance: str) -> str:
        stored = self.redis.hget(names.RunKeys(run).instances, instance)
        return stored.decode().partition("|")[0] if stored else ""

    def money(self, budget: str, what: str) -> int:
        """`spent` or `reserved` of a budget, in billionths of a dollar."""
        return int(self.redis.hget(names.budget(budget), what) or 0)

    def in_line(self, scope: str = SCOPE) -> int:
        """Calls that wait at a gate."""
        return sum(self.redis.zcard(key) for key in self.redis.scan_iter(names.waiting(scope) + "|*|*", count=1000))

    def snapshot(self) -> dict[bytes, Any]:
        """All keys and what they hold, but their lives."""
        read = {
            b"hash": self.redis.hgetall,
            b"zset": lambda key: self.redis.zrange(key, 0, -1, withscores=True),
            b"set": self.redis.smembers,
            b"list": lambda key: self.redis.lrange(key, 0, -1),
            b"string": self.redis.get,
            b"stream": lambda key: self.redis.xlen(key),
        }
        return {key: read[self.redis.type(key)](key) for key in sorted(self.redis.scan_iter(count=1000))}

    def check_lives(self) -> None:
        """No key is without a TTL at this moment."""
        assert_keys_have_ttl(self.redis)


@contextmanager
def gates_on(server: RedisServer) -> Iterator[Gates]:
    """Gates of an empty store; it is left empty."""
    client = redis.Redis.from_url(server.url)
    store = Store(connect(Settings(redis_url=server.url)), Settings(redis_url=server.url))
    gates = Gates(store, client)
    gates.begin()
    try:
        yield gates
        gates.check_lives()
    finally:
        client.flushall()
        client.close()
        store.close()
