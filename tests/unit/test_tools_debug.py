"""The debug tool: what it was given comes back, and stands in the log as one line."""

import logging
from pathlib import Path

from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.debug import SHOWN_CHARACTERS
from orchestrator_worker.tools.registry import invoke

CONTEXT = ToolContext(run="run_1", instance="look", attempt=1, folder=Path("/"))


def log(**parameters: object) -> ToolResult:
    result = invoke("debug.log", parameters, CONTEXT)
    assert isinstance(result, ToolResult)
    return result


def test_message_and_data_come_back_and_are_logged(caplog):
    caplog.set_level(logging.INFO, "orchestrator_worker.tools.debug")
    assert log(message="got", data={"n": [1, "é"]}).output == {"message": "got", "data": {"n": [1, "é"]}}
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, 'run run_1, step look: got {"n": [1, "é"]}')
    ]


def test_a_message_may_be_anything_and_data_may_be_left_out(caplog):
    caplog.set_level(logging.INFO)
    assert log(message=3).output == {"message": 3, "data": None}
    assert caplog.messages == ["run run_1, step look: 3"]


def test_a_message_cannot_forge_a_record_nor_flood_the_log(caplog):
    caplog.set_level(logging.INFO)
    log(message="a\nERROR forged\x1b[2J" + "x" * 10_000)
    assert r"a\nERROR forged\x1b[2J" in caplog.messages[0]
    assert len(caplog.messages[0]) < SHOWN_CHARACTERS + 100
