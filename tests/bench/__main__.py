"""`make bench`: the engine against hand-written Celery canvas on the same Redis, and its other promises.
`make bench-limits`: what it makes of a provider's limits, which takes about ten minutes.

usage: python -m tests.bench [engine|limits] [--rounds N] [--only NAME] [--json FILE]

All figures that are compared come from one run, taken in turn; a bar is a ratio of medians. Exits 0 whatever they say:
machines are noisy, and a person judges.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import control, footprint, limits, mcp_calls, model_calls, observability, overhead, race, tools
from tests.conftest import RedisServer


@dataclass(frozen=True)
class Row:
    """One promise: what was measured, and the bar it should not pass."""

    name: str
    value: float
    bar: float
    unit: str
    detail: str

    @property
    def met(self) -> bool:
        return self.value <= self.bar


SECTIONS: dict[str, Callable[[str, Path, int], Iterator[tuple[str, float, float, str, str]]]] = {
    "race": race.measure,
    "footprint": footprint.measure,
    "overhead": overhead.measure,
    "control": control.measure,
    "tools": tools.measure,
    "mcp": mcp_calls.measure,
    "observability": observability.measure,
}
LIMITS: dict[str, Callable[[str, Path, int], Iterator[tuple[str, float, float, str, str]]]] = {
    "known": limits.known,
    "learned": limits.learned,
    "killed": limits.killed,
    "weather": limits.weather,
    "budget": limits.budget,
    "latency": model_calls.latency,
    "deltas": model_calls.deltas,
    "slow": model_calls.slow_calls,
}
GROUPS = {"engine": SECTIONS, "limits": LIMITS}


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench")
    parser.add_argument("group", nargs="?", choices=list(GROUPS), default="engine")
    parser.add_argument("--rounds", type=int, default=7, help="of each shape; 1: shorter limits; default %(default)s")
    parser.add_argument("--only", choices=[name for sections in GROUPS.values() for name in sections])
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder)).start()
        os.environ["BENCH_REDIS_URL"] = server.url
        try:
            print(f"{'':44} {'measured':>10} {'bar':>9}")
            for name, measure in GROUPS[options.group].items():
                if options.only in (None, name):
                    for fields in measure(server.url, Path(folder), options.rounds):
                        rows.append(row := Row(*fields))
                        mark = "ok" if row.met else "MISSED"
                        print(
                            f"{row.name:44} {row.value:10.3f} {row.bar:9.3f} {row.unit:5} {mark:7} {row.detail}",
                            flush=True,
                        )
        finally:
            server.kill()
    options.json.write_text(json.dumps([{**asdict(row), "met": row.met} for row in rows], indent=2) + "\n")
    sys.stdout.flush()
    os._exit(0)  # Celery's results of the peer print tracebacks when an interpreter ends under them


if __name__ == "__main__":
    main()
