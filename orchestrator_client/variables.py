"""Variables of a run: every name that its templates may read, what it stands for, and who sees it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_client.contract.plan import Json, LoopKind, Plan, Record, Step

TEMPORARY = "~"
"""The scope, as the store writes it, of what is set for a time."""

_INDEX = re.compile(r"\[\d+\]|#\d+")
_ASKED = re.compile(r"(.+)#\d+\.\d+")


_OF_ITEMS = (LoopKind.MAP, LoopKind.SENDS)
"""Loops whose scopes are written `[2]`; passes are `#2`."""


class VariableScope(StrEnum):
    """By which steps a variable is seen."""

    RUN = "run"
    """By all."""
    STEP = "step"
    """By one instance: what was set for it alone, and the answers of models and tools that it asked."""
    ITEM = "item"
    """By the steps within one item of a map."""
    PASS = "pass"  # noqa: S105 - of a loop
    """By the steps within one pass of a loop."""
    TEMPORARY = "temporary"
    """By all, for a time; it hides every other of its name."""


class VariableType(StrEnum):
    """What a variable is to its run."""

    INPUT = "input"
    """Given by the caller, or the default of one that is declared."""
    OUTPUT = "output"
    """Rendered as the run closed."""
    INTERMEDIATE = "intermediate"
    """Left by a step, bound by a loop, a channel of a graph, or set while the run went on."""
    CONFIGURATION = "configuration"
    """A section of the file: `config`, `variables`, `data`, `env`."""
    SYSTEM = "system"
    """The run's own: its id, its time."""


class Version(Record):
    """One value that a variable has had."""

    version: int
    """Counts from 1; 0 is the value with which the run was submitted."""
    value: Json = None
    by: str = ""
    """Who set it: a person, a program, or the step that left it."""
    why: str = ""
    at_ms: int | None = None
    """When; ms since 1970."""
    until_ms: int | None = None
    """When it ceases to hold, of a temporary one."""


class Variable(Version):
    """A variable as it is now."""

    name: str
    within: str = ""
    """The instance, item or pass by whose steps it is seen; empty for the whole run."""
    scope: VariableScope = VariableScope.RUN
    type: VariableType = VariableType.INTERMEDIATE
    masked: bool = False
    """A credential in the value, or all of it, is not shown."""
    writers: tuple[str, ...] = ()
    """Steps of the plan that write it; whoever set it is `by`."""
    readers: tuple[str, ...] = ()
    """Steps of the plan whose templates name it, and `outputs.<name>` for outputs that do."""

    @property
    def address(self) -> str:
        """By which it can be asked for: `tone`, `each[2].item`."""
        own = not self.within or self.name.startswith(f"{self.within}#")
        return self.name if own else f"{self.within}.{self.name}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One name that is to be set."""

    name: str
    value: Json
    within: str = ""
    seconds: float | None = None
    """For how long it holds; None: for good."""

    @property
    def field(self) -> str:
        """As the store names it, see `see.lua`."""
        return f"{TEMPORARY if self.seconds else self.within}/{self.name}"


def around(within: str) -> list[str]:
    """The scopes that a place sees, innermost first and that of the run last: `a[0].b[1]`, `a[0]`, and empty."""
    inner = [within[: dot.start()] for dot in re.finditer(r"\.", within)]
    return [*([within] if within else []), *reversed(inner), ""]


def path_of(place: str) -> str:
    """The step of the plan that an instance, item or pass belongs to: `each.draft` of `each[2].draft`."""
    return _INDEX.sub("", place)


def scope_of(within: str) -> VariableScope:
    """Which scope a place is: an item, a pass, one step, or, empty, the run."""
    if within == TEMPORARY:
        return VariableScope.TEMPORARY
    if not within:
        return VariableScope.RUN
    return {"[": VariableScope.ITEM, "#": VariableScope.PASS}.get(step_kind(within), VariableScope.STEP)


def place_of_value(instance: str) -> tuple[str, str]:
    """Within what, and under which name, the value of an instance is seen."""
    if asked := _ASKED.fullmatch(instance):
        return asked[1], instance
    within, _, name = instance.rpartition(".")
    return within, name


def is_place(within: str, plan: Plan) -> bool:
    """Whether the plan can have such an instance, item or pass."""
    for place in [within, *around(within)[1:-1]]:
        step, kind = plan.step_at(place), step_kind(place)
        if step is None or (kind and (step.loop is None or (step.loop.kind in _OF_ITEMS) != (kind == "["))):
            return False
    return True


def step_kind(place: str) -> str:
    """`[` of an item, `#` of a pass, and nothing of a step."""
    found = re.search(r"([\[#])\d+\]?$", place)
    return found[1] if found else ""


def ids_of(plan: Plan) -> frozenset[str]:
    """The ids of all its steps, those in bodies included."""
    return frozenset(step.id for _, step, _ in walk(plan.steps))


def walk(
    steps: Sequence[Step], prefix: str = "", outer: Mapping[str, str] | None = None
) -> Iterator[tuple[str, Step, Mapping[str, str]]]:
    """Every step by its path, with the paths that names mean to it: its own body's first, then those around."""
    known = {**(outer or {}), **{step.id: f"{prefix}{step.id}" for step in steps}}
    for step in steps:
        path = f"{prefix}{step.id}"
        yield path, step, known
        if step.loop is not None:
            yield from walk(step.loop.steps, f"{path}.", known)
