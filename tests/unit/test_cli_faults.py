"""One clear line and an exit code for everything that goes wrong; no traceback; a quick start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator_client.cli import main
from orchestrator_client.cli.faults import FaultyGroup, exit_code_of
from orchestrator_client.contract.errors import (
    FleetFailed,
    InputsInvalid,
    OrchestratorError,
    PlanInvalid,
    Problem,
    RunConflict,
    RunFailed,
    RunNotFound,
    StoreUnavailable,
)

ENTRY = [sys.executable, "-c", "from orchestrator_client.cli import main; main(prog_name='orchestrator')"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunFailed("r", "no"), 1),
        (OrchestratorError("no"), 1),
        (PlanInvalid([Problem("c", "m", 1, 2)], "f.yaml"), 2),
        (InputsInvalid(["no"]), 2),
        (RunNotFound("r"), 2),
        (RunConflict("k", "r"), 2),
        (StoreUnavailable("no"), 3),
        (FleetFailed("no"), 3),
        (KeyError("x"), 70),
        (TimeoutError("no"), 124),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
)
def test_every_error_has_its_exit_code_and_no_traceback(error: BaseException, code: int) -> None:
    @click.group(cls=FaultyGroup)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise error

    script = CliRunner().invoke(group, ["fail"]) if not isinstance(error, BrokenPipeError) else None
    assert exit_code_of(error) == code
    if script is not None:
        assert script.exit_code == code
        assert "Traceback" not in script.stderr
        assert script.stderr.count("\n") == 1


@click.group(cls=FaultyGroup)
def odd() -> None: ...


@odd.command()
def surprise() -> None:
    raise KeyError("\x1b[2J")


def test_an_unexpected_error_says_how_to_see_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_DEBUG", raising=False)
    stderr = CliRunner().invoke(odd, ["surprise"]).stderr
    assert "unexpected error: KeyError" in stderr
    assert "ORCHESTRATOR_DEBUG=1" in stderr
    assert "\x1b" not in stderr


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DEBUG", "1")
    assert "Traceback" in CliRunner().invoke(odd, ["surprise"]).stderr


def test_a_reader_that_leaves_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([*ENTRY, "schema"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_no_stdout_at_all_is_no_traceback() -> None:
    script = f'{" ".join(map(repr, ENTRY[:1]))} -c "{ENTRY[2]}" schema >&-'
    ended = subprocess.run(["sh", "-c", script], stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_terminal_that_knows_few_characters_gets_escapes(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "id: p\nsteps:\n"
        "  - {id: a, tool: terminal, action: execute, parameters: {command: date}}\n"
        "  - {id: b, tool: terminal, action: execute, parameters: {command: date}, dependencies: [a]}\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run(
        [*ENTRY, "plan", str(tmp_path / "p.yaml")], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert r"a \u2192 b" in ended.stdout


def test_help_imports_nothing_heavy() -> None:
    """What makes a start slow is what it imports; the time itself depends on the machine."""
    script = (
        "import sys; from orchestrator_client.cli import main; main(['--help'], standalone_mode=False);"
        "print(sorted({'redis', 'celery', 'kombu', 'pydantic', 'rich', 'jinja2', 'ruamel'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout.startswith("orchestrator, version ")


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(main, [command, "--help"])
    assert shown.exit_code == 0
    assert main.commands[command].help
