"""Python code from a plan, run in a process of its own under limits.

A fence against accidents, not a prison: the code runs as the worker's user, and may read what that user may, and use
the network. A program that leaves its session is held by its limits alone. For strangers' code, put the worker into a
container.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from pathlib import Path

from orchestrator_client.contract.catalog.code import CodeParameters
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.terminal import Program, run

ADDRESS_SPACE_BYTES = 4 * 1024**3
"""Of each process. Above what it uses: numeric libraries reserve much that they never touch."""

FILE_BYTES = 1024**3
"""Of each file that it writes."""

OPEN_FILES = 256
PROCESSES = 256
"""Processes and threads beyond those that the user has already. Not counted for root, nor where there is no /proc."""

PASSED_ON = ("PATH", "LANG")
"""What the code sees of the worker's environment, which holds keys."""

_CAGE = str(Path(__file__).with_name("cage.py"))


async def execute(context: ToolContext, parameters: CodeParameters) -> ToolResult:
    """Run code in the run's folder: `{code, return_code, stdout, stderr}`; what it is to hand on it prints.

    Past its `timeout` it is killed with all that it started, and reported as failed with return code -1.

    Raises:
        ToolFailed: Python cannot be started.
        StepTimeout: the step's time was up before the code's own.
    """
    with tempfile.TemporaryFile() as source:
        source.write(parameters.code.encode())
        source.seek(0)
        program = Program(
            words=[sys.executable, "-I", "-S", _CAGE, *_limits(parameters.timeout)],
            folder=str(context.folder),
            environment={name: os.environ[name] for name in PASSED_ON if name in os.environ},
            timeout_seconds=parameters.timeout,
            input=source.fileno(),
        )
        ended = await run(program, context)
    output: dict[str, Json] = {
        "code": parameters.code,
        "return_code": -1 if ended.return_code is None else ended.return_code,
        "stdout": ended.stdout,
        "stderr": ended.stderr,
    }
    if ended.return_code is None:
        return ToolResult(output, success=False, error=f"Code timed out after {parameters.timeout:g} s")
    return ToolResult(output, ended.return_code == 0, ended.failure)


def _limits(timeout_seconds: float) -> list[str]:
    """The limits of one process. Time of the processor is what all of them could give until the time is up."""
    return [
        f"RLIMIT_CPU={math.ceil(timeout_seconds) * (os.cpu_count() or 1)}",
        f"RLIMIT_AS={ADDRESS_SPACE_BYTES}",
        f"RLIMIT_FSIZE={FILE_BYTES}",
        f"RLIMIT_NOFILE={OPEN_FILES}",
        f"RLIMIT_NPROC={PROCESSES}",
        "RLIMIT_CORE=0",
    ]
