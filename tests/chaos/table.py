"""The table of all faults and what came of each, in docs/faults.md."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.catalogue import ROWS, Row
from tests.chaos.driver import inject

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/faults.md"

NOT_RUN = "not run"
HEAD = """\
# Faults, and what came of them

Every fault of the catalogue is done to a real fleet (a Redis of its own, two workers, a workload; the fault at a random
point of it, then its end), or shown by tests, or does not apply. `make chaos` does the fifteen of every change, and
`make chaos-all` all of them, which writes this table. One: `python -m tests.chaos --fault F24 --workload fan --seed 7`.

An oracle judges what is left: each run's history (`orchestrator verify`), a ledger that tools write before and after
their effect, the processes that are left, the lives of keys, and that nothing failed because Redis was away.

| fault | what happens | how it is shown | result |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Checked:
    """A row of the table."""

    id: str
    result: str
    failed: bool = False


def check(row: Row, workload: str = "", seed: int = 1) -> Checked:
    """Do what shows a row, and say what came of it in one line."""
    if row.strike is not None:
        result = inject(row, workload, seed)
        print(result.line, flush=True)
        said = f"failed: {result.problem[:200]}" if result.problem else f"sound: {result.fired}; {result.found}"
        checked = Checked(row.id, said, bool(result.problem))
    elif row.shown_by:
        checked = _tested(row)
        print(f"{row.id} {checked.result}", flush=True)
    else:
        checked = Checked(row.id, row.because)
        print(f"{row.id} {row.because}", flush=True)
    return checked


def write(results: Sequence[Checked]) -> None:
    """Write the table; rows that were not done this time keep what they had."""
    before = dict(re.findall(r"^\| (F\d+) \|.*\| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE)) if PAGE.exists() else {}
    known = {**before, **{result.id: result.result for result in results}}
    PAGE.write_text(HEAD + "".join(_line(row, known.get(row.id) or NOT_RUN) for row in ROWS))


def _tested(row: Row) -> Checked:
    began = time.monotonic()
    files = {test.partition("::")[0] for test in row.shown_by}
    named = " or ".join(name for test in row.shown_by if (name := test.partition("::")[2]))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *sorted(files), "-k", named]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
    seconds = time.monotonic() - began
    if done.returncode:
        return Checked(row.id, f"failed: {last}", failed=True)
    return Checked(row.id, f"passed: {last.split(' in ')[0].strip('= ')} in {seconds:.0f} s")


def _line(row: Row, result: str) -> str:
    shown = ["injected"] if row.strike is not None else [f"`{test.removeprefix('tests/')}`" for test in row.shown_by]
    shown += [row.because] if row.because and (row.strike or row.shown_by) else []
    if row.strike is None and not row.shown_by:
        shown, result = ["–"], row.because
    cells = (row.id, row.what, "; ".join(shown), result)
    return f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |\n"
