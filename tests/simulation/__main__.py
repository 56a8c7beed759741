"""`python -m tests.simulation --schedules 1000000`: simulated schedules on every core, and what breaks an invariant.

With `--sums FILE` in parts: each goes on behind the one before, as far as `--schedules` of all parts or `--seconds`.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.simulation.campaign import Case, Tally, run_case, run_seed, shrunk, simulated
from tests.simulation.sums import Sums

BATCH = 50
"""Seeds that a process takes at a time."""

WORD_SECONDS = 30.0
"""How often it is told how far they are."""


def work(batches: Iterator[range]) -> Iterator[tuple[range, Tally]]:
    """What one process does."""
    with simulated() as world:
        for batch in batches:
            tally = Tally()
            for seed in batch:
                result, case = run_seed(world, seed)
                if result.violation:
                    case = shrunk(world, case)
                tally.add(result, case)
            yield batch, tally


def _process(next_seed: Any, last: int, seconds: float, results: multiprocessing.Queue[tuple[range, Tally]]) -> None:
    """Take batch after batch, from one counter for all processes."""
    until = time.monotonic() + seconds if seconds else None

    def batches() -> Iterator[range]:
        while until is None or time.monotonic() < until:
            with next_seed.get_lock():
                first, next_seed.value = next_seed.value, min(next_seed.value + BATCH, last)
            if first >= last:
                return
            yield range(first, min(first + BATCH, last))

    for result in work(batches()):
        results.put(result)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000_000, help="how many, those of earlier parts included")
    parser.add_argument("--seconds", type=float, default=0, help="for how long at most (0: until they are through)")
    parser.add_argument("--seed", "--from-seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument(
        "--sums", type=Path, help="the file with the sums of earlier parts, behind which this one goes on"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--case", default="", help="run this one alone, as a violation was printed")
    options = parser.parse_args()
    if options.case:
        return _one(Case.parse(options.case))
    sums = Sums.kept(options.sums, options.seed)
    last = sums.next_seed + max(0, options.schedules - sums.total.schedules)
    results: multiprocessing.Queue[tuple[range, Tally]] = multiprocessing.Queue()
    next_seed = multiprocessing.Value("q", sums.next_seed)
    processes = [
        multiprocessing.Process(target=_process, args=(next_seed, last, options.seconds, results))
        for _ in range(options.processes)
    ]
    for process in processes:
        process.start()
    _collect(sums, options.sums, processes, results)
    broken = [process.exitcode for process in processes if process.exitcode]
    return 1 if sums.total.violations or sums.early or broken else 0


def _collect(
    sums: Sums,
    file: Path | None,
    processes: list[multiprocessing.Process],
    results: multiprocessing.Queue[tuple[range, Tally]],
) -> None:
    """Add up what the processes find, and tell of it."""
    began, before, told = time.monotonic(), sums.total.schedules, itertools.count(1)
    next_word = began + WORD_SECONDS
    while True:
        goes_on = any(process.is_alive() for process in processes)
        try:
            batch, tally = results.get(timeout=1)
        except queue.Empty:
            if not goes_on:
                break
        else:
            for violation, case in tally.violations:
                print(f"VIOLATION {next(told)}: {violation}\n    {str(case)!r},  # for test_regressions.py", flush=True)
            sums.add(batch, tally)
        if time.monotonic() > next_word:
            next_word += WORD_SECONDS
            sums.keep(file)
            _tell(sums, before, began)
    sums.keep(file)
    _tell(sums, before, began)


def _one(case: Case) -> int:
    with simulated() as world:
        result = run_case(world, case)
    print(result.violation or f"no violation; the run {result.state}")
    return 1 if result.violation else 0


def _tell(sums: Sums, before: int, began: float) -> None:
    total, seconds = sums.total, time.monotonic() - began
    faults = ", ".join(f"{count} {name}" for name, count in total.faults.most_common())
    states = ", ".join(f"{count} {name}" for name, count in total.states.most_common())
    print(
        f"{total.schedules} schedules, {total.operations} operations in {seconds:.0f} s"
        f" ({(total.schedules - before) / seconds:.1f} a second): {states}; faults: {faults or 'none'};"
        f" {len(total.violations)} violations; next seed {sums.next_seed}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
