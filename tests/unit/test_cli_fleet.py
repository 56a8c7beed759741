"""worker, flower and up: what they start, and what they say when they cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator_client.cli.fleet import flower_arguments

ENTRY = "from orchestrator_client.cli import main; main(prog_name='orchestrator')"


def command(*arguments: str, script: str = ENTRY) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "ORCHESTRATOR_REDIS_URL"}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (["worker"], "pydantic_settings", "worker"),
        (["up"], "pydantic_settings", "worker"),
        (["flower"], "flower", "flower"),
    ],
)
def test_a_missing_extra_is_named(tmp_path: Path, arguments: list[str], module: str, extra: str) -> None:
    """The module is hidden by the interpreter's own means: its site-packages are left out but for what is linked."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(sys.prefix).glob("lib/python3*/site-packages/*"):
        if path.name.split("-")[0] != module and path.suffix != ".pth":
            (packages / path.name).symlink_to(path)
    environment = {**os.environ, "PYTHONPATH": f"{packages}{os.pathsep}{Path(__file__).parents[2]}"}
    ended = subprocess.run(
        [sys.executable, "-S", "-c", ENTRY, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == f"error: the '{extra}' extra is not installed; pip install 'orchestrator[{extra}]'\n"


def test_a_worker_takes_the_process_over_and_is_told_of_the_fleet() -> None:
    ended = command("worker", "--redis", "unix:///nowhere/redis.sock", "--queues", "tool", "-c", "1")
    assert ended.returncode == 3
    assert "cannot reach Redis" in ended.stderr
    assert "/nowhere/redis.sock" in ended.stderr


def test_a_worker_refuses_what_is_no_url() -> None:
    ended = command("worker", "--redis", "nowhere")
    assert ended.returncode == 2
    assert "redis://host:6379/0" in ended.stderr


def test_what_takes_the_process_over_is_all_that_loads_a_client() -> None:
    heavy = {"redis", "pydantic", "orchestrator_client.client"}
    watched = f"event == 'os.exec' and print(sorted({heavy} & set(sys.modules)), flush=True)"
    script = f"import sys; sys.addaudithook(lambda event, _: {watched}); {ENTRY}"
    ended = command("worker", "--redis", "unix:///nowhere/redis.sock", "--no-supervisor", script=script)
    assert (ended.returncode, ended.stdout) == (3, "[]\n")


def test_flower_listens_to_this_machine_only() -> None:
    arguments = flower_arguments(5555)
    assert arguments[:2] == ["-m", "orchestrator_client.flower"]
    assert "--address=127.0.0.1" in arguments
    assert "--port=5555" in arguments
