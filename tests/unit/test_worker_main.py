"""The worker's command line, and what it makes of it for Celery."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator_worker.__main__ import NO_URL, PROCESSES, arguments, celery_options, main


def for_celery(*argv: str) -> dict[str, Any]:
    """Celery's options by name."""
    return celery_options(arguments(list(argv)))


@pytest.mark.parametrize(
    ("argv", "queues", "pool", "concurrency"),
    [
        ([], "tool,control", PROCESSES, os.cpu_count()),
        (["--queues", "tool"], "tool", PROCESSES, os.cpu_count()),
        (["--queues", "model.openai"], "model.openai,model.auto", "threads", 64),
        (["--queues", "model.openai, model.google ,"], "model.openai,model.google,model.auto", "threads", 64),
        (["--queues", "model.openai,tool"], "model.openai,tool,model.auto", PROCESSES, os.cpu_count()),
        (["--queues", "tool", "--pool", "threads"], "tool", "threads", 64),
        (["--queues", "model.openai", "--pool", "prefork", "-c", "3"], "model.openai,model.auto", PROCESSES, 3),
        (["--concurrency", "7"], "tool,control", PROCESSES, 7),
    ],
)
def test_models_get_threads_and_tools_processes(argv: list[str], queues: str, pool: str, concurrency: int) -> None:
    options = for_celery(*argv)
    assert (options["queues"], options["pool_cls"], options["concurrency"]) == (queues.split(","), pool, concurrency)


@pytest.mark.parametrize(
    ("argv", "hostname"),
    [
        (["--queues", "model.openai"], "model-openai-{pid}"),
        (["--queues", "tool,control"], "tool-{pid}"),
        (["--name", "blue"], "blue"),
    ],
)
def test_a_worker_has_a_name_of_its_own(argv: list[str], hostname: str) -> None:
    name, _, host = for_celery(*argv)["hostname"].partition("@")
    assert (name, host) == (hostname.replace("{pid}", str(os.getpid())), socket.gethostname())


def test_workers_do_not_gossip_and_log_as_loud_as_they_are_told() -> None:
    options = for_celery("--log-level", "INFO")
    assert options["loglevel"] == "INFO"
    assert options["without_gossip"]
    assert options["without_mingle"]


@pytest.mark.parametrize("argv", [["--pool", "gevent"], ["-c", "many"], ["--colour", "red"]])
def test_what_makes_no_sense_is_refused_by_name(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        arguments(argv)
    assert caught.value.code == 2
    assert argv[-1] in capsys.readouterr().err


def test_no_queue_at_all_is_refused() -> None:
    with pytest.raises(SystemExit):
        celery_options(arguments(["--queues", ","]))


def test_without_its_store_a_worker_says_so_and_does_not_start(tmp_path: Path) -> None:
    environment = {**os.environ, "ORCHESTRATOR_REDIS_URL": f"unix://{tmp_path}/nobody.sock"}
    command = [sys.executable, "-m", "orchestrator_worker"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("cannot reach Redis: ")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("url", ["nowhere", "http://host:6379", "redis://host:port/0", "redis://host/0?db=first"])
def test_what_is_no_url_of_a_redis_is_refused_in_one_line(url: str) -> None:
    environment = {**os.environ, "ORCHESTRATOR_REDIS_URL": url}
    command = [sys.executable, "-m", "orchestrator_worker"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"{NO_URL}\n"


def test_main_is_what_the_module_runs() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
