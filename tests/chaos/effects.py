"""What steps really did, whatever the product says of it: tools that write to a ledger before and after their effect.

Each line is one O_APPEND write: `+|-|x run instance attempt pid monotonic`; `x` is an effect that was broken off. The
clock is one for all processes of a machine.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator_worker.tools import ToolContext

LEDGER = "ledger"
MARKS = "CHAOS_FOLDER"
"""Variable that names the folder of a scene, by which its processes are found as well."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One line of the ledger."""

    sign: str
    run: str
    instance: str
    attempt: int
    pid: int
    at: float

    @property
    def begins(self) -> bool:
        return self.sign == "+"

    @property
    def ends(self) -> bool:
        """Whether the effect was had."""
        return self.sign == "-"

    @property
    def key(self) -> tuple[str, str]:
        return self.run, self.instance


def effect(context: ToolContext, seconds: float = 0.0, says: str = "") -> str:
    """Do something that can be seen from outside; what it returns differs from attempt to attempt."""
    _write(context, "+")
    try:
        # Not `time.sleep`, which libfaketime breaks.
        select.select([], [], [], seconds)
    except BaseException:
        _write(context, "x")
        raise
    _write(context, "-")
    return f"{says or context.instance} by attempt {context.attempt} of {os.getpid()}"


def die(context: ToolContext) -> None:
    """Take the process along."""
    _write(context, "+")
    os._exit(1)


def effects(folder: Path) -> list[Effect]:
    """All that was written, in order; without a line of which only a part is there yet."""
    path = folder / LEDGER
    return list(_read(path.read_text().rpartition("\n")[0])) if path.exists() else []


def _read(text: str) -> Iterator[Effect]:
    for line in text.splitlines():
        sign, run, instance, attempt, pid, at = line.split()
        yield Effect(sign, run, instance, int(attempt), int(pid), float(at))


def _write(context: ToolContext, sign: str) -> None:
    line = f"{sign} {context.run} {context.instance} {context.attempt} {os.getpid()} {time.monotonic():.6f}\n"
    number = os.open(Path(os.environ[MARKS]) / LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(number, line.encode())
    finally:
        os.close(number)
