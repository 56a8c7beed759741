"""Judges many files in a process of its own, so that none of them, whatever is in it, takes the command along."""

from __future__ import annotations

import json
import resource
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator_client.cli.verdict import Verdict, judge

SECONDS = 60.0
"""For one file. The largest plan that is allowed takes about a tenth of that on one slow core."""
MEMORY_BYTES = 2 * 1024**3
"""Address space of the process."""

_SERVE = "from orchestrator_client.cli.jury import serve; serve()"


class Jury:
    """A process that judges one file after another. One that a file kills, or holds too long, is replaced."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._dismiss()

    def verdicts(self, files: Iterable[Path]) -> Iterator[Verdict]:
        """One for each file, in their order."""
        return (self._verdict(file) for file in files)

    def _verdict(self, file: Path) -> Verdict:
        process = self._process or self._summoned()
        self._process = process
        if process.stdin is None or process.stdout is None:
            raise AssertionError("a process that was started with pipes has them")
        process.stdin.write(json.dumps(str(file)).encode() + b"\n")
        process.stdin.flush()
        readable, _, _ = select.select([process.stdout], [], [], SECONDS)
        if not readable:
            self._dismiss()
            return Verdict.refused(str(file), "too-large", f"reading it takes longer than {SECONDS:g} seconds")
        line = process.stdout.readline()
        if not line:
            self._dismiss()
            message = f"reading it takes more than {MEMORY_BYTES // 1024**3} GiB of memory, or ends the process"
            return Verdict.refused(str(file), "too-large", message)
        return Verdict.of_dict(json.loads(line))

    def _summoned(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-c", _SERVE], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def _dismiss(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None


def serve() -> None:
    """Judge the files whose paths come in, one JSON text a line, until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(_judged(json.loads(line)).as_dict()) + "\n")
        sys.stdout.flush()


def _judged(file: str) -> Verdict:
    """The verdict, also on a file over which the loader itself stumbles."""
    try:
        return judge(Path(file))
    except Exception as error:  # noqa: BLE001 - one line for every file, whatever is in it
        message = f"it cannot be judged: {type(error).__name__}: {error}"[:300]
        return Verdict.refused(file, "internal", message)
