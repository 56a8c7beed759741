"""The shapes that the engine races on: a DAG as step -> needs, and a duration in seconds for each step."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Shape:
    needs: Mapping[str, list[str]]
    seconds: Mapping[str, float]

    @cached_property
    def critical_path_seconds(self) -> float:
        """The least time that any scheduler could take with workers without end. `needs` is in topological order."""
        end: dict[str, float] = {}
        for step, needs in self.needs.items():
            end[step] = self.seconds[step] + max((end[need] for need in needs), default=0.0)
        return max(end.values())

    @cached_property
    def levels(self) -> list[list[str]]:
        """Steps by the longest way to them: how a canvas, which knows only barriers, must run them."""
        depth: dict[str, int] = {}
        for step, needs in self.needs.items():
            depth[step] = 1 + max((depth[need] for need in needs), default=-1)
        return [[step for step in self.needs if depth[step] == level] for level in range(max(depth.values()) + 1)]


def instant(needs: dict[str, list[str]]) -> Shape:
    return Shape(needs, dict.fromkeys(needs, 0.0))


def chain(length: int) -> Shape:
    return instant({f"s{i}": [f"s{i - 1}"] if i else [] for i in range(length)})


def fan(width: int) -> Shape:
    middle = [f"x{i}" for i in range(width)]
    return instant({"start": [], **{step: ["start"] for step in middle}, "join": middle})


def layers(depth: int, width: int) -> Shape:
    rows = [[f"l{row}_{i}" for i in range(width)] for row in range(depth)]
    return instant({step: rows[row - 1] if row else [] for row in range(depth) for step in rows[row]})


def uneven(steps: int, seed: int = 7, scale: float = 0.05) -> Shape:
    """Not series-parallel, with long-tailed durations, as model calls have them."""
    rng = random.Random(seed)
    needs: dict[str, list[str]] = {}
    seconds: dict[str, float] = {}
    for i in range(steps):
        before = range(max(0, i - 12), i)
        chosen = rng.sample(list(before), min(len(before), rng.choice([0, 1, 1, 2, 3])))
        needs[f"u{i}"] = [f"u{k}" for k in sorted(chosen)]
        seconds[f"u{i}"] = min(1.0, rng.lognormvariate(0, 1) * scale)
    return Shape(needs, seconds)


SHAPES: Mapping[str, Callable[[], Shape]] = {
    "chain100": lambda: chain(100),
    "fan200": lambda: fan(200),
    "layers20x10": lambda: layers(20, 10),
    "uneven60": lambda: uneven(60),
}
