"""Logs as lines of JSON: each says which attempt it is about, and none has a secret in it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.logs import JsonFormatter, about
from orchestrator_client.contract.plan import OnFailure, Plan
from tests.command_line import COMMAND
from tests.fleet import python_step
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("logs")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A run, and what its worker logged, from the first line that it wrote as JSON."""
    with StandingFleet(tmp_path_factory.mktemp("logs")) as fleet:
        environment = {"ORCHESTRATOR_LOG_FORMAT": "json", "ORCHESTRATOR_SECRET_TOKEN": "canary-secret"}
        options = ("-c", "1", "--log-level", "INFO")
        worker = fleet.start_program("logs", "-m", "orchestrator_worker", *options, **environment)
        says = python_step("says", "tests.functions:say", "secret://TOKEN", on_failure=OnFailure.CONTINUE)
        run = fleet.client.submit(Plan(id="logged", steps=(says,))).result(timeout=60).execution_id
        worker.stop()
        lines = worker.log.read_text().splitlines()
        yield run, [json.loads(line) for line in lines if line.startswith("{")]


def test_what_a_step_logs_says_which_attempt_it_is_about(logged: tuple[str, list[dict[str, Any]]]) -> None:
    run, lines = logged
    (said,) = (line for line in lines if line["logger"] == "tests.functions" and line["level"] == "WARNING")
    assert (said["run"], said["step"], said["attempt"]) == (run, "says", 1)
    (failed,) = (line for line in lines if line["logger"] == "tests.functions" and line["level"] == "ERROR")
    assert "ZeroDivisionError" in failed["error"]


def test_secrets_are_hidden_in_messages_and_tracebacks(logged: tuple[str, list[dict[str, Any]]]) -> None:
    _, lines = logged
    assert "canary-secret" not in json.dumps(lines)


def test_a_line_about_nothing_names_no_run() -> None:
    record = logging.LogRecord("a.b", logging.INFO, __file__, 1, "%s of %s\nlines", ("one", "two"), None)
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == "one of two\nlines"
    assert line["time"].endswith("+00:00")
    assert "run" not in line
    with about("r", "s", 2):
        assert json.loads(JsonFormatter().format(record))["attempt"] == 2


def test_another_format_is_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "ORCHESTRATOR_LOG_FORMAT": "xml"}
    told = subprocess.run([COMMAND, "runs"], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert told.returncode == 2
    assert "write text or json" in told.stderr
