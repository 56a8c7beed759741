"""Hosts that share a cable: network namespaces, in which the services of compose.yaml run as plain processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from orchestrator_client.local import find_redis_server
from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]

STOP_SECONDS = 30.0


def may_make_hosts() -> bool:
    """Whether this process may make network namespaces: root on a Linux that has `ip`, outside of most containers."""
    if os.geteuid() or not shutil.which("ip"):
        return False
    name = f"orc-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    if made:
        _ip("netns", "del", name)
    return made


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass
class Host:
    """One network namespace, with an end of the cable."""

    name: str
    address: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def start(self, command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command(*command),
                cwd=folder,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def connect(self, up: bool) -> None:
        """Pull this end of the cable, or put it in again: what is under way is lost, and nobody is told."""
        _ip("-n", self.name, "link", "set", "cable", "up" if up else "down")

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class TwoHosts:
    """`data` and `work`, joined by a cable. Removed with all that runs there at the end of the `with` block."""

    def __init__(self) -> None:
        prefix = f"orc-{os.getpid()}"
        self.data, self.work = Host(f"{prefix}-data", "10.213.0.1"), Host(f"{prefix}-work", "10.213.0.2")

    def __enter__(self) -> TwoHosts:
        hosts = (self.data, self.work)
        for host in hosts:
            _ip("netns", "add", host.name)
        _ip("-n", self.data.name, "link", "add", "cable", "type", "veth", "peer", "cable", "netns", self.work.name)
        for host in hosts:
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "cable")
            for device in ("lo", "cable"):
                _ip("-n", host.name, "link", "set", device, "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.data.connect(True)
        for host in (self.work, self.data):  # workers say good-bye to a Redis that is still there
            host.stop()
            _ip("netns", "del", host.name)


class Services:
    """The services of compose.yaml as processes: their commands and environments, in this machine's folders."""

    def __init__(self, hosts: TwoHosts, folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", (ROOT / "compose.yaml").read_text())
        self._services: dict[str, Any] = YAML(typ="safe").load(text)["services"]
        for name in ("secrets", "data", "memory", "project"):
            (folder / name).mkdir()

    def secret(self, name: str, text: str) -> None:
        (self.folder / "secrets" / name).write_text(text)

    def environment(self, service: str) -> dict[str, str]:
        environment = {
            name: self._here(str(value)) for name, value in self._services[service].get("environment", {}).items()
        }
        return {
            **environment,
            "ORCHESTRATOR_WORKDIR": str(self.folder / "runs" / "{run}"),
            "PYTHONPATH": os.pathsep.join([str(self.folder / "project"), str(ROOT)]),
        }

    def command(self, service: str, *arguments: str) -> list[str]:
        given = [self._here(word) for word in self._services[service]["command"]]
        return given if service == "redis" else [program("orchestrator"), *(arguments or given)]

    def start(self, service: str, host: Host, **environment: str) -> subprocess.Popen[bytes]:
        """Start one service on a host, in the project's folder."""
        return host.start(self.command(service), self.folder / "project", {**self.environment(service), **environment})

    def client(self, host: Host, *arguments: str) -> str:
        """What a command of the client prints on a host."""
        done = subprocess.run(
            host.command(*self.command("client", *arguments)),
            cwd=self.folder / "project",
            env={**os.environ, **self.environment("client")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout.strip()

    def status(self, host: Host, url: str, login: str = "") -> int:
        """The status of a page, as a browser on that host would see it."""
        command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--user", login, url]
        return int(subprocess.run(host.command(*command), capture_output=True, text=True, check=False).stdout)

    def redis_answers(self) -> None:
        wait_until(lambda: (self.folder / "memory" / "redis.conf").exists(), "redis has its configuration")
        wait_until(lambda: self._answers(), "redis answers")

    def _answers(self) -> bool:
        command = self.hosts.data.command(*self.command("client", "runs"))
        environment = {**os.environ, **self.environment("client")}
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0

    def _here(self, text: str) -> str:
        places = {
            "/run/secrets": str(self.folder / "secrets"),
            "/tmp/redis.conf": str(self.folder / "memory" / "redis.conf"),
            "/data": str(self.folder / "data"),
            "redis-server": find_redis_server(),
            "redis://redis:": f"redis://{self.hosts.data.address}:",
            "$$": "$",
        }
        for there, here in places.items():
            text = text.replace(there, here)
        return text


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
