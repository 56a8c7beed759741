"""What is wrong with a file: collected while it is read, so that one pass shows all of it."""

from __future__ import annotations

import difflib
import time
from collections.abc import Collection
from typing import NamedTuple

from orchestrator_client.contract import caps, catalog
from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.text import secret

MOST = 1000
"""Errors, and as many warnings, that are kept of one file. A person is shown the first twenty."""

COMPARISONS = 200_000
"""Words that one file may be compared with in search of what a misspelt one meant; about two seconds of difflib."""

RENDER_SECONDS = 1.0
"""Time of the processor after which no more constant templates of one file are rendered to see whether they can be."""

NEARLY = 0.8
"""Likeness (difflib's ratio) from which an unknown name is taken for a misspelt step, and so for an error."""

MESSAGE_CHARACTERS = 1000
"""Length at which a message is cut."""

_RECENT = 4
"""Problems among which a new one is looked for, so that it is not added twice."""

QUOTED_CHARACTERS = 80
"""Length at which quoted text of the file is cut."""


class Place(NamedTuple):
    """Line and column in the file, both from 1; zeros where there is no place."""

    line: int = 0
    column: int = 0


NOWHERE = Place()


class Problems:
    """Errors and warnings of one file. `within` gives a view that names the step which each belongs to."""

    def __init__(self, file: str, step: str = "", shared: Problems | None = None) -> None:
        self.file = file
        self._step = secret.masked(step)
        self._errors: list[Problem] = shared._errors if shared else []
        self._warnings: list[Problem] = shared._warnings if shared else []
        self._effort: _Effort = shared._effort if shared else _Effort()

    def within(self, step: str) -> Problems:
        """The same collection, for the problems of one step."""
        return Problems(self.file, step, self)

    def copy(self) -> Problems:
        """A collection of its own that starts with what is in this one."""
        copied = Problems(self.file, self._step)
        copied._errors += self._errors
        copied._warnings += self._warnings
        return copied

    def error(self, code: Code, message: str, at: Place = NOWHERE, remedy: str = "") -> None:
        """Add a problem that keeps the plan from running."""
        self._add(self._errors, code, message, at, remedy, warning=False)

    def warn(self, code: Code, message: str, at: Place = NOWHERE, remedy: str = "") -> None:
        """Add a problem that a person should know of."""
        self._add(self._warnings, code, message, at, remedy, warning=True)

    def did_you_mean(self, word: str, known: Collection[str]) -> str:
        """A remedy for a misspelt word, or nothing where no known word comes near."""
        return catalog.suggestion(word, known) if self._effort.may_compare(word, known) else ""

    def nearest(self, word: str, known: Collection[str]) -> str | None:
        """The known word that `word` almost certainly means."""
        if not self._effort.may_compare(word, known):
            return None
        return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=NEARLY)), None)

    def may_check_template(self, at: Place) -> bool:
        """Whether one more template may be checked; the first one too many is an error."""
        left = self._effort.one_template_less()
        if left == -1:
            self.error(Code.TOO_LARGE, f"more than {caps.PLAN_TEMPLATES:,} templates", at)
        return left >= 0

    def may_render(self) -> bool:
        """Whether a template that reads nothing may be rendered, to see whether it can be."""
        return self._effort.may_render()

    @property
    def full(self) -> bool:
        """Whether further errors would not be kept."""
        return len(self._errors) >= MOST

    @property
    def errors(self) -> list[Problem]:
        """Errors as they were found."""
        return list(self._errors)

    @property
    def warnings(self) -> list[Problem]:
        """Warnings in the order of the file."""
        return sorted(self._warnings, key=lambda problem: (problem.line, problem.column))

    def raise_if_any(self) -> None:
        """Refuse the file if anything in it is an error.

        Raises:
            PlanInvalid: with every error, in the order of the file.
        """
        if self._errors:
            raise PlanInvalid(sorted(self._errors, key=lambda problem: (problem.line, problem.column)), self.file)

    def _add(self, to: list[Problem], code: Code, message: str, at: Place, remedy: str, warning: bool) -> None:
        message, remedy = _fit_to_show(message), _fit_to_show(remedy)
        problem = Problem(code.value, message, at.line, at.column, remedy, self._step, warning)
        # The same mistake may be met twice: once for each name in `{{ fetch-data.result }}`.
        if len(to) < MOST and problem not in to[-_RECENT:]:
            to.append(problem)


class _Effort:
    """Keeps the work that one file can cause within bounds, whatever it says."""

    def __init__(self) -> None:
        self._comparisons = COMPARISONS
        self._templates = caps.PLAN_TEMPLATES
        self._rendering_until: float | None = None

    def may_compare(self, word: str, known: Collection[str]) -> bool:
        self._comparisons -= len(known)
        return self._comparisons >= 0 and len(word) <= QUOTED_CHARACTERS

    def one_template_less(self) -> int:
        """How many more templates may be checked; negative for one too many."""
        self._templates -= 1
        return self._templates

    def may_render(self) -> bool:
        now = time.thread_time()
        self._rendering_until = self._rendering_until or now + RENDER_SECONDS
        return now < self._rendering_until


def quoted(text: str) -> str:
    """Text of the file in quotes: cut, and with what cannot be seen written as an escape."""
    # Masked before it is cut, because half a secret is not recognised any more.
    whole = secret.masked(text[: 20 * QUOTED_CHARACTERS])
    cut = whole if len(whole) <= QUOTED_CHARACTERS else whole[: QUOTED_CHARACTERS - 1] + "…"
    return f"'{_visible(cut)}'"


def _fit_to_show(text: str) -> str:
    """A message as it may be shown, whatever of the file got into it."""
    return _visible(secret.masked(text[:MESSAGE_CHARACTERS]))


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
