"""Commands: results, caps, and that nothing of a command outlives it."""

import asyncio
import os
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator_client.contract.errors import ParametersInvalid, StepTimeout, ToolFailed
from orchestrator_worker.cage.capture import OUTPUT_BYTES
from orchestrator_worker.cage.limits import Cage
from orchestrator_worker.cage.program import PASSED_ON
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke
from tests.conftest import until_there, wait_until


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(run="r", instance="s", attempt=1, folder=tmp_path)


async def running(context: ToolContext, command: object, **parameters: object) -> ToolResult:
    called = invoke("terminal.execute", {"command": command, **parameters}, context)
    assert not isinstance(called, ToolResult)
    return await called


def run(context: ToolContext, command: object, **parameters: object) -> ToolResult:
    return asyncio.run(running(context, command, **parameters))


def alive(folder: Path) -> list[psutil.Process]:
    """What still runs in a folder. A command cannot tell: its process ids are those of its cage."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder.resolve()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


LIMITS_SECONDS = (0.5, 5.0, 50.0)
"""Of a command that is to be stopped once it has begun; the longer ones where a slow machine let it not get so far."""


def begun_and_stopped(run_for: Callable[[float], ToolResult], begun: Path) -> tuple[ToolResult, float]:
    """What came of a call whose time was up after it had made this file, and how long it had."""
    for seconds in LIMITS_SECONDS:
        result = run_for(seconds)
        if begun.exists():
            return result, seconds
    raise AssertionError(f"not begun within {seconds:g} s")


def test_a_line_is_run_by_the_shell(context):
    result = run(context, "printf out; printf err >&2")
    assert result.success
    assert result.output["execution_time"] < 60
    assert {**result.output, "execution_time": 0} == {
        "command": "printf out; printf err >&2",
        "return_code": 0,
        "stdout": "out",
        "stderr": "err",
        "working_dir": ".",
        "execution_time": 0,
    }


def test_a_list_is_executed_as_it_stands(context):
    assert run(context, ["printf", "%s|", "a b", "$(id)", "; ls"]).output["stdout"] == "a b|$(id)|; ls|"


def test_a_failing_command_reports_its_last_line(context):
    result = run(context, "echo first >&2; echo no such thing >&2; exit 3")
    assert (result.success, result.output["return_code"]) == (False, 3)
    assert result.error == "exited with status 3: no such thing"


def test_a_command_that_is_killed_says_by_what(context):
    result = run(context, "kill -SEGV $$")
    assert str(result.error).startswith("killed by signal SIGSEGV")


def test_execution_time_is_measured(context):
    before = time.monotonic()
    measured = run(context, "sleep 0.2").output["execution_time"]
    assert 0.2 <= measured <= time.monotonic() - before


def test_the_worker_environment_is_not_passed_on(context, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "secret")
    output = run(context, "env", env={"MINE": "1"}).output["stdout"]
    names = {line.partition("=")[0] for line in output.splitlines()}
    assert "secret" not in output
    assert {"MINE", "PATH"} <= names
    assert names <= {*PASSED_ON, "MINE", "PWD", "OLDPWD", "SHLVL", "_"}


def test_the_folder_is_the_runs_and_confined(context):
    (context.folder / "sub").mkdir()
    assert run(context, "pwd", working_dir="sub").output["stdout"].strip() == str(context.folder.resolve() / "sub")
    with pytest.raises(ParametersInvalid, match="outside the run's working folder"):
        run(context, "pwd", working_dir="..")
    with pytest.raises(ParametersInvalid, match="is not a folder"):
        run(context, "pwd", working_dir="none")


def test_a_timeout_kills_the_command_and_its_children(context):
    command = "sleep 999 & echo begun; touch begun; wait"
    result, seconds = begun_and_stopped(
        lambda seconds: run(context, command, timeout=seconds), context.folder / "begun"
    )
    assert (result.success, result.output["return_code"]) == (False, -1)
    assert result.error == f"Command timed out after {seconds:g} s"
    assert result.output["stdout"] == "begun\n"
    assert not alive(context.folder)


def test_a_command_that_ignores_sigterm_is_killed(context):
    command = "trap '' TERM; touch begun; while :; do sleep 0.05; done"
    result, _ = begun_and_stopped(lambda seconds: run(context, command, timeout=seconds), context.folder / "begun")
    assert result.output["return_code"] == -1
    assert not alive(context.folder)


@pytest.mark.parametrize("namespaces", [True, False])
@pytest.mark.parametrize("daemon", ["sleep 999 &", "setsid sleep 999 &", "(setsid sleep 999 </dev/null &) &"])
def test_a_command_leaves_nothing_behind(context, daemon, namespaces):
    held = replace(context, cage=Cage(namespaces=namespaces))
    result = run(held, f"{daemon} echo done")
    assert result.success
    assert result.output["stdout"] == "done\n"
    assert not alive(context.folder)


@pytest.mark.parametrize("namespaces", [True, False])
def test_cancelling_ends_all(context, namespaces):
    async def scenario() -> None:
        held = replace(context, cage=Cage(namespaces=namespaces))
        task = asyncio.create_task(running(held, "setsid sleep 999 & touch child; wait", timeout=100))
        await until_there(context.folder / "child")
        assert alive(context.folder)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert not alive(context.folder)


def test_cancelling_twice_still_ends_what_ignores_sigterm(context):
    async def scenario() -> None:
        command = "trap '' TERM; touch begun; while :; do sleep 0.05; done"
        task = asyncio.create_task(running(context, command, timeout=100))
        await until_there(context.folder / "begun")
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    wait_until(lambda: not alive(context.folder), "nothing of the command is left")


def test_the_steps_own_time_is_a_timeout_of_the_step(context):
    short = ToolContext(run="r", instance="s", attempt=1, folder=context.folder, timeout_seconds=0.3)
    with pytest.raises(StepTimeout, match=r"the step's 0\.3 s were up"):
        run(short, "sleep 999", timeout=30)


def test_long_output_keeps_head_and_tail_and_says_what_is_missing(context):
    result = run(context, "echo begin; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo end")
    output = result.output["stdout"]
    assert output.startswith("begin\nxxx")
    assert output.endswith("xxx\nend\n")
    missing = 20_000_000 + len("begin\n\nend\n") - OUTPUT_BYTES
    assert f"\n[... {missing} bytes left out here ...]\n" in output
    assert len(output) < OUTPUT_BYTES + 100


def test_endless_output_is_read_in_bounded_memory(context):
    run(context, "true")  # What is imported on the way is not the command's.
    tracemalloc.start()
    try:
        result = run(context, "yes", timeout=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.output["return_code"] == -1
    # About twice the cap while it is read, and its text beside it at the end.
    assert peak < 4.5 * OUTPUT_BYTES


def test_output_that_is_no_text_is_shown_with_replacements(context):
    assert run(context, "printf 'a\\377b'").output["stdout"] == "a\ufffdb"


def test_output_may_be_left_out(context):
    assert run(context, "echo x", capture_output=False).output["stdout"] == ""


def test_no_input_is_offered(context):
    assert run(context, "cat; echo end").output["stdout"] == "end\n"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"command": "  "}, "'command' is empty"),
        ({"command": []}, "'command' is empty"),
        ({"command": "a\0b"}, "take no NUL"),
        ({"command": "ls", "env": {"A=B": "1"}}, "no '='"),
    ],
)
def test_what_cannot_be_run_is_refused(context, parameters, message):
    with pytest.raises(ParametersInvalid, match=message):
        run(context, **parameters)


def test_a_missing_program_is_named(context):
    with pytest.raises(ToolFailed, match="cannot run 'no-such-program'"):
        run(context, ["no-such-program"])


def test_no_descriptor_is_left_open(context):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        run(context, "true")
        with pytest.raises(ToolFailed):
            run(context, ["no-such-program"])
    assert len(os.listdir("/proc/self/fd")) <= before
