"""Proof that a worker consumes: a file that says when the store last answered its question for messages.

`python -m orchestrator_worker.process.proof` is the check for whoever looks after containers. Nothing but the standard
library is imported here, since the supervisor has it too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

FILE_VARIABLE = "ORCHESTRATOR_PROOF_FILE"
"""Names the file; without it, it is named after the process, in a folder of the user's for temporary files."""

FRESH_SECONDS = 30.0
"""A worker asks every second, and gives up a silent connection after three; one that is this late is deaf or frozen."""

RENEW_SECONDS = 1.0
"""The file is written no more often."""

_FORM = "{:020.3f}"


def file_of(pid: int) -> Path:
    """Where the proof of the worker with this process id is, or of the one that it supervises."""
    named = os.environ.get(FILE_VARIABLE)
    return Path(named) if named else _folder() / f"{pid}.proof"


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"orchestrator-workers-{os.getuid()}"


class Proof:
    """The file, as the worker writes it. Any of its threads may."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._renewed = 0.0
        self.renew()

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self._renewed

    def renew(self) -> None:
        """The worker consumes now. Costs a look at the clock, and once a second a write of 20 bytes."""
        now = time.monotonic()
        if now - self._renewed >= RENEW_SECONDS:
            self._renewed = now
            os.pwrite(self._file, _FORM.format(now).encode(), 0)


def age_seconds(path: Path) -> float | None:
    """How old a proof is, by the machine's monotonic clock, which nobody sets; None if there is none."""
    try:
        return max(0.0, time.monotonic() - float(path.read_text()))
    except (FileNotFoundError, ValueError):
        return None


def main() -> int:
    """0 if every worker of this user on this machine, or that of the named file, has proved lately that it consumes."""
    named = os.environ.get(FILE_VARIABLE)
    files = [Path(named)] if named else [file for file in sorted(_folder().glob("*.proof")) if _is_of_a_process(file)]
    ages = {file: age_seconds(file) for file in files}
    for file, age in ages.items():
        sys.stdout.write(f"{file}: {'there is no such file' if age is None else f'{age:.1f} s old'}\n")
    if not ages:
        sys.stdout.write(f"no worker has left a proof in {_folder()}\n")
    return 0 if ages and all(age is not None and age <= FRESH_SECONDS for age in ages.values()) else 1


def _is_of_a_process(file: Path) -> bool:
    """Whether its process is there; a killed one leaves its file, which goes."""
    try:
        os.kill(int(file.stem), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, ValueError):
        file.unlink(missing_ok=True)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
