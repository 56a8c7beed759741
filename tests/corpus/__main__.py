"""`python -m tests.corpus`: what each row takes; ends with 1 where one takes more than a second or 64 MB."""

from __future__ import annotations

import sys

from tests.corpus.judged import ROWS, judge_all

SECONDS, MEGABYTES = 1.0, 64.0


def main() -> int:
    """Print the table."""
    by_row = {row.id: [0, 0.0] for row in ROWS}
    peak = 0.0
    for judged in judge_all():
        by_row[judged.row][0] += 1
        by_row[judged.row][1] = max(by_row[judged.row][1], judged.seconds)
        peak = max(peak, judged.megabytes)
    for row in ROWS:
        cases, seconds = by_row[row.id]
        took = f"{cases} cases, at most {seconds:.2f} s" if cases else ""
        print(f"{row.id:4} {row.what:75} {took:26} {len(row.shown_by)} tests")
    slowest = max(seconds for _, seconds in by_row.values())
    print(f"{len(ROWS)} rows; the slowest case takes {slowest:.2f} s, the largest {peak:.0f} MB")
    return int(slowest > SECONDS or peak > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
