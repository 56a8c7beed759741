"""Judges the cases as the command line does, in a process as small as its own, and says what each took."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.corpus import graph, names, plan_file, surroundings, templates, values
from tests.corpus.row import Case, Row

ROWS: tuple[Row, ...] = tuple(
    itertools.chain(plan_file.ROWS, graph.ROWS, names.ROWS, templates.ROWS, values.ROWS, surroundings.ROWS)
)


@dataclass(frozen=True)
class Judged:
    """What came of one case."""

    row: str
    case: Case
    verdict: dict[str, Any]
    seconds: float
    """Of the processor."""
    megabytes: float
    """The most that any case so far had resident."""


def judge_all() -> Iterator[Judged]:
    """Every case of every row, judged in one small process after the other was read."""
    cases = [(row.id, case) for row in ROWS for case in row.cases]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, (_, case) in enumerate(cases):
            file = Path(folder) / f"{number}.yaml"
            file.write_bytes(case.text if isinstance(case.text, bytes) else case.text.encode())
            files.append(str(file))
        program = [sys.executable, "-c", "from tests.corpus.serving import serve; serve()"]
        ended = subprocess.run(program, input="\n".join(files), capture_output=True, text=True, check=True)
        for (row, case), line in zip(cases, ended.stdout.splitlines(), strict=True):
            yield Judged(row, case, **json.loads(line))
