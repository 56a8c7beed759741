"""Loads a file in a process of its own, so that no file, whatever is in it, takes its reader along."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import signal
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.contract.plan import Plan
from orchestrator_client.loader import Loaded, load
from orchestrator_client.loader.codes import Code

SECONDS = 60.0
"""For one file. The largest plan that is allowed takes about a tenth of that on one slow core."""
MEMORY_BYTES = 2 * 1024**3
"""Address space of the process, beside what the one has that it is forked from."""

_PIPE_BYTES = 1024 * 1024


def load_apart(path: Path) -> Loaded:
    """`load`, in a forked process with limits on time and memory. For processes without threads of their own.

    Raises:
        PlanInvalid: with every problem that was found; also for a file that passes a limit, or over which the loader
            itself stumbles.
    """
    reading, writing = os.pipe()
    process = _forked()
    if process == 0:
        _answer(path, writing)
    os.close(writing)
    try:
        answer = _heard(reading)
    finally:
        os.close(reading)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return _loaded(answer, str(path))


def _forked() -> int:
    with warnings.catch_warnings():
        # Newer Pythons warn where there are threads: a test runner has some, and they hold nothing that is used here.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _answer(path: Path, writing: int) -> NoReturn:
    """The child: load, write what came of it as JSON, and leave without the parent's clean-up."""
    # Whatever else ends it, the parent hears that there is no answer, and says so.
    with contextlib.suppress(BaseException), os.fdopen(writing, "wb") as pipe:
        seconds = math.ceil(SECONDS) + 1
        memory_bytes = _address_space() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pipe.write(json.dumps(_outcome(path)).encode())
    os._exit(0)


def _address_space() -> int:
    """Bytes of it that this process has: many, where threads have come and gone. 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _outcome(path: Path) -> dict[str, Any]:
    try:
        loaded = load(path)
    except PlanInvalid as error:
        return {"problems": [problem.as_dict() for problem in error.problems]}
    except MemoryError:
        return {"problems": [_too_much(f"more than {MEMORY_BYTES // 1024**3} GiB of memory").as_dict()]}
    except Exception as error:  # noqa: BLE001 - one answer for every file, whatever is in it
        message = f"the loader stumbles over it: {type(error).__name__}: {error}"[:300]
        return {"problems": [Problem(Code.INTERNAL.value, message).as_dict()]}
    return {"plan": loaded.plan.to_json(), "problems": [warning.as_dict() for warning in loaded.warnings]}


def _heard(reading: int) -> bytes | None:
    """All that the child wrote; None where it took too long."""
    deadline = time.monotonic() + SECONDS
    parts: list[bytes] = []
    while True:
        readable, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return None
        part = os.read(reading, _PIPE_BYTES)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _loaded(answer: bytes | None, file: str) -> Loaded:
    """What the child found.

    Raises:
        PlanInvalid: the file has errors, or the child gave no answer.
    """
    if answer is None:
        raise PlanInvalid([_too_much(f"longer than {SECONDS:g} seconds")], file)
    if not answer:
        raise PlanInvalid([_too_much("too much memory, or ends the process")], file)
    outcome = json.loads(answer)
    problems = [Problem(**problem) for problem in outcome["problems"]]
    if "plan" not in outcome:
        raise PlanInvalid(problems, file)
    return Loaded(Plan.from_json(outcome["plan"]), problems)


def _too_much(of_what: str) -> Problem:
    return Problem(Code.TOO_LARGE.value, f"reading it takes {of_what}")
