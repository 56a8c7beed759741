"""A fleet that stands for several tests: a Redis of its own, and programs on it that end with it, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import redis

from orchestrator_client.client import Client
from tests.conftest import RedisServer, assert_keys_have_ttl
from tests.fleet import WorkerProcess, start_worker

CHECKOUT = Path(__file__).parent.parent


class StandingFleet:
    """A Redis, a client, and the workers and other programs that a module's tests share."""

    def __init__(self, folder: Path, append_only: bool = False) -> None:
        self.folder = folder
        self.server = RedisServer(folder, append_only).start()
        self.url = self.server.url
        self.redis: Any = redis.Redis.from_url(self.url)
        self.client = Client(self.url)
        self._programs: list[WorkerProcess] = []

    def start_worker(self, name: str, *options: str, **settings: Any) -> WorkerProcess:
        """Start one of our workers; its log is `<name>.log` in the folder."""
        return self._keep(start_worker(self.url, self.folder, name, *options, **settings))

    def start_program(self, name: str, *arguments: str, **environment: str) -> WorkerProcess:
        """Start another Python program, such as Flower or somebody else's worker."""
        log = self.folder / f"{name}.log"
        command = [sys.executable, *arguments]
        variables = {**os.environ, "PYTHONPATH": str(CHECKOUT), "ORCHESTRATOR_REDIS_URL": self.url, **environment}
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, env=variables, stdout=output, stderr=output, start_new_session=True, cwd=self.folder
            )
        return self._keep(WorkerProcess(process, log))

    def ledger(self) -> list[str]:
        """What the steps themselves wrote by `tests.functions:mark`, in order."""
        path = self.folder / "ledger"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Kill all programs, then look whether any key of ours would stay for ever."""
        for program in self._programs:
            _kill_session(program.process)
        self.client.close()
        try:
            if kind is None:
                assert_keys_have_ttl(self.redis)
        finally:
            self.redis.close()
            self.server.kill()

    def _keep(self, program: WorkerProcess) -> WorkerProcess:
        self._programs.append(program)
        return program


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a program and all that it started; one that has ended already is only waited for."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
