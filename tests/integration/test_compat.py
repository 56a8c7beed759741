"""Pipeline files of the predecessor, unchanged: each does what its author expects.

The files are not part of this repository. Where a checkout has none beside it, there is nothing to test.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import ROOT, Shell

FILES = ROOT.parent / "shared" / "compat"

pytestmark = pytest.mark.skipif(not FILES.is_dir(), reason="no pipeline files of the predecessor beside this checkout")


@pytest.fixture
def compat(shell: Shell) -> Shell:
    """The command line in a copy of the files, which may be read-only where they are."""
    shell.folder = shell.folder / "compat"
    shutil.copytree(FILES, shell.folder, copy_function=shutil.copyfile)
    shell.folder.chmod(0o755)
    return shell


def document_of(shell: Shell, file: str, code: int) -> dict[str, Any]:
    """Run a file, which must validate and end with this exit code."""
    validated = shell.run("validate", file)
    assert validated.code == 0, validated.said
    ended = shell.run("run", file, "-o", "result.json")
    assert ended.code == code, ended.said
    document: dict[str, Any] = json.loads((shell.folder / "result.json").read_text())
    return document


def text(path: Path) -> str:
    return path.read_text()


def test_02_parallel_fanout_fanin(compat: Shell) -> None:
    document = document_of(compat, "02_parallel_fanout_fanin.yaml", 0)
    assert text(compat.folder / "output" / "joined.txt") == "alpha-value+beta-value"
    assert document["execution_levels"] == [["alpha", "beta"], ["read_alpha", "read_beta"], ["join"]]
    assert document["success"]
    assert Path(document["outputs"]["joined"]) == Path("output/joined.txt")
    assert document["execution_order"][-1] == "join"


def test_06_failure_policy(compat: Shell) -> None:
    document = document_of(compat, "06_failure_policy.yaml", 1)
    flaky = document["steps"]["flaky"]
    assert (flaky["success"], flaky["timed_out"], flaky["retries"]) == (False, True, 1)
    assert flaky["error_type"] == "StepTimeout"
    assert 1.0 <= flaky["duration"] < 5.0
    assert text(compat.folder / "output" / "after.txt") == "the run continued"
    assert document["steps"]["after"]["status"] == "completed"
    assert document["success"] is False
