"""What was found in one plan file, and how it is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator_client.cli.show.text import plural, printable
from orchestrator_client.contract.errors import PlanInvalid, Problem


@dataclass(frozen=True, slots=True)
class Verdict:
    """Errors and warnings of one file, and of which plan, if there are no errors."""

    file: str
    pipeline: str | None = None
    """The plan's id; None for a file that is refused."""
    steps: int | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether the file has a plan."""
        return self.pipeline is not None

    def as_dict(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {
            "file": self.file,
            "valid": self.runs,
            "pipeline": self.pipeline,
            "steps": self.steps,
            "problems": [problem.as_dict() | {"file": self.file} for problem in self.problems],
        }

    def lines(self) -> Iterator[str]:
        """Every problem, then the verdict."""
        yield from (printable(problem.render(self.file)) for problem in self.problems)
        count = len(self.problems)
        if not self.runs:
            yield f"{printable(self.file)}: invalid, {plural(count, 'error')}"
        else:
            warnings = f", {plural(count, 'warning')}" if count else ""
            yield f"{printable(self.file)}: valid, {plural(self.steps or 0, 'step')}{warnings}"

    def line(self) -> str:
        """The verdict in one line, with the first of the errors."""
        count = len(self.problems)
        if self.runs:
            warnings = f" with {plural(count, 'warning')}" if count else ""
            return f"{printable(self.file)}: runs{warnings}"
        first = self.problems[0]
        place = f":{first.line}:{first.column}" if first.line else ""
        remedy = f"; {first.remedy}" if first.remedy else ""
        more = f" (and {plural(count - 1, 'more error')})" if count > 1 else ""
        return printable(f"{self.file}{place}: refused, {first.message}{remedy}{more}")


def judge(file: Path) -> Verdict:
    """Load one file, in a process with limits, and keep what was found."""
    from orchestrator_client.loader.apart import load_apart

    try:
        loaded = load_apart(file)
    except PlanInvalid as error:
        return Verdict(str(file), problems=error.problems)
    return Verdict(str(file), loaded.plan.id, len(loaded.plan.steps), loaded.warnings)
