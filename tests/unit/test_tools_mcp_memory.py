"""The shared memory: results, lifetimes, and that steps which write at the same time lose nothing."""

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ParametersInvalid, StepError, ToolFailed
from orchestrator_worker.tools import mcp_memory
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke

WRITER = """
import sys
from pathlib import Path
from orchestrator_worker.tools import mcp_memory
from orchestrator_worker.tools.base import ToolContext
from orchestrator_worker.tools.registry import invoke
mcp_memory.LOCK_SECONDS = 60.0
folder, name = sys.argv[1:]
context = ToolContext(run="r", instance=name, attempt=1, folder=Path(folder))
for number in range(20):
    invoke("mcp-memory.store", {"key": f"{name}-{number}", "value": number}, context)
"""


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(run="r", instance="s", attempt=1, folder=tmp_path)


def do(context: ToolContext, uses: str, **parameters: object) -> dict[str, object]:
    result = invoke(f"mcp-memory.{uses}", parameters, context)
    assert isinstance(result, ToolResult)
    assert result.success
    return result.output


def file_of(context: ToolContext, namespace: str) -> Path:
    return context.folder / ".memory" / f"{namespace}.json"


def test_what_is_stored_is_found_listed_and_forgotten(context):
    assert do(context, "store", namespace="talk", key="b", value={"n": [1]}, ttl=7200) == {
        "namespace": "talk",
        "key": "b",
        "stored": True,
        "ttl": 7200,
    }
    do(context, "store", namespace="talk", key="a", value=None)
    assert do(context, "list", namespace="talk") == {"namespace": "talk", "keys": ["a", "b"], "count": 2}
    found = do(context, "retrieve", namespace="talk", key="b")
    assert (found["value"], found["found"]) == ({"n": [1]}, True)
    assert found["metadata"]["stored_at"] < found["metadata"]["expires_at"]
    assert do(context, "delete", namespace="talk", key="b") == {"namespace": "talk", "key": "b", "deleted": True}
    assert do(context, "delete", namespace="talk", key="b")["deleted"] is False
    assert do(context, "clear", namespace="talk") == {"namespace": "talk", "cleared": 1}
    assert do(context, "list", namespace="talk")["keys"] == []


def test_what_is_not_there_is_no_failure(context):
    assert do(context, "retrieve", key="x") == {
        "namespace": "default",
        "key": "x",
        "value": None,
        "found": False,
        "metadata": None,
    }
    assert do(context, "list")["count"] == 0
    assert not (context.folder / ".memory").exists()


def test_a_null_that_was_stored_is_found(context):
    do(context, "store", key="x", value=None)
    assert do(context, "retrieve", key="x")["found"] is True


def test_a_namespace_is_its_own(context):
    do(context, "store", namespace="a/../b", key="x", value=1)
    assert do(context, "list", namespace="b")["keys"] == []
    assert do(context, "list", namespace="a/../b")["keys"] == ["x"]
    assert {path.parent for path in context.folder.rglob("*.json")} == {context.folder / ".memory"}


def test_a_value_whose_time_is_up_is_gone_and_is_dropped_by_the_next_write(context):
    do(context, "store", key="short", value=1, ttl=3600)
    do(context, "store", key="ever", value=2, ttl=0)
    entries = json.loads(file_of(context, "default").read_text())
    entries["short"]["expires_at"] -= 3600
    file_of(context, "default").write_text(json.dumps(entries))
    assert do(context, "retrieve", key="short")["found"] is False
    assert do(context, "list")["keys"] == ["ever"]
    do(context, "store", key="new", value=3)
    assert json.loads(file_of(context, "default").read_text()).keys() == {"ever", "new"}


def test_the_parameter_wins_over_the_action_of_the_step(context):
    do(context, "store", action="Store", key="x", value=1)
    assert do(context, "store", action="list", key="ignored")["keys"] == ["x"]
    assert do(context, "list", action="execute")["keys"] == ["x"]
    assert do(context, "list", action="retrieve", key="x")["value"] == 1


@pytest.mark.parametrize(
    ("action", "parameters", "message"),
    [
        ("store", {"value": 1}, "parameter 'key' is required"),
        ("list", {"action": "store"}, "parameter 'key' is required"),
        ("list", {"action": "forget"}, "'action' was 'forget'; it is one of store, retrieve, list, clear, delete"),
        ("list", {"namespace": ""}, "parameter 'namespace'"),
        ("list", {"namespace": "n" * 65}, "parameter 'namespace'"),
        ("store", {"key": "x", "ttl": -1}, "parameter 'ttl' was -1"),
        ("store", {"key": "x", "value": float("nan")}, "neither as text nor as JSON"),
    ],
)
def test_what_cannot_be_done_is_refused(context, action, parameters, message):
    with pytest.raises(ParametersInvalid, match=message):
        do(context, action, **parameters)


@pytest.mark.parametrize("content", ["not json", "[1]", '{"a": 1}'])
def test_a_file_of_somebody_else_is_not_overwritten(context, content):
    (context.folder / ".memory").mkdir()
    file_of(context, "default").write_text(content)
    for action in ("list", "store"):
        with pytest.raises(ToolFailed, match="holds no memory") as refused:
            do(context, action, key="x")
        assert not refused.value.retryable
    assert file_of(context, "default").read_text() == content


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    context = ToolContext(run="r", instance="s", attempt=1, folder=tmp_path / "run")
    context.folder.mkdir()
    (context.folder / ".memory").symlink_to(tmp_path)
    with pytest.raises(StepError, match="outside the run's working folder"):
        do(context, "store", key="x", value=1)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_steps_that_write_at_the_same_time_lose_nothing(context):
    command = [sys.executable, "-c", WRITER, str(context.folder)]
    writers = [subprocess.Popen([*command, name]) for name in ("a", "b", "c")]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert do(context, "list")["count"] == 60


def test_a_step_that_never_lets_go_is_named(context, monkeypatch):
    do(context, "store", key="x", value=1)
    monkeypatch.setattr(mcp_memory, "LOCK_SECONDS", 0.05)
    with open(context.folder / ".memory" / "default.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ToolFailed, match=r"another step held \.memory/default\.lock for 0\.05 s"):
            do(context, "store", key="y", value=2)
        assert do(context, "retrieve", key="x")["found"] is True
