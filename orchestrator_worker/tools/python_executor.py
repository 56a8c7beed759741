"""Python code from a plan, run in a process of its own under a warden."""

from __future__ import annotations

import sys
import tempfile

from orchestrator_client.contract.catalog.code import CodeParameters
from orchestrator_client.contract.plan import Json
from orchestrator_worker.cage.program import Program, passed_on, run
from orchestrator_worker.tools.base import ToolContext, ToolResult

PASSED_ON = ("PATH", "LANG")
"""What the code sees of the worker's environment, which holds keys."""

# Any encoding of the environment's would depend on the machine; -X utf8 does not.
_PYTHON = (sys.executable, "-I", "-X", "utf8", "-")


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
        program = Program(_PYTHON, str(context.folder), passed_on(PASSED_ON), parameters.timeout, input=source.fileno())
        ended = await run(program, context.cage, context.timeout_seconds)
    output: dict[str, Json] = {
        "code": parameters.code,
        "return_code": -1 if ended.return_code is None else ended.return_code,
        "stdout": ended.stdout,
        "stderr": ended.stderr,
    }
    if ended.return_code is None and not ended.stopped:
        return ToolResult(output, success=False, error=f"Code timed out after {parameters.timeout:g} s")
    return ToolResult(output, ended.return_code == 0, ended.failure)
