"""`make audit`: what an installation brings with it, and words where nobody can say what is known against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[2] / "deploy" / "audit.py"
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there, so that no advisory service is reached."""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """How the program ended, and its folder."""
    folder = tmp_path_factory.mktemp("audit")
    environment = {**os.environ, "HTTPS_PROXY": NOWHERE, "https_proxy": NOWHERE, "NO_PROXY": "", "no_proxy": ""}
    ended = subprocess.run(
        [sys.executable, str(AUDIT)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return ended, folder


def test_without_an_advisory_service_it_says_that_nothing_was_judged(
    ended: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    assert ended[0].returncode == 3
    assert "not audited: the advisory service cannot be asked: " in ended[0].stderr
    assert "Traceback" not in ended[0].stderr


def test_the_bill_has_what_users_install_and_nothing_else(
    ended: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    bill = json.loads((ended[1] / "dist" / "sbom.cdx.json").read_text())
    found = {component["name"]: component["version"] for component in bill["components"]}
    assert {name: found[name] for name in ("celery", "redis", "amqp")} == {
        name: version(name) for name in ("celery", "redis", "amqp")
    }
    assert found.keys() & {"pytest", "ruff", "mypy", "hypothesis", "orchestrator"} == set()
    assert bill["metadata"]["component"]["version"] == version("orchestrator")


def test_every_package_of_the_bill_is_needed_by_one_that_is_in_it(
    ended: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    bill = json.loads((ended[1] / "dist" / "sbom.cdx.json").read_text())
    needed = {reference for entry in bill["dependencies"] for reference in entry["dependsOn"]}
    assert needed == {component["bom-ref"] for component in bill["components"]}
    assert {entry["ref"] for entry in bill["dependencies"]} == needed | {bill["metadata"]["component"]["bom-ref"]}
