"""The small process: it imports what `orchestrator validate` does, and nothing else."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from orchestrator_client.cli.verdict import judge


def serve() -> None:
    """Judge the files whose paths come in, one a line."""
    for line in sys.stdin.read().splitlines():
        before = _seconds()
        verdict = judge(Path(line)).as_dict()
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(json.dumps({"verdict": verdict, "seconds": _seconds() - before, "megabytes": most}))


def _seconds() -> float:
    """Of the processor, this process's and its children's."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
