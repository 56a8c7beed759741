"""Functions that pipelines of tests call."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from orchestrator_worker.tools import ToolContext

logger = logging.getLogger(__name__)


def fail(message: str) -> None:
    raise ValueError(message)


def fail_until(path: str, times: int) -> int:
    """Fail the first `times` calls; the calls are counted in a file."""
    return record(path) if record(path, peek=True) >= times else fail(f"call {record(path)}")  # type: ignore[return-value]


def record(path: str, peek: bool = False) -> int:
    """Append one byte, in one write, and return how many there are."""
    if not peek:
        with Path(path).open("ab", buffering=0) as file:
            file.write(b".")
    return Path(path).stat().st_size if Path(path).exists() else 0


def mark(folder: str, name: str, seconds: float = 0.0) -> str:
    """Write `name` to the ledger before and after a pause: what really ran, whatever the store says."""
    ledger(folder, f"+{name}")
    time.sleep(seconds)
    ledger(folder, f"-{name}")
    return name


def mark_until(folder: str, name: str, path: str) -> str:
    """As `mark`, with a pause that ends when a file exists: no step is over before its test has said so."""
    ledger(folder, f"+{name}")
    wait_for(path)
    ledger(folder, f"-{name}")
    return name


def ledger(folder: str, line: str) -> None:
    with (Path(folder) / "ledger").open("ab", buffering=0) as file:
        file.write(f"{line} {os.getpid()}\n".encode())


def wait_for(path: str) -> str:
    """Wait until a file exists."""
    while not Path(path).exists():
        time.sleep(0.01)
    return path


def loaded(*modules: str) -> list[str]:
    """Those of the modules that this process has loaded."""
    return [name for name in modules if name in sys.modules]


def die() -> None:
    os._exit(1)


def spin() -> None:
    while True:
        pass


def big(megabytes: int) -> str:
    return "x" * (megabytes * 1024 * 1024)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def add_one(state: dict[str, Any]) -> dict[str, Any]:
    return {"n": state["n"] + 1, "path": [f"n{state['n']}"]}


def parity(state: dict[str, Any]) -> str:
    return "even" if state["n"] % 2 == 0 else "odd"


def report_and_wait(path: str, context: ToolContext) -> str:
    """Say how far it is, and wait until a file exists."""
    context.progress(0.5, "waiting to be seen")
    return wait_for(path)


def spin_for(seconds: float) -> None:
    """Hold the interpreter, as far as Python lets one thread hold it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(10_000))


def same(value: Any) -> Any:
    return value


def numbers(count: int) -> list[int]:
    return list(range(count))


def say(what: str) -> None:
    """Log it, plainly and with a traceback that has it too."""
    logger.warning("said %s", what)
    try:
        raise ZeroDivisionError(what)
    except ZeroDivisionError:
        logger.exception("raised %s", what)
