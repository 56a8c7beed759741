"""`python -m tests.simulation --schedules 1000000`: simulated schedules on every core, and what breaks an invariant."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

from tests.simulation.campaign import Case, Tally, run_case, run_seed, shrunk, simulated

BATCH = 50
"""Seeds that a process takes at a time."""


def work(batches: Iterator[range]) -> Iterator[Tally]:
    """What one process does."""
    with simulated() as world:
        for batch in batches:
            tally = Tally()
            for seed in batch:
                result, case = run_seed(world, seed)
                if result.violation:
                    case = shrunk(world, case)
                tally.add(result, case)
            yield tally


def _process(number: int, of: int, options: argparse.Namespace, results: multiprocessing.Queue[Tally | None]) -> None:
    until = time.monotonic() + options.seconds if options.seconds else None
    first, last = options.seed, options.seed + options.schedules

    def batches() -> Iterator[range]:
        for at in range(first + number * BATCH, last, of * BATCH):
            if until is not None and time.monotonic() > until:
                return
            yield range(at, min(at + BATCH, last))

    for tally in work(batches()):
        results.put(tally)
    results.put(None)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000_000, help="how many")
    parser.add_argument("--seconds", type=float, default=0, help="for how long at most (0: until they are through)")
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--case", default="", help="run this one alone, as a violation was printed")
    options = parser.parse_args()
    if options.case:
        return _one(Case.parse(options.case))
    results: multiprocessing.Queue[Tally | None] = multiprocessing.Queue()
    began = time.monotonic()
    processes = [
        multiprocessing.Process(target=_process, args=(number, options.processes, options, results))
        for number in range(options.processes)
    ]
    for process in processes:
        process.start()
    total, open_, told = Tally(), len(processes), itertools.count(1)
    next_word = began + 10
    while open_:
        tally = results.get()
        open_ -= tally is None
        total += tally or Tally()
        for violation, case in tally.violations if tally else ():
            print(f"VIOLATION {next(told)}: {violation}\n    {str(case)!r},  # for test_regressions.py", flush=True)
        if time.monotonic() > next_word:
            next_word += 10
            _tell(total, began)
    _tell(total, began)
    return 1 if total.violations else 0


def _one(case: Case) -> int:
    with simulated() as world:
        result = run_case(world, case)
    print(result.violation or f"no violation; the run {result.state}")
    return 1 if result.violation else 0


def _tell(total: Tally, began: float) -> None:
    seconds = time.monotonic() - began
    faults = ", ".join(f"{count} {name}" for name, count in total.faults.most_common())
    states = ", ".join(f"{count} {name}" for name, count in total.states.most_common())
    print(
        f"{total.schedules} schedules, {total.operations} operations in {seconds:.0f} s"
        f" ({total.schedules / seconds:.1f} a second): {states}; faults: {faults or 'none'};"
        f" {len(total.violations)} violations",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
