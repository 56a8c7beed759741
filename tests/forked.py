"""Processes of the product that are forked from one that has imported it, instead of being started from nothing.

A start costs a second or more of a core, and the tests make a thousand. A fork is as real: it has a process id, a
session, an environment, output and an exit code of its own, and dies by any signal. What it has not is a command line
and an environment that others can read in /proc, and a memory of its own size: where a test looks at those, or is about
starting, it starts a cold one.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
"""Of the forkserver: as it was before any test, whose folders must not be found in it."""

READ_AT_IMPORT = (
    "PYTHON",
    "LD_",
    "LC_",
    "LANG",
    "OTEL_",
    "PROMETHEUS_",
    "ORCHESTRATOR_METRICS_PORT",  # with it, prometheus_client has to be told of processes before it is imported
    "ORCHESTRATOR_NAMESPACE",
)
"""Beginnings of variables that a process reads once, as it starts or imports."""


def can_fork(environment: Mapping[str, str]) -> bool:
    """Whether a fork can be what a start in this environment would be."""
    read = [name for name in {*environment, *ENVIRONMENT} if name.startswith(READ_AT_IMPORT)]
    return sys.platform == "linux" and all(environment.get(name) == ENVIRONMENT.get(name) for name in read)


def fork(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, out: IO[bytes], err: IO[bytes]
) -> Forked:
    """Run Python with these arguments (`-m module …`, or a script and its own), in a session of its own."""
    order = {"arguments": list(arguments), "environment": dict(environment), "folder": str(folder)}
    return Forked(_server().ask(order, out.fileno(), err.fileno()))


class Forked:
    """A process of the forkserver, to be used as `subprocess.Popen` is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit code, once it has ended. Until this has told it, the process id is nobody else's."""
        with self._lock:
            if self.returncode is None:
                self.returncode = _server().ask(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it has not come.
        """
        if self.returncode is None:
            watched = os.pidfd_open(self.pid)
            try:
                ended, _, _ = select.select([watched], [], [], timeout)
            finally:
                os.close(watched)
            if not ended:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Process = subprocess.Popen[bytes] | Forked
"""A process, however it was started."""


class _Server:
    """The forkserver of this process, asked by one thread at a time. Its end of the socket is the only tie to it."""

    def __init__(self) -> None:
        self._asking, answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with answering:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forkserver", str(answering.fileno())],
                env=ENVIRONMENT,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[answering.fileno()],
                start_new_session=True,
            )

    def ask(self, request: object, *descriptors: int) -> int:
        """What it answers: a process id to an order, an exit code or nothing to a process id."""
        with self._lock:
            socket.send_fds(self._asking, [json.dumps(request).encode()], descriptors)
            answer = self._asking.recv(100)
        assert answer, "the forkserver is gone"
        return json.loads(answer)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._asking.close()
        self._process.wait()


@cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server
