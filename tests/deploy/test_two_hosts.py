"""A fleet on two hosts, started by the commands of compose.yaml; the cable between them is pulled for half a minute."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.deploy.hosts import Services, TwoHosts, may_make_hosts, program

pytestmark = pytest.mark.skipif(not may_make_hosts(), reason="needs root, and a kernel that gives network namespaces")

CUT_SECONDS = 30.0

LEDGER = '''
import os, time

def work(ledger, step, seconds):
    """Leave a line before and after: what is done twice shows. The last one ends when the cable was pulled."""
    for moment in ("begin", "end"):
        with open(ledger, "ab", buffering=0) as file:
            file.write(f"{moment} {step}\\n".encode())
        if moment == "begin":
            time.sleep(seconds)
        while str(step) == "11" and not os.path.exists(f"{ledger}.cut"):
            time.sleep(0.1)
    return step
'''

PLAN = """
id: two_hosts
parameters:
  ledger: {type: string, required: true}
steps:
  - id: each
    for_each: "{{ range(12) | list }}"
    max_parallel: 3
    steps:
      - id: done
        tool: "python:ledger:work"
        parameters: {ledger: "{{ ledger }}", step: "{{ item }}", seconds: 1.5}
  - id: words
    dependencies: [each]
    action: generate
    parameters: {model: gpt-5-mini, prompt: "say: both hosts"}
outputs:
  words: "{{ words.result }}"
"""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Redis and Flower on one host, the workers on the other, and the models' server beside them."""
    with TwoHosts() as hosts:
        fleet = Services(hosts, tmp_path)
        for name, text in {
            "redis_password": "p@ss/word",
            "fleet_key": "3f" * 32,
            "flower_auth": "admin:for-a-test",
            "openai_api_key": "sk-test",
            "anthropic_api_key": "",
            "google_api_key": "",
        }.items():
            fleet.secret(name, f"{text}\n")
        (tmp_path / "project" / "ledger.py").write_text(LEDGER)
        (tmp_path / "project" / "plan.yaml").write_text(PLAN)
        models = ["serve", "--host", "127.0.0.1", "--port", "8080", "--response-style", "echo"]
        hosts.work.start([program("llmock"), *models], tmp_path, {})
        fleet.start("redis", hosts.data)
        fleet.redis_answers()
        fleet.start("flower", hosts.data)
        fleet.start("tool", hosts.work)
        fleet.start("model", hosts.work, OPENAI_BASE_URL="http://127.0.0.1:8080/v1")
        yield fleet


def test_a_run_goes_on_when_the_cable_is_put_in_again(services: Services, tmp_path: Path) -> None:
    ledger, data = tmp_path / "ledger.txt", services.hosts.data
    run = services.client(data, "submit", "plan.yaml", "-i", f"ledger={ledger}")
    wait_until(lambda: ledger.exists() and "end" in ledger.read_text(), "a step has ended", seconds=60)

    data.connect(False)
    Path(f"{ledger}.cut").touch()
    time.sleep(CUT_SECONDS)  # the fault itself
    during = json.loads(services.client(data, "show", run, "-o", "json"))
    data.connect(True)

    outcome = json.loads(services.client(data, "result", run, "--timeout", "120", "-o", "json"))
    assert during["status"] == "running"
    assert "both hosts" in outcome["outputs"]["words"]
    lines = Counter(ledger.read_text().split("\n"))
    assert {line: count for line, count in lines.items() if line and count != 1} == {}
    assert len(lines) == 1 + 2 * 12
    wait_until(lambda: services.status(data, "http://127.0.0.1:5555/runs") == 401, "Flower asks who it is")
    assert services.status(data, "http://127.0.0.1:5555/runs", "admin:for-a-test") == 200
