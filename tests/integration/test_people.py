"""Questions and sub-pipelines at the command line: on a fleet, on a terminal, and where nobody is."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.command_line import COMMAND, ROOT, Shell
from tests.conftest import wait_until

EXAMPLE = ROOT / "examples" / "approved_report.yaml"


@pytest.fixture
def fleet(shell: Shell) -> Shell:
    """A shell with a fleet that its commands find."""
    shell.environment["ORCHESTRATOR_REDIS_URL"] = shell.redis()
    shell.worker()
    return shell


def standing(fleet: Shell, run: str) -> list[str]:
    return [asked["instance"] for asked in fleet.run("questions", run, "--json").json]


def test_a_report_waits_for_its_approval(fleet: Shell) -> None:
    run = fleet.run("submit", EXAMPLE).out.strip()
    wait_until(lambda: standing(fleet, run) == ["format"], "the format is asked")
    refused = fleet.run("answer", run, "format", "pdf")
    assert (refused.code, "'pdf' is none of 'text', 'markdown'" in refused.err) == (2, True)
    assert fleet.run("answer", run, "format", "markdown", "--by", "eve").code == 0
    wait_until(lambda: standing(fleet, run) == ["release"], "the approval is asked")
    listed = fleet.run("questions").out
    assert "the report will be markdown." in listed
    assert f"orchestrator approve {run} 'release'" in listed
    assert "waits for an answer since" in fleet.run("why", run, "release").out
    assert fleet.run("approve", run, "release", "--comment", "fine", "--by", "ada").code == 0
    late = fleet.run("approve", run, "release", "--reject")
    assert (late.code, "answered before, by ada at" in late.err) == (2, True)
    outputs = fleet.run("result", run, "-o", "json").json["outputs"]
    assert outputs == {"report": "outputs/approved_report/report.md", "approved": True}
    assert (fleet.folder / outputs["report"]).read_text().endswith("released by ada: fine")
    shown = fleet.run("show", run).out
    assert "count: run count_files_" in shown
    assert "of count_files, succeeded" in shown


def test_a_worker_that_is_killed_while_its_pipeline_runs_costs_nothing(fleet: Shell) -> None:
    """The parent's step is nowhere while its child runs, so whoever dies takes only what it was running."""
    fleet.write("until [ -e go ]; do sleep 0.05; done", "gate.sh")
    plan = fleet.write("""\
        steps:
          - id: sub
            tool: pipeline-executor
            parameters:
              pipeline:
                id: inner
                steps: [{id: held, tool: terminal, on_lost: retry, parameters: {command: "sh gate.sh"}}]
        outputs: {run: "{{ sub.run }}"}
    """)
    run = fleet.run("submit", plan).out.strip()

    def held() -> bool:
        below = fleet.run("runs", "--pipeline", "inner", "-o", "json").json
        return bool(below) and "running" in fleet.run("show", below[0]["run"]).out

    wait_until(held, "the child runs")
    # It may run before its parent has left.
    wait_until(lambda: "waits for the pipeline that it runs" in fleet.run("why", run, "sub").out, "the parent waits")
    fleet._workers[0].kill()
    (fleet.folder / "go").touch()
    fleet.worker("w2")
    document = fleet.run("result", run, "-o", "json").json
    assert (document["success"], document["steps"]["sub"]["retries"]) == (True, 0)


def test_where_nobody_is_the_answers_come_with_the_command(shell: Shell) -> None:
    arguments = ("--answer-defaults", "--answer", "release=approve", "-o", "result.json")
    ended = shell.run("run", EXAMPLE, *arguments)
    assert ended.code == 0, ended.said
    assert json.loads((shell.folder / "result.json").read_text())["outputs"]["report"].endswith("report.txt")
    unknown = shell.run("run", EXAMPLE, "--answer", "relase=approve")
    assert (unknown.code, "answer to 'relase': the plan has no such step" in unknown.err) == (2, True)


def test_without_a_terminal_run_says_how_to_answer(fleet: Shell) -> None:
    started = fleet.start("run", EXAMPLE)
    said = wait_until(
        lambda: re.search(r"answer with: orchestrator answer (\S+) .*\n", started.err.read_text()), "it says how"
    )
    fleet.run("cancel", said[1])
    assert started.end().code == 1


def test_on_a_terminal_the_person_is_asked(fleet: Shell, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(COMMAND), "run", str(EXAMPLE)],
        cwd=fleet.folder,
        env={**fleet.environment, "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    seen = b""

    def says(words: bytes) -> bool:
        nonlocal seen
        with suppress(OSError):  # nothing there yet, or the other side has gone
            seen += os.read(ours, 65536)
        return words in seen

    wait_until(lambda: says(b"format [text, markdown] (text): "), "the format is asked")
    os.write(ours, b"pdf\n")
    wait_until(lambda: says(b"'pdf' is none of"), "it does not fit")
    os.write(ours, b"\n")
    wait_until(lambda: says(b"action [approve, reject]: "), "the approval is asked")
    os.write(ours, b"reject\n\n")
    wait_until(lambda: says(b"none: it was not approved"), "the run has ended")
    assert process.wait(60) == 0
    os.close(ours)
