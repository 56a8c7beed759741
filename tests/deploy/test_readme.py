"""The fleet that README.md tells how to start, line by line, on a host of its own so that its ports are free."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator_client.local import find_redis_server
from tests.conftest import wait_until
from tests.deploy.hosts import ROOT, TwoHosts, may_make_hosts

pytestmark = pytest.mark.skipif(not may_make_hosts(), reason="needs root, and a kernel that gives network namespaces")

STAYS = re.compile(r"\b(redis-server|orchestrator (worker|flower))\b")
"""Of lines whose program stays."""


def lines_of_the_readme() -> list[str]:
    section = (ROOT / "README.md").read_text().split("## A fleet")[1]
    block = section.split("```")[1]
    return [line.split("  #")[0].strip().replace("…", "sk-test") for line in block.splitlines() if line.strip()]


def test_its_lines_make_a_fleet(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "redis-server").symlink_to(find_redis_server())
    environment = {"PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])}
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with TwoHosts() as hosts:

        def done(line: str) -> subprocess.CompletedProcess[str]:
            command = hosts.data.command(*shlex.split(line))
            given = {**os.environ, **environment}
            return subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False)

        ran = []
        for line in lines_of_the_readme():
            words = shlex.split(line.removeprefix("export "))
            while words and "=" in words[0]:
                name, value = words.pop(0).split("=", 1)
                environment[name] = value
            if not words:
                continue
            if STAYS.search(line):
                hosts.data.start(words, tmp_path, environment)
            else:
                ran.append(done(shlex.join(words)))
            if words[0] == "redis-server":
                wait_until(lambda: done("orchestrator runs").returncode == 0, "redis answers")
        [submitted] = ran
        assert submitted.returncode == 0, submitted.stderr
        result = done(f"orchestrator result {submitted.stdout.strip()} --timeout 120")
        assert result.returncode == 0, result.stdout + result.stderr
        assert "items: 16" in result.stdout
        page = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:5555/healthcheck').read().decode())"
        wait_until(lambda: done(shlex.join([sys.executable, "-c", page])).stdout.strip() == "OK", "Flower answers")
