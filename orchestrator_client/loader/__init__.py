"""Turns what users write into plans.

    source -> auto -> nodes -> inclusion -> document -> declarations, steps (loops, jumps, recovery, policy) -> edges

`source` gives text, `auto` keeps questions to a model out of the parser's sight, `nodes` places every value in it,
`inclusion` pastes the files in that it asks for, `document` reads the whole and leaves inputs and outputs to
`declarations` and steps to `steps`, which reads the bodies of loops in the same way. `dialect` says what the keys mean.
Everything that is wrong is collected in `problems` and raised once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator_client.contract.errors import Problem
from orchestrator_client.contract.plan import Plan
from orchestrator_client.loader import document
from orchestrator_client.loader.problems import Problems
from orchestrator_client.loader.schema import schema
from orchestrator_client.loader.text import inclusion, source
from orchestrator_client.loader.text.nodes import compose

__all__ = ["Loaded", "load", "loads", "schema"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plan, and what a person should know of its file."""

    plan: Plan
    warnings: list[Problem]


def load(path: str | Path) -> Loaded:
    """Load a pipeline file.

    Raises:
        PlanInvalid: with every problem that was found, in the order of the file.
    """
    return loads(source.read(Path(path)), str(path))


def loads(text: str | bytes, file: str = "plan.yaml") -> Loaded:
    """Load a pipeline from its text; `file` is what messages call it, and gives an id to a plan without one.

    Raises:
        PlanInvalid: with every problem that was found, in the order of the file.
    """
    problems = Problems(file)
    root = compose(source.decode(text, problems), problems)
    inclusion.paste(root, problems)
    plan = document.read(root, problems)
    return Loaded(plan, problems.warnings)
