"""The product without one of its safeguards: each must be caught, or the simulation looks away."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from orchestrator_worker import lifecycle, scheduler, tasks


@dataclass(frozen=True)
class Change:
    """A text that stands in the product, and what stands there instead."""

    of: str | tuple[Any, str]
    """A script's name, or a function by its owner and its name."""
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    name: str
    found_by: tuple[str, ...]
    """First words of the violations that tell of it."""
    changes: tuple[Change, ...]
    seed: int = 0
    """From which on schedules are run until it is found."""
    poisoned: bool = False
    """It takes a step that kills every process which performs it."""


FENCE = "if not held(open.state) or open.attempt ~= tonumber(attempt) then return { 'refused' } end"

AFFORDS = "if prompt + least * rate > free then"
PAYS = "if true then return 'fits', math.ceil(prompt + full * rate), full end\n  if false then"

MUTANTS = (
    Mutant(
        "a claim without a fence",
        ("S3", "S1"),
        (Change("claim", "if open.attempt ~= tonumber(attempt) or not (open.state == 'ready' or again)", "if false"),),
        seed=130,
    ),
    Mutant(
        "a settlement without a fence",
        ("S3", "S1"),
        (Change("settle", FENCE, ""),),
        seed=630,
    ),
    Mutant(
        "a park without a fence",
        ("S3",),
        (Change("park", "if not open or not held(open.state) or open.attempt ~= attempt", "if not open"),),
        seed=240,
    ),
    Mutant(
        "no sweep", ("L1", "L2"), (Change("sweep", "redis.call('EXPIRE', KEYS[1], ttl_s)\n", "do return reply end\n"),)
    ),
    Mutant(
        "no look at the wish to cancel",
        ("S4",),
        (Change("claim", "if wish == 'cancel' or halt ~= '' then\n  local reason", "if false then\n  local reason"),),
        seed=270,
    ),
    Mutant("no look at the budget", ("S5",), (Change("admit", AFFORDS, PAYS), Change("promote", AFFORDS, PAYS))),
    Mutant(
        "growth outside of the script",
        ("CHORD",),
        (
            Change("settle", "redis.call('INCRBY', KEYS[8], grown)", ""),
            Change(
                (scheduler.Scheduler, "_settle"),
                "    self._publish(attempt.run, attempt.graph, ready)\n",
                "    self._publish(attempt.run, attempt.graph, ready)\n"
                "    grown = sum(one.attempt == 1 for one in ready)\n"
                "    self._store._on.patiently(lambda: self._store._on.redis.incrby(growth, grown))\n",
            ),
        ),
    ),
    Mutant(
        "a part that is counted for a refused claim",
        ("CHORD",),
        (Change((tasks, "_step"), "if isinstance(verdict, Left):\n        raise Ignore", ""),),
    ),
    Mutant(
        "arrivals that are not waited for",
        ("S2",),
        (Change("settle", "if count == tonumber(ARGV[i + 1]) then", "if count == 1 then"),),
    ),
    Mutant(
        "a lease that nobody looks at",
        ("L1", "L2"),
        (Change("claim", "redis.call('ZADD', KEYS[6], now + ARGV[5], member)", "redis.call('ZREM', KEYS[6], member)"),),
    ),
    Mutant(
        "a lost call that keeps its place at the gate",
        ("S8", "L1", "L2"),
        (
            Change(
                "park",
                "gate.held.calls = math.max(0, gate.held.calls - 1)",
                "if not report then return end gate.held.calls = math.max(0, gate.held.calls - 1)",
            ),
            Change(
                "settle",
                "gate.held.calls = math.max(0, gate.held.calls - 1)",
                "if not report then return end gate.held.calls = math.max(0, gate.held.calls - 1)",
            ),
        ),
        seed=1350,
    ),
    Mutant(
        "lost attempts that are not counted",
        ("S6",),
        (
            Change(
                (lifecycle, "may_try_again"),
                "return error.retryable and tries < max(attempts, catalog.LOST_ATTEMPTS)",
                "return True",
            ),
        ),
        poisoned=True,
    ),
    Mutant(
        "a close that does not look at the wish again",
        ("S10", "JUDGE"),
        (Change("close_run", "if wish == 'cancel' and ends == 'succeeded'", "if false"),),
        seed=120,
    ),
    Mutant(
        "a pause that a claim does not look at",
        ("S4",),
        (Change("claim", "if wish == 'pause' and not again", "if false"),),
        seed=1160,
    ),
    Mutant(
        "a close that believes its chord",
        ("S7", "CHORD"),
        (
            Change("close_run", "if tonumber(open) > 0 then return { 'open' } end", ""),
            Change((scheduler.Scheduler, "close"), "or record.open > 0", ""),
            Change((tasks, "_step"), "if isinstance(verdict, Left):\n        raise Ignore", ""),
        ),
    ),
)


@contextlib.contextmanager
def applied(mutant: Mutant) -> Iterator[Callable[[str, str], str]]:
    """The product so changed; what it yields changes the texts of scripts."""
    with contextlib.ExitStack() as undone:
        for change in mutant.changes:
            if not isinstance(change.of, str):
                undone.enter_context(_function_changed(*change.of, change))
        yield lambda name, text: _script_changed(mutant, name, text)


def _script_changed(mutant: Mutant, name: str, text: str) -> str:
    for change in mutant.changes:
        if change.of == name:
            assert text.count(change.old) == 1, f"{mutant.name}: {change.old!r} does not stand once in {name}.lua"
            text = text.replace(change.old, change.new)
    return text


@contextlib.contextmanager
def _function_changed(owner: Any, name: str, change: Change) -> Iterator[None]:
    """A function, compiled anew from its text."""
    function = getattr(owner, name)
    text = textwrap.dedent(inspect.getsource(function))
    assert text.count(change.old) == 1, f"{change.old!r} does not stand once in {name}"
    names: dict[str, Any] = {}
    code = compile(f"from __future__ import annotations\n{text.replace(change.old, change.new)}", name, "exec")
    exec(code, function.__globals__, names)
    with mock.patch.object(owner, name, names[name]):
        yield
