"""The page on errors names every code and every error, in the words of their definitions."""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator_client.cli import main
from orchestrator_client.cli.faults import ExitCode
from orchestrator_client.contract import errors
from orchestrator_client.contract.errors import OrchestratorError, PlanInvalid
from orchestrator_client.loader import codes, load

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")


def words_of_codes() -> dict[str, str]:
    """Code -> what its definition says of it."""
    body = next(node for node in ast.parse(inspect.getsource(codes)).body if isinstance(node, ast.ClassDef)).body
    found = {}
    for member, words in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(words, ast.Expr):
            found[ast.literal_eval(member.value)] = " ".join(ast.literal_eval(words.value).split())
    return found


def test_the_table_is_that_of_the_codes() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    named = {row[0].strip("`"): row[1] for row in rows if row[0].strip("`") in set(codes.Code)}
    assert words_of_codes().keys() == set(codes.Code)
    assert named == words_of_codes()


def test_every_error_and_exit_code_is_named() -> None:
    raised = [
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, OrchestratorError)
    ]
    assert [name for name in raised if f"`{name}`" not in PAGE] == []
    assert [code for code in ExitCode if f"\n| {code} |" not in PAGE] == []


def test_python_and_the_command_line_tell_the_same(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("nmae: x\nsteps:\n- {id: a, tool: filesystm, timeout: -1}\n")
    with pytest.raises(PlanInvalid) as caught:
        load(file)
    (verdict,) = json.loads(CliRunner().invoke(main, ["validate", str(file), "--json"]).stdout)
    assert [problem.as_dict() | {"file": str(file)} for problem in caught.value.problems] == verdict["problems"]
    assert verdict["problems"][0] == {
        "code": "unknown-key",
        "file": str(file),
        "line": 1,
        "column": 1,
        "step": "",
        "message": "unknown key 'nmae'",
        "remedy": "did you mean 'name'?",
        "warning": False,
    }
