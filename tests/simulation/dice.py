"""Every decision of a schedule, from one stream: drawn from a seed, or read from the digits of an earlier schedule.

A roll of 0 is always the calm choice: the oldest message, the first actor, no fault, the plainest plan. So digits that
are cut off or set to 0 make a schedule plainer, which is all that shrinking does.
"""

from __future__ import annotations

import random
import string

DIGITS = string.digits + string.ascii_letters
MOST_SIDES = len(DIGITS)

_VALUE = {digit: value for value, digit in enumerate(DIGITS)}


class Dice:
    """Rolls read `digits` first, then `seed`; behind both, every roll is 0."""

    def __init__(self, seed: int | str | None = None, digits: str = "") -> None:
        self._given, self._at = digits, 0
        self._random = _calm if seed is None else random.Random(seed).random
        self._rolled: list[int] = []

    def roll(self, sides: int) -> int:
        """A number from 0 to `sides` - 1; at most 62 sides."""
        if self._at < len(self._given):
            number = _VALUE[self._given[self._at]] % sides
            self._at += 1
        else:
            number = int(self._random() * sides)
        self._rolled.append(number)
        return number

    def pick(self, choices):
        """One of these; the first is the calm one."""
        return choices[self.roll(len(choices))]

    def chance(self, of: int) -> bool:
        """True once in so many rolls."""
        return self.roll(of) == of - 1

    @property
    def digits(self) -> str:
        """All rolls so far: a schedule that is given these goes the same way."""
        return "".join(map(DIGITS.__getitem__, self._rolled)).rstrip("0")


def _calm() -> float:
    return 0.0
