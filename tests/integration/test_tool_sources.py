"""Tools of every source in a run: what they leave, how they fail, and what is seen of them while they work."""

from __future__ import annotations

from pathlib import Path

from orchestrator_client.contract.event import EventKind
from orchestrator_client.loader import loads
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet, start_worker

PLAN = """
id: sources
steps:
  - id: write
    tool: "langchain:langchain_community.tools:WriteFileTool"
    parameters: {file_path: note.txt, text: "grün"}
  - id: read
    tool: "langchain:langchain_community.tools:ReadFileTool"
    parameters: {file_path: note.txt, error_pattern: "^Error: "}
    dependencies: [write]
  - id: leave
    tool: "python:tests.conformance.tools.function_tools:leave"
    parameters: {size: "{{ read.result | length }}"}
    dependencies: [read]
  - id: tell
    tool: "python:tests.conformance.tools.function_tools:tell"
    parameters: {times: 3}
  - id: report
    tool: "python:tests.conformance.tools.function_tools:report"
    parameters: {reason: "no stock"}
    on_failure: continue
  - id: missing
    tool: "langchain:langchain_community.tools:ReadFileTool"
    parameters: {file_path: nothing.txt, error_pattern: "^Error: "}
    on_failure: continue
outputs:
  text: "{{ read.result }}"
  file: "{{ leave.artifacts[0].path }}"
  told: "{{ tell.result }}"
"""


def test_a_run_uses_tools_of_several_sources(fleet: InProcessFleet) -> None:
    run = fleet.submit(loads(PLAN).plan)
    document = fleet.finish(run)
    assert document.outputs == {"text": "grün", "file": "left.bin", "told": 3}
    failed = {step.id: step.error for step in document.steps.values() if step.error}
    assert failed.keys() == {"report", "missing"}
    assert failed["report"] == "no stock"
    assert "Error: no such file or directory" in failed["missing"]


def test_progress_is_an_event_while_the_tool_works(redis_server: RedisServer, tmp_path: Path) -> None:
    """The tool waits until the test has seen its progress, so that the event cannot be one of afterwards."""
    plan = loads(
        f"""
        id: progress
        steps:
          - id: slow
            tool: "python:tests.functions:report_and_wait"
            parameters: {{path: "{tmp_path / "seen"}"}}
        """
    ).plan
    fleet = InProcessFleet.on(redis_server.url, tmp_path)
    worker = start_worker(redis_server.url, tmp_path, "w", "-c", "1")
    try:
        run = fleet.client.submit(plan)
        kinds = []
        for event in run.stream():
            kinds.append(event.kind)
            if event.kind is EventKind.STEP_PROGRESS:
                assert event.instance == "slow"
                assert event.data == {"fraction": 0.5, "message": "waiting to be seen"}
                (tmp_path / "seen").touch()
        assert kinds.index(EventKind.STEP_STARTED) < kinds.index(EventKind.STEP_PROGRESS)
        assert kinds.index(EventKind.STEP_PROGRESS) < kinds.index(EventKind.STEP_SUCCEEDED)
    finally:
        worker.kill()
        fleet.close()
