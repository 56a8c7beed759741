"""A provider's gate as a client sees it: which limit is in force and who says so, what may be used now, who comes next.

The rules are those of `gates.lua` and `waiting.lua`, which decide; here they are only read. Limits are per minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from heapq import heapify, heappop, heapreplace
from typing import Any

from orchestrator_client.contract.limits import Dimension
from orchestrator_client.contract.plan import Record

PACED = 0.01
"""Share of a limit that may go out at once where the provider does not say that more may."""

MARGIN = 0.99
"""Share of a limit that is kept by pacing."""

FIRST_WINDOW = 16
"""Calls at a time before anything is known of a provider."""

IN_FLIGHT = "in_flight"
"""The one limit that is not per minute: calls at a time."""

Line = Mapping[str, tuple[float, Mapping[str, tuple[float, int]]]]
"""Who waits at a gate: tenant -> how often it was served, and run -> how often it was, and its waiting calls."""


class Source(StrEnum):
    """Who says what a limit is."""

    SET = "set"
    """A person, with `orchestrator limits set`; wins over all others."""
    CONFIGURED = "configured"
    """`orchestrator.toml` of the workers."""
    TOLD = "told"
    """The provider, in its answers' headers."""
    LEARNED = "learned"
    """Nobody: found by what the provider let through and refused."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit in force."""

    amount: float
    source: Source


@dataclass(frozen=True, slots=True)
class Wait:
    """What keeps a call out; nothing does where `ms` is 0."""

    ms: int | None
    """None: not before another call has ended."""
    what: str = ""
    """`weather`, `in_flight`, or a dimension."""


class DimensionView(Record):
    """One limit of a scope."""

    limit: float
    source: Source
    available: float
    """What may be used at this moment; below zero after a call that was larger than what was there."""
    reserved: float = 0
    """By calls that have not ended."""


class GateView(Record):
    """What is known of one scope, `provider/credential/model`, at this moment."""

    scope: str
    limits: dict[str, DimensionView]
    """By dimension: requests, tokens, input_tokens, output_tokens a minute, and in_flight. What is not known is left
    out, and not kept."""
    in_flight: int = 0
    """Calls that were let through and have not ended."""
    waiting: int = 0
    closed_ms: int = 0
    """For how long nothing is let through; 0 if the gate is open."""
    closed_for: str = ""
    """Why, in words: the weather."""
    probing: bool = False
    """One call finds out whether the weather has passed."""
    circuit: bool = False
    """It was closed because calls failed in a row, not because the provider asked for it."""
    seconds: float = 0.0
    """What a call takes, smoothed."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate's three parts as they are stored: what happened, what files say, what a person says."""

    state: Mapping[str, Any]
    config: Mapping[str, Any]
    set: Mapping[str, Any]
    now_ms: int

    @property
    def is_known(self) -> bool:
        """Whether anything is stored of it; scopes are listed a little longer than their gates live."""
        return bool(self.state or self.config or self.set)

    def allowed(self, dimension: str) -> Limit | None:
        """What one dimension allows a minute; None where nothing is known."""
        limit = _limit(self.set, dimension, Source.SET)
        if limit is None:
            limit = _limit(self.config, dimension, Source.CONFIGURED)
            limit = _lower(limit, _limit(self._part("told"), dimension, Source.TOLD))
        if dimension == Dimension.REQUESTS:
            limit = _lower(limit, _limit(self.state, "rate", Source.LEARNED))
        return limit

    def most_at_a_time(self) -> Limit | None:
        """How many calls may be in flight; None where only the limits a minute count."""
        limit = _limit(self.set, IN_FLIGHT, Source.SET) or _limit(self.config, IN_FLIGHT, Source.CONFIGURED)
        if limit is None and self.allowed(Dimension.REQUESTS) is None:
            return Limit(float(self.state.get("window", FIRST_WINDOW)), Source.LEARNED)
        return limit

    def available(self, dimension: str) -> float:
        """What may be used of a dimension that has a limit, refilled up to now."""
        limit = self.allowed(dimension)
        if limit is None:
            raise KeyError(dimension)
        most = self._at_once(dimension, limit.amount)
        passed_ms = max(0.0, self.now_ms - float(self.state.get("at", self.now_ms)))
        # Calls that went out before the limit was known have used it all the same.
        used = self.state.get("ok", 0) if dimension == Dimension.REQUESTS else 0
        level = float(self._part("level").get(dimension, min(most, most - used)))
        return min(most, level + passed_ms * self._pace_per_ms(dimension))

    def held(self, dimension: str) -> float:
        """What calls in flight have reserved of a dimension; `calls`: how many there are."""
        return float(self._part("held").get(dimension, 0))

    def opens_in(self, costs: Mapping[str, float]) -> Wait:
        """What keeps a call of these costs out if it is its turn, and for how long at least."""
        closed_until = self.state.get("closed_until", 0)
        if self.now_ms < closed_until:
            return Wait(round(closed_until - self.now_ms), "weather")
        if closed_until > 0:
            return Wait(None, "weather") if self.state.get("probe") else Wait(0)
        most = self.most_at_a_time()
        if most is not None and self.held("calls") >= most.amount:
            return Wait(None, IN_FLIGHT)
        longest = Wait(0)
        for dimension in Dimension:
            limit = self.allowed(dimension)
            if limit is None:
                continue
            missing = min(costs.get(dimension, 0), self._at_once(dimension, limit.amount)) - self.available(dimension)
            ms = round(missing / self._pace_per_ms(dimension)) if missing > 1e-6 else 0
            longest = Wait(ms, dimension) if ms > (longest.ms or 0) else longest
        return longest

    def tightest(self, costs: Mapping[str, float]) -> tuple[str, float]:
        """The dimension by which calls of these costs pass the slowest, and ms from one to the next; `""` if none."""
        paces = {
            dimension.value: costs.get(dimension, 0) / self._pace_per_ms(dimension)
            for dimension in Dimension
            if self.allowed(dimension) is not None
        }
        most, seconds = self.most_at_a_time(), float(self.state.get("seconds", 0))
        if most is not None:
            paces |= {IN_FLIGHT: seconds * 1000 / most.amount}
        slowest = max(paces, key=paces.__getitem__, default="")
        return slowest, paces.get(slowest, 0.0)

    def view(self, scope: str, line: Line) -> GateView:
        """The same for people and programs."""
        limits = {
            dimension.value: DimensionView(
                limit=limit.amount,
                source=limit.source,
                available=self.available(dimension),
                reserved=self.held(dimension),
            )
            for dimension in Dimension
            if (limit := self.allowed(dimension)) is not None
        }
        most, calls = self.most_at_a_time(), self.held("calls")
        if most is not None:
            left = most.amount - calls
            limits[IN_FLIGHT] = DimensionView(limit=most.amount, source=most.source, available=left, reserved=calls)
        return GateView(
            scope=scope,
            limits=limits,
            in_flight=int(calls),
            waiting=sum(count for _, runs in line.values() for _, count in runs.values()),
            closed_ms=max(0, round(self.state.get("closed_until", 0) - self.now_ms)),
            closed_for=self.state.get("closed_for", ""),
            probing=bool(self.state.get("probe")),
            circuit=bool(self.state.get("circuit")),
            seconds=float(self.state.get("seconds", 0)),
        )

    def _part(self, name: str) -> Mapping[str, Any]:
        """One table of the state. Lua writes an empty one as either kind of JSON."""
        return self.state.get(name) or {}

    def _at_once(self, dimension: str, limit: float) -> float:
        return max(1.0, limit if self._part("bucket").get(dimension) else limit * PACED)

    def _pace_per_ms(self, dimension: str) -> float:
        limit = self.allowed(dimension)
        amount = limit.amount if limit else float("inf")
        return (amount if self._part("bucket").get(dimension) else amount * MARGIN) / 60_000


def ahead_of(line: Line, tenant: str, run: str, place: int) -> int:
    """How many of the calls that wait go before one, in fair order, if nobody new comes.

    `place` counts the calls of its own run that came before it. Who was served least is next: the tenant, of it the
    run; what is served the same goes by name.
    """
    if tenant not in line or run not in line[tenant][1]:
        return 0
    tenants = [(served, name) for name, (served, _) in line.items()]
    runs = {name: [(served, each) for each, (served, _) in of.items()] for name, (_, of) in line.items()}
    left = {(name, each): count for name, (_, of) in line.items() for each, (_, count) in of.items()}
    for heap in (tenants, *runs.values()):
        heapify(heap)
    ahead = 0
    while tenants:
        served, name = tenants[0]
        turns, each = runs[name][0]
        if (name, each) == (tenant, run) and place == 0:
            break
        place -= (name, each) == (tenant, run)
        ahead += 1
        left[name, each] -= 1
        if left[name, each] > 0:
            heapreplace(runs[name], (turns + 1, each))
        else:
            heappop(runs[name])
        if runs[name]:
            heapreplace(tenants, (served + 1, name))
        else:
            heappop(tenants)
    return ahead


def _limit(said: Mapping[str, Any], dimension: str, source: Source) -> Limit | None:
    amount = said.get(dimension)
    return None if amount is None else Limit(float(amount), source)


def _lower(one: Limit | None, other: Limit | None) -> Limit | None:
    """The lower of two limits; of equal ones the first."""
    if one is None or other is None:
        return one or other
    return other if other.amount < one.amount else one
