"""The free variables of a template: which steps and inputs it reads, and whether it can do without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jinja2 import nodes

from orchestrator_client.contract import sandbox

_ALWAYS_THERE = frozenset(sandbox.ENVIRONMENT.globals)


@dataclass(frozen=True, slots=True)
class Reference:
    """A free variable of a template."""

    name: str
    field: str | None
    """The first attribute or item that is read from it, where that is a constant: `a.result` gives `result`."""
    guarded: bool
    """Only read where it may be missing: before `default`, in `is defined`, in the test of an `if`, or in what such a
    test decides upon."""
    line: int
    """Within the template, from 1."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What is known where an expression stands."""

    bound: frozenset[str] = frozenset({"loop", "caller", "varargs", "kwargs", "self"}) - {"loop"}
    tolerated: frozenset[str] | None = frozenset()
    """Names that an enclosing test has asked for; None: every name may be missing here."""

    def binding(self, names: Iterable[str]) -> _Place:
        return _Place(self.bound | frozenset(names), self.tolerated)

    def tolerating(self, names: Iterable[str] | None) -> _Place:
        if names is None or self.tolerated is None:
            return _Place(self.bound, None)
        return _Place(self.bound, self.tolerated | frozenset(names))
