"""The shape of the corpus, and what many of its cases are made of."""

from __future__ import annotations

from dataclasses import dataclass

RUNS = "runs"
"""In place of a code: nothing is wrong with it."""


@dataclass(frozen=True)
class Case:
    """A plan file, and what is said of it: the code, where (line, column; zeros: the file as a whole), some words."""

    text: str | bytes
    code: str = RUNS
    at: tuple[int, int] = (0, 0)
    words: str = ""
    warning: bool = False


@dataclass(frozen=True)
class Row:
    """One kind of bad input."""

    id: str
    what: str
    cases: tuple[Case, ...] = ()
    shown_by: tuple[str, ...] = ()
    """Tests, as `folder/file.py::name`, below `tests`."""
    because: str = ""


TERMINAL = "tool: terminal, parameters: {command: date}"
GOOD = f"steps:\n- {{id: fetch, {TERMINAL}}}\n"
"""A plan of one step, on its second line."""


def step(keys: str) -> str:
    """The plan, with a second step on its third line."""
    return f"{GOOD}- {{id: a, {keys}}}\n"


def command(template: str) -> str:
    """The plan, with a template that stands on its third line, in the 48th column."""
    return step(f"tool: terminal, parameters: {{command: '{template}'}}")


AT_COMMAND = (3, 49)
