"""What a worker has loaded by the time it runs a step: no more than steps of its kind need."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator_client.client import Client
from orchestrator_client.contract.plan import Plan
from tests.conftest import RedisServer
from tests.fleet import python_step, start_worker

OF_OTHERS = (
    "celery.bin.base",
    "click_repl",
    "prompt_toolkit",
    "pygments",
    "rich",
    "ruamel.yaml",
    "xml.etree.ElementTree",
    "openai",
    "anthropic",
    "google.genai",
    "mcp",
    "langchain_core",
    "opentelemetry.sdk.trace",
    "prometheus_client",
)
"""What Celery's command line brings, what reads plan files, and what nobody has configured."""


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_loads_nothing_that_its_steps_do_not_need(
    redis_server: RedisServer, tmp_path: Path, pool: str
) -> None:
    worker = start_worker(redis_server.url, tmp_path, "w", "-c", "1", "--pool", pool, cold=True)
    try:
        with Client(redis_server.url) as client:
            plan = Plan(id="loaded", steps=(python_step("s", "tests.functions:loaded", "celery.app", *OF_OTHERS),))
            assert client.submit(plan).result(60).steps["s"].value["result"] == ["celery.app"]
    finally:
        worker.kill()
