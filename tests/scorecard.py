"""The scorecard: what faults and load cost, measured on this machine, next to what is published of others.

    python -m tests.scorecard                    all of it, in about half an hour, into docs/scorecard.md
    python -m tests.scorecard --only G9 --only G11

Each figure has the command that gives it, which can be given by itself. A figure that was not measured this time keeps
what the page has of it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/scorecard.md"
NOT_RUN = "not run"
LONGEST_SECONDS = 900.0
"""For one command."""

Read = Callable[[str], str]


@dataclass(frozen=True)
class Figure:
    """One row. What others reach is theirs, measured on two cores or documented; `–` where nobody says."""

    id: str
    what: str
    celery: str
    dbos: str
    temporal: str
    goal: str
    command: str
    """Behind `python -m`; empty where nothing shows it here."""
    read: Read


def told(*names: str) -> Read:
    """These fields of the JSON line that a campaign prints last."""

    def read(output: str) -> str:
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        if not lines:
            return f"no figures: {last_line(output)}"
        return ", ".join(f"{lines[-1].get(name)} {name.replace('_', ' ')}" for name in names)

    return read


def last_line(output: str) -> str:
    """The last line, without decoration."""
    lines = output.strip().splitlines()
    return lines[-1].strip("= ")[:200] if lines else "no output"


def in_words(output: str) -> str:
    """What a fault's own line says behind its name."""
    line = next((line for line in output.splitlines() if re.match(r"F\d+ ", line)), last_line(output))
    return line.partition(": ")[2][:200] or line[:200]


KILLS = "tests.chaos kills --count 60 --seed 1"
HEALS = "tests.chaos heals --seed 1"
SPEED = "tests.chaos speed"


def pytest(*files: str) -> str:
    """The command that runs these tests."""
    return f"pytest -q -p no:cacheprovider {' '.join(f'tests/{file}' for file in files)}"


FIGURES = (
    Figure(
        "G1",
        "steps lost by kills of workers under load",
        "about 560 in 1,000",
        "0 seen (1 kill)",
        "0",
        "0",
        KILLS,
        told("kills", "steps_lost"),
    ),
    Figure(
        "G2",
        "runs that hang after a kill at a named point",
        "each time",
        "0",
        "0",
        "0",
        KILLS,
        told("points_reached", "runs_hung"),
    ),
    Figure(
        "G2b", "the same in simulated schedules", "–", "–", "–", "0 in 10⁶", "tests.simulation --seconds 180", last_line
    ),
    Figure("G3", "joins that are early or double", "5.6: yes, 5.7: no", "0", "0", "0", KILLS, told("unsound")),
    Figure(
        "G4",
        "outcomes recorded wrongly because the store was away",
        "2 an event",
        "0",
        "0",
        "0",
        HEALS,
        told("faults", "wrong"),
    ),
    Figure(
        "G5",
        "a killed worker's step runs elsewhere",
        "3,600 s; 7 s tuned",
        "1.8 s after its restart",
        "its heartbeat's timeout",
        "p99 ≤ 15 s",
        KILLS,
        told("moved_p50_seconds", "moved_p99_seconds"),
    ),
    Figure(
        "G6",
        "a killed process's step is tried again",
        "0.2–3.4 s",
        "–",
        "–",
        "≤ 1 s",
        KILLS,
        told("retried_p50_seconds", "retried_p99_seconds"),
    ),
    Figure(
        "G7",
        "first step after the store is back",
        "3.1 s / dead / never / 94 s",
        "reconnects",
        "–",
        "≤ 5 s each",
        HEALS,
        told("resumed_most_seconds"),
    ),
    Figure(
        "G8",
        "steps done again for each kill",
        "all in flight",
        "4 of 872",
        "activities in flight",
        "≤ those in flight",
        KILLS,
        told("done_again", "kills"),
    ),
    Figure(
        "G9",
        "attempts at a step that kills its process; others' throughput",
        "without end",
        "capped",
        "capped",
        "≤ 3; ≥ 80 %",
        "tests.chaos poison",
        told("attempts_most", "throughput_share"),
    ),
    Figure(
        "G10",
        "workers ended by a message that nobody can read",
        "3 of 11 kinds",
        "–",
        "–",
        "0",
        "tests.chaos --fault F49",
        in_words,
    ),
    Figure(
        "G11",
        "starts after cancel; end of what runs",
        "runs after a restart",
        "–",
        "with a heartbeat",
        "0; p99 ≤ 2 s + grace",
        "tests.chaos cancel --count 10",
        told("cancelled", "problems", "stopped_p99_seconds"),
    ),
    Figure(
        "G12",
        "accepted runs lost by power loss",
        "0.72 s; all by Debian's defaults",
        "0",
        "0",
        "≤ 1 s",
        "tests.chaos --fault F25",
        in_words,
    ),
    Figure(
        "G13",
        "money spent over a budget",
        "no budgets",
        "no budgets",
        "no budgets",
        "0",
        pytest("fundamentals/test_gate_budgets.py"),
        last_line,
    ),
    Figure(
        "G14",
        "no-op steps a second, append-only file every second",
        "506",
        "47 queued, 270 in process",
        "–",
        "≥ 400",
        SPEED,
        told("steps_a_second"),
    ),
    Figure(
        "G15",
        "fan-out and join of 100 / 1,000",
        "0.31 / 3.8 s",
        "3.2 / 21.3 s",
        "–",
        "≤ 0.5 / ≤ 4 s",
        SPEED,
        told("fan_100_seconds", "fan_1000_seconds"),
    ),
    Figure(
        "G16",
        "overhead of a chained step",
        "7 ms",
        "3.7 ms in process",
        "–",
        "p50 ≤ 10, p99 ≤ 30 ms",
        SPEED,
        told("chained_p50_ms", "chained_p99_ms"),
    ),
    Figure(
        "G17",
        "cut-off streams taken for whole",
        "yes, three SDKs",
        "the same",
        "the same",
        "0",
        "tests.chaos --fault F61",
        in_words,
    ),
    Figure(
        "G18",
        "a call that hangs ends",
        "never, or 600 s",
        "the same",
        "activity timeout",
        "deadline + 1 s",
        pytest("conformance/test_connections.py"),
        last_line,
    ),
    Figure(
        "G19",
        "bad inputs that are refused in words",
        "–",
        "–",
        "–",
        "85 of 85",
        pytest("integration/test_bad_input.py", "unit/test_loader_bad_input.py", "unit/test_loader_bad_control.py"),
        last_line,
    ),
    Figure(
        "G20",
        "a secret found anywhere",
        "yes",
        "–",
        "optional codec",
        "0 bytes",
        f"{pytest('integration/test_confinement.py')} -k secret",
        last_line,
    ),
    Figure(
        "G21",
        "escapes of paths, addresses, processes",
        "–",
        "–",
        "–",
        "0",
        pytest("unit/test_addresses.py", "unit/test_tools_filesystem.py", "unit/test_cage.py"),
        last_line,
    ),
    Figure(
        "G22",
        "from a fault to a true sentence",
        "none",
        "–",
        "history page",
        "≤ 10 s",
        "tests.chaos --fault F24",
        in_words,
    ),
    Figure(
        "G23",
        "workers of two releases side by side",
        "not tested",
        "–",
        "5 min a change",
        "0 violations",
        pytest("upgrade/test_mixed_fleet.py"),
        last_line,
    ),
    Figure(
        "G24",
        "what many runs leave behind",
        "keys",
        "–",
        "–",
        "± 2 %",
        "tests.chaos leaks --runs 10000",
        told("runs", "processes", "descriptors", "rss", "keys_without_end"),
    ),
    Figure(
        "G25",
        "faults done on every change",
        "a smoke test",
        "restarts, hourly",
        "1 % of store calls",
        "15",
        pytest("chaos/test_chaos.py"),
        last_line,
    ),
)

HEAD = """\
# Scorecard

`make scorecard` measures this on the machine it is run on, in about half an hour, and writes this page; each figure has
the command that gives it alone. What others reach was measured on two cores (Celery 5.7.0, DBOS 3.4 on Postgres), or is
what their documentation says (Temporal).

"""
COLUMNS = "| figure | Celery | DBOS | Temporal | goal | here | command |\n|---|---|---|---|---|---|---|\n"


def main() -> int:
    """0, whatever the figures say: a person judges."""
    parser = argparse.ArgumentParser("python -m tests.scorecard")
    parser.add_argument("--only", action="append", default=[], choices=[figure.id for figure in FIGURES])
    parser.add_argument("--note", default="", help="of the machine, beside each figure: loaded")
    options = parser.parse_args()
    before, outputs, here = _known(), dict[str, str](), dict[str, str]()
    for figure in FIGURES:
        if figure.command and (not options.only or figure.id in options.only):
            if figure.command not in outputs:
                outputs[figure.command] = _run(figure.command)
            here[figure.id] = figure.read(outputs[figure.command]) + (f" ({options.note})" if options.note else "")
            print(f"{figure.id} {figure.what}: {here[figure.id]}; goal {figure.goal}", flush=True)
    cores, memory = os.cpu_count(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"Last written {datetime.now(UTC):%Y-%m-%d}, on {cores} cores with {memory:.0f} GiB.\n\n"
    rows = [_line(figure, here.get(figure.id) or before.get(figure.id) or NOT_RUN) for figure in FIGURES]
    PAGE.write_text(HEAD + machine + COLUMNS + "".join(rows))
    return 0


def _run(command: str) -> str:
    began = time.monotonic()
    print(f"  python -m {command}", flush=True)
    arguments = [sys.executable, "-m", *shlex.split(command)]
    try:
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        return f"did not end within {LONGEST_SECONDS:g} s"
    print(f"  {time.monotonic() - began:.0f} s, exit code {done.returncode}", flush=True)
    return done.stdout or done.stderr


def _known() -> dict[str, str]:
    """Figure -> what the page says of it."""
    if not PAGE.exists():
        return {}
    cells = [line.strip("|\n ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| G")]
    return {row[0].split()[0]: row[5] for row in cells}


def _line(figure: Figure, here: str) -> str:
    names = (f"{figure.id} {figure.what}", figure.celery, figure.dbos, figure.temporal, figure.goal, here)
    cells = (
        *(" ".join(cell.replace("|", "/").split()) for cell in names),
        f"`python -m {figure.command}`" if figure.command else "–",
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main())
