"""How providers count a limit a minute: what they let through at a moment, and what a perfect client could have had.

Times are seconds since 1970, amounts are requests or tokens.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

MINUTE = 60.0


class Regime(StrEnum):
    """How a limit is counted."""

    NONE = "none"
    """It is not."""
    BUCKET = "bucket"
    """A token bucket, full at first, that is refilled steadily."""
    WINDOW = "window"
    """A log of the last 60 s."""
    PACED = "paced"
    """A bucket that holds a second's worth: whoever sends a minute's worth at once is refused."""


class Meter(Protocol):
    """One limit of one account."""

    limit: int
    """A minute."""

    def wait_seconds(self, now: float, amount: float) -> float:
        """Until so much may be used; 0 if it may now."""
        ...

    def take(self, now: float, amount: float) -> None:
        """Use it, allowed or not."""
        ...

    def remaining(self, now: float) -> float:
        """What may be used now."""
        ...

    def reset_seconds(self, now: float) -> float:
        """Until all of it may be used again."""
        ...


class Bucket:
    """Holds `capacity` at most, refilled by a sixtieth of the limit each second."""

    def __init__(self, limit: int, capacity: float, now: float) -> None:
        self.limit, self._capacity = limit, capacity
        self._rate = limit / MINUTE
        self._level, self._at = capacity, now

    def wait_seconds(self, now: float, amount: float) -> float:
        missing = min(amount, self._capacity) - self._refilled(now)
        return max(0.0, missing / self._rate) if missing > 1e-9 else 0.0

    def take(self, now: float, amount: float) -> None:
        self._level = self._refilled(now) - amount

    def remaining(self, now: float) -> float:
        return max(0.0, self._refilled(now))

    def reset_seconds(self, now: float) -> float:
        return (self._capacity - self._refilled(now)) / self._rate

    def _refilled(self, now: float) -> float:
        self._level = min(self._capacity, self._level + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        return self._level


class Window:
    """No 60 s hold more than the limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._log: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def wait_seconds(self, now: float, amount: float) -> float:
        missing = min(amount, self.limit) - self.remaining(now)
        for at, used in self._log:
            if missing <= 0:
                break
            missing -= used
            if missing <= 0:
                return at + MINUTE - now
        return 0.0

    def take(self, now: float, amount: float) -> None:
        self._log.append((now, amount))
        self._used += amount

    def remaining(self, now: float) -> float:
        while self._log and self._log[0][0] <= now - MINUTE:
            self._used -= self._log.popleft()[1]
        return max(0.0, self.limit - self._used)

    def reset_seconds(self, now: float) -> float:
        self.remaining(now)
        return self._log[-1][0] + MINUTE - now if self._log else 0.0


def meter(regime: Regime, limit: int, now: float, capacity: float | None = None) -> Meter:
    """A fresh meter; `capacity` is a bucket's, a minute's worth where none is given."""
    match regime:
        case Regime.BUCKET:
            return Bucket(limit, capacity or limit, now)
        case Regime.PACED:
            return Bucket(limit, max(1.0, limit / MINUTE), now)
        case Regime.WINDOW:
            return Window(limit)
        case Regime.NONE:
            raise ValueError("the regime 'none' counts nothing; ask for no meter")


def allowance(
    regime: Regime, limit: int, until: float, answered: Iterable[float], since: float, capacity: float | None = None
) -> int:
    """Requests that a greedy client with demand without end, who never meets a refusal, gets from `since` to `until`,
    both included, after those at the times `answered` before `since` were let through."""
    # Counted from `since`: seconds since 1970 leave a float too few digits for the moment at which a wait is over.
    before = sorted(at - since for at in answered if at < since)
    one = meter(regime, limit, before[0] if before else 0.0, capacity)
    for at in before:
        one.take(at, 1)
    count, now = 0, 0.0
    while now <= until - since + 1e-6:
        if (wait := one.wait_seconds(now, 1)) > 0:
            now += wait + 1e-9
            continue
        one.take(now, 1)
        count += 1
    return count


def busiest_minute(times: Iterable[float]) -> int:
    """The most that any 60 s held."""
    ordered = sorted(times)
    return max((number - bisect.bisect_right(ordered, at - MINUTE) + 1 for number, at in enumerate(ordered)), default=0)
