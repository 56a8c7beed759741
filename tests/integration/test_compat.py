"""Pipeline files of the predecessor that ask no model: each does what its author expects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import Shell
from tests.integration.predecessor import Predecessor, needs_files, status_of

pytestmark = needs_files


@pytest.fixture
def files(shell: Shell) -> Predecessor:
    return Predecessor(shell)


def test_02_parallel_fanout_fanin(files: Predecessor) -> None:
    document = files.run("02_parallel_fanout_fanin.yaml")
    assert files.text("output/joined.txt") == "alpha-value+beta-value"
    assert document["execution_levels"] == [["alpha", "beta"], ["read_alpha", "read_beta"], ["join"]]
    assert document["success"]
    assert Path(document["outputs"]["joined"]) == Path("output/joined.txt")
    assert document["execution_order"][-1] == "join"


@pytest.mark.parametrize(
    ("content", "branch", "skipped"),
    [
        ("a text of more than ten letters", "long", ["handle_short", "mark_short"]),
        ("brief", "short", ["check_size", "handle_long"]),
    ],
)
def test_04_conditions(files: Predecessor, content: str, branch: str, skipped: list[str]) -> None:
    document = files.run("04_conditions.yaml", "-i", f"content={content}")
    assert files.names("output/*") == {f"{branch}.txt", "branch.txt"}
    assert files.text(f"output/{branch}.txt") == f"{branch}: {content}"
    assert document["outputs"] == {"taken_branch": branch}
    assert [step for step in document["steps"] if status_of(document, step) == "skipped"] == skipped
    assert document["success"]


def test_06_failure_policy(files: Predecessor) -> None:
    document = files.run("06_failure_policy.yaml", code=1)
    flaky = document["steps"]["flaky"]
    assert (flaky["success"], flaky["timed_out"], flaky["retries"]) == (False, True, 1)
    assert flaky["error_type"] == "StepTimeout"
    assert flaky["duration"] >= 1.0
    assert files.text("output/after.txt") == "the run continued"
    assert status_of(document, "after") == "completed"
    assert document["success"] is False


def test_mcp_memory_workflow(files: Predecessor) -> None:
    document = files.run("mcp_memory_workflow.yaml", "-i", "user_name=Ada Byron")
    keys = ["progress", "task_steps", "user_profile"]
    folder = "examples/outputs/mcp_memory_workflow"
    export = json.loads(files.text(f"{folder}/ada-byron_memory_export.json"))
    assert (export["namespace"], sorted(export["keys"]), export["metadata"]["user"]) == (
        "conversation",
        keys,
        "Ada Byron",
    )
    summary = files.text(f"{folder}/ada-byron_context_summary.md")
    assert [f"- **{key}**: Stored in memory" in summary for key in keys] == [True] * 3
    assert document["outputs"]["user_profile_found"] is True
    profile = document["steps"]["check_expiration"]["value"]["result"]["value"]
    assert (profile["name"], profile["task"]) == ("Ada Byron", "Analyze sales data and create visualizations")
    assert status_of(document, "cleanup_memory") == "skipped"
    assert document["success"]
