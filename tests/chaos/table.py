"""The table of all faults and what came of each, in docs/faults.md."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

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


def check(rows: Sequence[Row], workload: str = "", seed: int = 1) -> list[Checked]:
    """Do what shows these rows, and say in one line each what came of it."""
    tests = _outcomes([test for row in rows if row.strike is None for test in row.shown_by])
    return [_check(row, tests, workload, seed) for row in rows]


def _check(row: Row, tests: Mapping[str, list[bool]], workload: str, seed: int) -> Checked:
    if row.strike is not None:
        result = inject(row, workload, seed)
        print(result.line, flush=True)
        said = f"failed: {result.problem[:200]}" if result.problem else f"sound: {result.fired}; {result.found}"
        return Checked(row.id, said, bool(result.problem))
    passed = [outcome for test in row.shown_by for outcome in tests.get(test, [False])]
    words = "tests passed" if all(passed) else "tests passed, the others failed or were not found"
    checked = Checked(row.id, f"{sum(passed)} {words}" if passed else row.because, not all(passed))
    print(f"{row.id} {checked.result}", flush=True)
    return checked


def _outcomes(tests: Sequence[str]) -> dict[str, list[bool]]:
    """Test, as rows name it -> whether each of its cases passed. One that was not found is not in it."""
    if not tests:
        return {}
    files, names = sorted({test.partition("::")[0] for test in tests}), {test.partition("::")[2] for test in tests}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command = [sys.executable, "-m", "pytest", *options, *files, "-k", " or ".join(sorted(names))]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    found: dict[str, list[bool]] = {}
    for case in cases:
        module = "/".join(part for part in case.get("classname", "").split(".") if not part[:1].isupper())
        name = f"{module}.py::{case.get('name', '').partition('[')[0]}"
        found.setdefault(name, []).append(not case.findall("failure") and not case.findall("error"))
    return found


def write(results: Sequence[Checked]) -> None:
    """Write the table; rows that were not done this time keep what they had."""
    before = dict(re.findall(r"^\| (F\d+) \|.*\| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE)) if PAGE.exists() else {}
    known = {**before, **{result.id: result.result for result in results}}
    PAGE.write_text(HEAD + "".join(_line(row, known.get(row.id) or NOT_RUN) for row in ROWS))


def _line(row: Row, result: str) -> str:
    shown = ["injected"] if row.strike is not None else [f"`{test.removeprefix('tests/')}`" for test in row.shown_by]
    shown += [row.because] if row.because and (row.strike or row.shown_by) else []
    if row.strike is None and not row.shown_by:
        shown, result = ["–"], row.because
    cells = (row.id, row.what, "; ".join(shown), result)
    return f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |\n"
