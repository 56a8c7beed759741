"""A provider, its callers and the pump, on a clock that jumps from one event to the next.

Times are seconds since the simulation's begin.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.limits import Dimension, RateLimit
from orchestrator_worker.process.pump import LONGEST_SECONDS
from orchestrator_worker.records import Claim, Report
from tests.fundamentals.gates import NOON_MS, OK, QUEUE, Gates, asking
from tests.rate_regimes import Meter


@dataclass
class Provider:
    """Counts what it lets through, and says what it says."""

    meters: dict[Dimension, Meter] = field(default_factory=dict)
    headers: bool = True
    """Its answers tell of its limits."""
    retry_after: bool = True
    """Its refusals say for how long."""
    most_in_flight: int = 10**9
    """More calls at a time are refused."""
    input_tokens: int = 100
    output_tokens: int = 50
    seconds: float = 1.0
    """A call takes; a refusal takes none."""
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    in_flight: int = 0

    def meet(self, now: float) -> Report:
        """What becomes of a call that arrives now."""
        used = {
            Dimension.REQUESTS: 1,
            Dimension.TOKENS: self.input_tokens + self.output_tokens,
            Dimension.INPUT_TOKENS: self.input_tokens,
            Dimension.OUTPUT_TOKENS: self.output_tokens,
        }
        wait = max((meter.wait_seconds(now, used[of]) for of, meter in self.meters.items()), default=0.0)
        if self.in_flight >= self.most_in_flight:
            wait = max(wait, 1.0)
        if wait > 0:
            self.refused.append(now)
            told = wait if self.retry_after else None
            return Report("rate_limit", wait_seconds=told, cost_nano_usd=0, limits=self._limits(now))
        for of, meter in self.meters.items():
            meter.take(now, used[of])
        self.answered.append(now)
        self.in_flight += 1
        return Report(
            "ok",
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_nano_usd=0,
            seconds=self.seconds,
            limits=self._limits(now),
        )

    def _limits(self, now: float) -> tuple[RateLimit, ...]:
        if not self.headers:
            return ()
        return tuple(
            RateLimit(of, meter.limit, int(meter.remaining(now) + 1e-9), meter.reset_seconds(now))
            for of, meter in self.meters.items()
        )


@dataclass
class Simulation:
    """Calls arrive, are let through, meet the provider and end; whoever is refused asks again."""

    gates: Gates
    provider: Provider
    latency: Callable[[], float] = lambda: 0.0
    """From a call's admission to its arrival at the provider."""
    now: float = 0.0
    admitted: list[tuple[float, str, str]] = field(default_factory=list)
    ended: int = 0
    most_held: int = 0

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._pump_at = 0.0
        self._pubsub: Any = self.gates.redis.pubsub()
        self._pubsub.subscribe(names.WAKE)
        self._heard()

    def arrive(self, run: str, times: Iterable[float], call: str | None = None, tenant: str = "") -> None:
        """A run, one call of which becomes ready at each of these times."""
        at = list(times)
        instances = [f"c{number:05}" for number in range(len(at))]
        self.gates.open(run, instances, tenant)
        for moment, instance in zip(at, instances, strict=True):
            self._later(moment, partial(self._ask, run, instance, 1, call or asking()))

    def at(self, moment: float, what: Callable[[], None]) -> None:
        """Do something else in between."""
        self._later(moment, what)

    def go(self, until: float = 3600.0) -> None:
        """Let time pass until nothing is left to happen, or until `until`."""
        while self._events or self.gates.in_line():
            moment = min([self._pump_at, *(event[0] for event in self._events[:1])])
            if moment > until:
                break
            self.now = max(self.now, moment)
            self.gates.set_clock(NOON_MS + round(self.now * 1000))
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            if self._heard() or self._pump_at <= self.now:
                self._pump()
        self._pubsub.close()

    # --- inside ------------------------------------------------------------------------------------------------

    def _later(self, moment: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), what))

    def _ask(self, run: str, instance: str, attempt: int, call: str) -> None:
        if self.gates.ask(run, instance, call, attempt) == QUEUE:
            self._let_through(run, instance, attempt)

    def _let_through(self, run: str, instance: str, attempt: int) -> None:
        self.admitted.append((self.now, run, instance))
        self._later(self.now + self.latency(), lambda: self._call(run, instance, attempt))

    def _call(self, run: str, instance: str, attempt: int) -> None:
        if not isinstance(self.gates.start(run, instance, attempt), Claim):
            return
        self.most_held = max(self.most_held, self.provider.in_flight + 1)
        report = self.provider.meet(self.now)
        if report.kind == OK.kind:
            self._later(self.now + self.provider.seconds, lambda: self._end(run, instance, attempt, report))
        else:
            _, after = self.gates.leave(run, instance, report, attempt)
            self._ask(run, instance, after, self.gates.calls[run, instance])

    def _end(self, run: str, instance: str, attempt: int, report: Report) -> None:
        self.provider.in_flight -= 1
        self.gates.end(run, instance, report, attempt)
        self.ended += 1

    def _pump(self) -> None:
        """What `process.pump` does in each round."""
        due_seconds, promoted = self.gates.store.promote()
        for one in promoted:
            self._let_through(one.run, one.instance, one.attempt)
        self._pump_at = self.now + min(LONGEST_SECONDS, LONGEST_SECONDS if due_seconds is None else due_seconds)

    def _heard(self) -> bool:
        """Whether the pump was woken. What was published before the ping is read before its answer."""
        self._pubsub.ping()
        heard = False
        while (message := self._pubsub.get_message(timeout=5.0)) is None or message["type"] != "pong":
            heard = heard or (message is not None and message["type"] == "message")
        return heard


def rate_within(times: Iterable[float], begin: float, end: float) -> float:
    """Calls a minute that came in between."""
    return sum(begin <= at < end for at in times) * 60 / (end - begin)
