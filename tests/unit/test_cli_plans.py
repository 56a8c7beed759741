"""validate, plan and schema: what is said of plan files, and the exit codes."""

from __future__ import annotations

import json
import mmap
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator_client.cli import main
from orchestrator_client.loader import apart

GOOD = """\
id: good
inputs:
  path: {type: string, required: true}
steps:
  - {id: read, tool: filesystem, action: read, parameters: {path: "{{ path }}"}}
  - {id: draft, action: generate_text, parameters: {prompt: "{{ read.content }}", model: gpt-5}}
  - {id: other, tool: filesystem, action: exists, parameters: {path: x}}
  - {id: join, tool: terminal, action: execute, parameters: {command: date}, dependencies: [draft, other]}
"""

BAD = """\
id: bad
steps:
  - {id: a, tool: filesystem, action: read, parameters: {path: x}, dependencies: [missing]}
  - {id: b, tool: no-such-tool, action: read}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "bad.yml").write_text(BAD)
    (tmp_path / "notes.txt").write_text("not a plan")
    return tmp_path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_valid_file(folder: Path) -> None:
    code, out, _ = run("validate", folder / "good.yaml")
    assert code == 0
    assert out.splitlines()[-1].startswith(f"{folder / 'good.yaml'}: valid, 4 steps")


def test_every_problem_of_an_invalid_file_with_its_place(folder: Path) -> None:
    bad = folder / "sub" / "bad.yml"
    code, out, _ = run("validate", bad)
    assert code == 2
    lines = out.splitlines()
    assert any(line.startswith(f"{bad}:3:") and "missing" in line for line in lines)
    assert any(line.startswith(f"{bad}:4:") and "no-such-tool" in line for line in lines)
    assert lines[-1] == f"{bad}: invalid, {len(lines) - 1} errors"


def test_a_folder_means_all_plans_in_it(folder: Path) -> None:
    code, out, _ = run("validate", folder, "--json")
    verdicts = {Path(verdict["file"]).name: verdict for verdict in json.loads(out)}
    assert code == 2
    assert {name: verdict["valid"] for name, verdict in verdicts.items()} == {"good.yaml": True, "bad.yml": False}
    assert (verdicts["good.yaml"]["pipeline"], verdicts["good.yaml"]["steps"]) == ("good", 4)
    assert {"code", "message", "line", "column", "remedy"} <= verdicts["bad.yml"]["problems"][0].keys()


def test_a_folder_has_one_line_a_file_whatever_is_in_it(folder: Path) -> None:
    (folder / "warned.yaml").write_text(f"{GOOD}context: {{}}\n")
    (folder / "binary.yaml").write_bytes(b"\x00\xff\xfe" * 1000)
    (folder / "zero.yaml").symlink_to("/dev/zero")
    (folder / "self.yaml").symlink_to("self.yaml")
    (folder / "loop").symlink_to(folder)
    (folder / ".git").mkdir()
    (folder / ".git" / "hidden.yaml").write_text(BAD)
    os.mkfifo(folder / "pipe.yml")
    code, out, _ = run("validate", folder)
    said = [line.removeprefix(f"{folder}/") for line in out.splitlines()]
    assert code == 2
    assert [line.partition(":")[0] for line in said] == [
        *("binary.yaml", "good.yaml", "pipe.yml", "self.yaml", "sub/bad.yml", "warned.yaml", "zero.yaml", "7 files")
    ]
    assert said[1] == "good.yaml: runs"
    assert "pipe.yml: refused, not a regular file but a FIFO" in said
    assert any(line.startswith("sub/bad.yml:3:") and line.endswith("(and 1 more error)") for line in said)
    assert "warned.yaml: runs with 1 warning" in said
    assert said[-1] == "7 files: 2 run, 1 of them with warnings; 5 refused"


def test_every_problem_of_a_folder_where_asked_for(folder: Path) -> None:
    _, out, _ = run("validate", "-v", folder)
    assert f"{folder / 'sub' / 'bad.yml'}:4:" in out
    assert f"{folder / 'good.yaml'}: valid, 4 steps" in out


@pytest.mark.parametrize("command", ["validate", "plan", "submit", "run", "estimate"])
@pytest.mark.parametrize(
    ("stumble", "words"),
    [
        (lambda: time.sleep(60), "takes longer than 0.5 seconds"),
        (lambda: os._exit(1), "ends the process"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ends the process"),
        (lambda: int("oh"), "the loader stumbles over it: ValueError: invalid literal"),
        (lambda: bytearray(4 * 1024**3), "takes more than 2 GiB of memory"),
    ],
    ids=["time", "exit", "killed", "bug", "memory"],
)
def test_a_file_takes_nothing_along_that_reads_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, stumble: Callable[[], Any], words: str
) -> None:
    """The loader is told to stumble, whatever the file; what reads it says so in a line."""
    monkeypatch.setattr(apart, "load", lambda _: stumble())
    monkeypatch.setattr(apart, "SECONDS", 0.5 if "0.5" in words else 60.0)
    code, out, err = run(command, folder / "good.yaml")
    assert code == 2
    assert words in out + err
    assert "Traceback" not in out + err


def test_what_its_reader_has_is_none_of_a_files_memory(folder: Path) -> None:
    with mmap.mmap(-1, apart.MEMORY_BYTES):
        code, out, _ = run("validate", folder / "good.yaml")
    assert code == 0, out


def test_all_problems_are_shown_however_many(tmp_path: Path) -> None:
    steps = "".join(f"  - {{id: s{n}, tool: nothing-{n}, action: read}}\n" for n in range(40))
    (tmp_path / "many.yaml").write_text(f"id: many\nsteps:\n{steps}")
    _, out, _ = run("validate", tmp_path / "many.yaml")
    assert sum("many.yaml:" in line for line in out.splitlines()[:-1]) >= 40


def test_a_folder_without_plans_is_an_error(tmp_path: Path) -> None:
    code, _, err = run("validate", tmp_path)
    assert code == 2
    assert "no .yaml or .yml file" in err


@pytest.mark.parametrize("command", ["validate", "plan", "submit", "run"])
def test_a_missing_file_is_one_line_and_exit_code_2(tmp_path: Path, command: str) -> None:
    code, out, err = run(command, tmp_path / "none.yaml")
    assert code == 2
    assert "none.yaml" in out + err
    assert "Traceback" not in out + err


def test_an_invalid_plan_is_refused_before_anything_starts(folder: Path) -> None:
    for command in ("plan", "run", "submit"):
        code, out, err = run(command, folder / "sub" / "bad.yml")
        assert (code, out) == (2, "")
        assert f"{folder / 'sub' / 'bad.yml'}:3:" in err


def test_inputs_that_do_not_fit_are_refused_before_anything_starts(folder: Path) -> None:
    code, _, err = run("run", folder / "good.yaml")
    assert code == 2
    assert "input 'path' (string) is required" in err


def test_the_outline_of_a_plan(folder: Path) -> None:
    code, out, _ = run("plan", folder / "good.yaml")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "good: 4 steps in 3 levels; critical path 3 steps: read → draft → join"
    assert lines[1] == "queues: tool 3, model.openai 1"
    assert lines[2:] == [
        "level 1",
        "  read   filesystem.read  [tool]",
        "  other  filesystem.exists  [tool]",
        "level 2",
        "  draft  generate with gpt-5  [model.openai]  after read",
        "level 3",
        "  join   terminal.execute  [tool]  joins draft, other",
    ]


def test_the_outline_for_programs(folder: Path) -> None:
    code, out, _ = run("plan", folder / "good.yaml", "-o", "json")
    outline = json.loads(out)
    assert code == 0
    assert outline["levels"] == [["read", "other"], ["draft"], ["join"]]
    assert outline["critical_path"] == ["read", "draft", "join"]
    assert outline["queues"] == {"tool": 3, "model.openai": 1}
    assert [(step["id"], step["level"]) for step in outline["steps"]][-1] == ("join", 3)


def test_the_schema_is_a_json_schema() -> None:
    code, out, _ = run("schema")
    assert code == 0
    assert json.loads(out)["type"] == "object"
