"""Tools that run commands and code."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from orchestrator_client.contract.caps import TIMEOUT_SECONDS
from orchestrator_client.contract.catalog.spec import ONCE, Parameters, ToolSpec, specs
from orchestrator_client.contract.level import Level
from orchestrator_client.contract.record import Json
from orchestrator_client.contract.tool import Category

CODE = "python-executor.execute"


class TerminalParameters(Parameters):
    command: str | list[str]
    """A line for the shell, or a list that is executed as it stands."""
    working_dir: str = "."
    timeout: float = Field(default=30.0, gt=0, le=TIMEOUT_SECONDS)
    """Seconds; the command and all its children are killed then."""
    env: dict[str, str] = Field(default_factory=dict)
    """Added to PATH, HOME, LANG, LC_ALL, TZ and TMPDIR; the worker's own environment is not passed on."""
    capture_output: bool = True
    """Whether stdout and stderr are kept."""


class PythonParameters(Parameters):
    function: str
    """`package.module:function`, importable by the worker."""
    args: list[Json] = Field(default_factory=list)
    kwargs: dict[str, Json] = Field(default_factory=dict)


class CodeParameters(Parameters):
    code: str
    timeout: float = Field(default=30.0, gt=0, le=TIMEOUT_SECONDS)
    """Seconds; the code and all that it started are killed then."""


TOOLS: Mapping[str, ToolSpec] = {
    **specs(
        "terminal",
        Category.SYSTEM,
        ("execute", TerminalParameters, "Run a command", ONCE),
        level=Level.RESTRICTED,
    ),
    **specs(
        "python",
        Category.CODE_EXECUTION,
        ("call", PythonParameters, "Call an importable Python function", ONCE),
        level=Level.TRUSTED,
    ),
    **specs(
        "python-executor",
        Category.CODE_EXECUTION,
        ("execute", CodeParameters, "Run Python code in a process of its own", ONCE),
        level=Level.RESTRICTED,
    ),
}
