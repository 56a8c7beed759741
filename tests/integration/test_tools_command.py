"""`orchestrator tools`: what a worker has, and a call of one without a fleet."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.command_line import ROOT, Shell
from tests.conformance.tools.adapters import install_package
from tests.conformance.tools.conftest import forget
from tests.conftest import wait_until

FUNCTIONS = "python:tests.conformance.tools.function_tools"


def test_the_list_is_searched_by_word_category_source_and_tag(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = ["suite = tests.conformance.tools.function_tools", "broken = no.such.package:f"]
    site = install_package(monkeypatch, tmp_path / "package", *points)
    path = f"{site}:{ROOT}"
    forget()
    found = shell.run("tools", "list", "-o", "json", PYTHONPATH=path)
    tools = {tool["name"]: tool for tool in found.json}
    assert tools["filesystem.read"]["read_only"]
    assert tools["suite.echo"]["tags"] == ["suite", "talk"]
    assert "warning: plugin 'broken' (no.such.package:f) cannot be loaded" in found.err

    for options, names in {
        ("--source", "plugin", "--tag", "talk"): ["suite.echo"],
        ("csv",): ["data-processing.convert"],
        ("--category", "validation"): ["validation.validate"],
        ("--category", "nothing"): [],
    }.items():
        assert [
            tool["name"] for tool in shell.run("tools", "list", *options, "-o", "json", PYTHONPATH=path).json
        ] == names
    table = shell.run("tools", "list", "--source", "plugin", PYTHONPATH=path).out
    assert "suite.echo" in table
    assert "Return what was given." in table


def test_one_tool_is_shown_with_what_it_takes(shell: Shell) -> None:
    shown = shell.run("tools", "show", f"{FUNCTIONS}:echo")
    assert "Return what was given." in shown.out
    assert "text: string, required" in shown.out
    assert "count: integer, default 1" in shown.out
    assert "reads only" in shown.out
    assert shell.run("tools", "show", f"{FUNCTIONS}:echo", "-o", "json").json["source"] == "python"
    refused = shell.run("tools", "show", "filesystem.raed")
    assert (refused.code, refused.out) == (2, "")
    assert "did you mean 'filesystem.read'?" in refused.err


def test_a_call_prints_its_output_or_its_one_result(shell: Shell) -> None:
    (shell.folder / "a.txt").write_text("ä\n")
    read = shell.run("tools", "call", "filesystem.read", "-p", "path=a.txt")
    assert (read.code, json.loads(read.out)["content"]) == (0, "ä\n")
    echoed = shell.run(
        "tools", "call", f"{FUNCTIONS}:echo", "-p", "text=5", "-p", "count=5", "-p", "rows=[1]", "-o", "json"
    )
    assert echoed.json["output"] == {"text": "5", "count": 5, "flag": False, "rows": [1], "options": {}}
    assert echoed.json["tool"] == f"{FUNCTIONS}:echo"
    told = shell.run("tools", "call", f"{FUNCTIONS}:tell", "-p", "times=2")
    assert told.out == "2\n"
    assert "50% step 1\n100% step 2\n" in told.err


def test_what_a_tool_prints_is_not_its_answer(shell: Shell) -> None:
    printed = shell.run("tools", "call", "python:builtins:print", "-p", "sep=x", "-o", "json")
    assert printed.json["output"] is None
    assert printed.err == "\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["filesystem.read", "-p", "path=missing"], 1, "error: File not found: missing"),
        ([f"{FUNCTIONS}:fail", "-p", "reason=no stock"], 1, "raised RuntimeError: no stock"),
        ([f"{FUNCTIONS}:wait", "-p", "folder=.", "--timeout", "0.5"], 1, "timeout of 0.5 s"),
        (["python:os:_exit", "-p", "status=3"], 1, "ended its process with exit code 3"),
        ([f"{FUNCTIONS}:echo", "-p", "count=x", "-p", "text=a"], 2, "parameter 'count' was \"x\": "),
        (["nothing.here"], 2, "no tool 'nothing.here' on this worker"),
        (["filesystem.read", "-p", "path"], 2, "expected key=value, found 'path'"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(shell: Shell, arguments: list[str], code: int, said: str) -> None:
    ended = shell.run("tools", "call", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


def test_an_interrupt_ends_the_call(shell: Shell) -> None:
    """And the tool has time to clear up."""
    shell.write(
        """\
        import time
        from pathlib import Path
        def wait():
            try:
                Path("started").touch()
                time.sleep(600)
            finally:
                time.sleep(0.5)
                Path("stopped").touch()
        """,
        "slow.py",
    )
    started = shell.start("tools", "call", "python:slow:wait")
    wait_until((shell.folder / "started").exists, "the tool has started")
    below = [process for process in shell.processes() if process.pid != started.process.pid]
    started.send(signal.SIGINT)  # as Ctrl-C does it, to all of them; the command waits for the others
    for process in below:
        process.send_signal(signal.SIGINT)
    assert started.end().code == 130
    assert (shell.folder / "stopped").exists()
