"""Python code in a process of its own: results, limits, and that nothing of it outlives its time."""

import asyncio
import json
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import StepTimeout
from orchestrator_client.contract.project import CageLimits
from orchestrator_worker.cage.capture import OUTPUT_BYTES
from orchestrator_worker.cage.program import ADDRESS_FACTOR
from orchestrator_worker.tools import python_executor
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke
from tests.unit.test_tools_terminal import alive, begun_and_stopped

HELD = CageLimits()


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(run="r", instance="s", attempt=1, folder=tmp_path)


def run(context: ToolContext, code: str, **parameters: object) -> ToolResult:
    async def scenario() -> ToolResult:
        called = invoke("python-executor.execute", {"code": code, **parameters}, context)
        assert not isinstance(called, ToolResult)
        return await called

    return asyncio.run(scenario())


def test_code_prints_what_it_hands_on(context):
    code = "import sys\nprint('grüße')\nprint('to stderr', file=sys.stderr)\n"
    result = run(context, code)
    assert result.value == {
        "result": {"code": code, "return_code": 0, "stdout": "grüße\n", "stderr": "to stderr\n"},
        "success": True,
        "error": None,
    }


def test_an_exception_is_a_failure_that_names_it(context):
    result = run(context, "print('before')\n1 / 0")
    assert (result.success, result.output["return_code"], result.output["stdout"]) == (False, 1, "before\n")
    assert result.error == "exited with status 1: ZeroDivisionError: division by zero"
    assert "cage.py" not in result.output["stderr"]


def test_long_code_is_read_whole(context):
    assert run(context, "#" * 300_000 + "\nprint('end')").output["stdout"] == "end\n"


def test_it_runs_as_main_in_the_folder_of_the_run_with_nothing_on_stdin(context):
    result = run(context, "import os, sys\nprint(__name__, os.getcwd(), repr(sys.stdin.read()))")
    assert result.output["stdout"] == f"__main__ {context.folder.resolve()} ''\n"


def test_the_environment_is_not_passed_on(context, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "secret")
    monkeypatch.setenv("PYTHONSTARTUP", "x")
    names = json.loads(run(context, "import os, json\nprint(json.dumps(sorted(os.environ)))").output["stdout"])
    assert set(names) <= {*python_executor.PASSED_ON, "LC_CTYPE"}


def test_its_time_ends_it_and_its_children(context):
    code = """
import subprocess, time
child = subprocess.Popen(["sleep", "999"])
print("begun", flush=True)
open("begun", "x").close()
time.sleep(999)
"""
    result, seconds = begun_and_stopped(lambda seconds: run(context, code, timeout=seconds), context.folder / "begun")
    assert (result.success, result.output["return_code"], result.output["stdout"]) == (False, -1, "begun\n")
    assert result.error == f"Code timed out after {seconds:g} s"
    assert not alive(context.folder)


def test_the_time_of_the_step_may_be_shorter(tmp_path):
    context = ToolContext(run="r", instance="s", attempt=1, folder=tmp_path, timeout_seconds=0.3)
    with pytest.raises(StepTimeout, match=r"step's 0\.3 s"):
        run(context, "import time\ntime.sleep(999)")


def test_the_limits_hold(context):
    code = """
import json, resource
names = ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE")
print(json.dumps([resource.getrlimit(getattr(resource, name)) for name in names]))
"""
    limits = run(context, code).output["stdout"]
    # Past the processor's time there is a signal, and a second later SIGKILL.
    assert json.loads(limits)[0] == [HELD.cpu_seconds, HELD.cpu_seconds + 1]
    wanted = [HELD.memory_bytes * ADDRESS_FACTOR, HELD.file_bytes, HELD.open_files, 0]
    assert json.loads(limits)[1:] == [[limit, limit] for limit in wanted]


def test_more_addresses_than_may_be_reserved_are_refused(context):
    result = run(context, f"bytearray({HELD.memory_bytes * ADDRESS_FACTOR})")
    assert result.error == "exited with status 1: MemoryError"


def test_too_large_a_file_is_refused(context):
    result = run(context, f"open('big', 'wb').truncate({HELD.file_bytes + 1})")
    assert "File too large" in str(result.error)


def test_output_is_capped(context):
    output = run(context, f"print('x' * {3 * OUTPUT_BYTES})").output["stdout"]
    assert len(output) < OUTPUT_BYTES + 100
    assert "bytes left out here" in output
