"""Commands. Each runs under a warden, which ends with it all that it started, and with a short environment.

Its own folder is the run's, or one in it: what one command writes there, another step reads.
"""

from __future__ import annotations

import os

from orchestrator_client.contract.catalog.code import TerminalParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_worker.cage.program import Program, passed_on, run
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.paths import locate


async def execute(context: ToolContext, parameters: TerminalParameters) -> ToolResult:
    """Run a command: `{command, return_code, stdout, stderr, working_dir, execution_time}`, the last in seconds.

    Past its own `timeout` the command is killed and reported as failed with return code -1; past the step's, which may
    be shorter, the step has timed out.

    Raises:
        ParametersInvalid: the command is empty, or the folder is outside the run's or does not exist.
        ToolFailed: there is no such command.
        StepTimeout: the step's time was up before the command's own.
    """
    words = ["/bin/sh", "-c", parameters.command] if isinstance(parameters.command, str) else parameters.command
    folder = _folder(context, parameters.working_dir)
    _check(words, parameters)
    environment = {**passed_on(), **parameters.env}
    program = Program(words, folder, environment, parameters.timeout, capture=parameters.capture_output)
    ended = await run(program, context.cage, context.timeout_seconds)
    output: dict[str, Json] = {
        "command": parameters.command,
        "return_code": -1 if ended.return_code is None else ended.return_code,
        "stdout": ended.stdout,
        "stderr": ended.stderr,
        "working_dir": parameters.working_dir,
        "execution_time": round(ended.seconds, 3),
    }
    if ended.return_code is None and not ended.stopped:
        return ToolResult(output, success=False, error=f"Command timed out after {parameters.timeout:g} s")
    return ToolResult(output, ended.return_code == 0, ended.failure)


def _folder(context: ToolContext, working_dir: str) -> str:
    """The folder to start in, confined as the paths of files are. The command itself is not: it may read elsewhere."""
    folder = str(locate(working_dir, context).path)
    if not os.path.isdir(folder):
        raise ParametersInvalid(f"working_dir {working_dir!r} is not a folder; create it in a step before this one")
    return folder


def _check(command: list[str], parameters: TerminalParameters) -> None:
    """Refuse what the system could not be told: an empty command, NULs, names of variables with `=`."""
    if not parameters.command or (isinstance(parameters.command, str) and not parameters.command.strip()):
        raise ParametersInvalid("terminal.execute: parameter 'command' is empty; give a line or a list")
    words = [*command, *parameters.env.values()]
    if any("\0" in word for word in words) or any(not name or set(name) & {"=", "\0"} for name in parameters.env):
        raise ParametersInvalid("terminal.execute: 'command' and 'env' take no NUL, and names in 'env' take no '='")
