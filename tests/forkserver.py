"""The forkserver: it has imported what workers and commands import, and forks them ready to go.

Of what is read while modules are imported, a fork has what this process found; of all else, what it was asked to have.
It answers one socket, has one thread, and ends with whoever holds the other end. Its forks do not.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

REQUEST_BYTES = 1 << 17

UNREADY = (
    "__main__",
    "orchestrator_client.flower",
    "orchestrator_worker.app",
    "orchestrator_worker.process.life",
    "orchestrator_worker.tasks",
)
"""Of the product: what another process imports, or what reads its environment."""

LIBRARIES = (
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.thread",
    "celery.worker.components",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "rich.live",
    "rich.table",
    "rich.tree",
)
"""What the product's processes load behind the product's own imports."""

SDKS = {
    "anthropic": ("anthropic.resources.messages",),
    "google": ("google.auth.aio.credentials", "google.genai.live"),
    "": ("openai.resources.chat.chat", "openai.resources.responses.responses"),
}
"""Providers, and what workers of their queues import before they take anything; all others speak as OpenAI does."""


@dataclass(frozen=True)
class Order:
    """A process to be: Python's arguments, and what surrounds it."""

    arguments: Sequence[str]
    """`-m`, a module and its arguments; or the path of a script, and its own."""
    environment: dict[str, str]
    folder: str

    @property
    def sdks(self) -> Iterator[str]:
        """Modules of the providers whose queues it serves."""
        queues = [queue for word in self.arguments for queue in word.split(",") if queue.startswith("model.")]
        for provider in {queue.removeprefix("model.") for queue in queues}:
            yield from SDKS.get(provider, SDKS[""])

    def surround(self, out: int, err: int) -> None:
        """Make this process the one that was ordered, in a session of its own."""
        os.setsid()
        for theirs, ours in ((out, 1), (err, 2)):
            os.dup2(theirs, ours)
            os.close(theirs)
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        time.tzset()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def run(self) -> None:
        """Run it to its end, as Python itself would from here."""
        match self.arguments:
            case "-m", module, *rest:
                sys.path[0], sys.argv = self.folder, [module, *rest]
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            case script, *rest:
                sys.path[0], sys.argv = os.path.dirname(script), [script, *rest]
                runpy.run_path(script, run_name="__main__")


def get_ready() -> None:
    """Import all that is the same for every process."""
    for name in (*LIBRARIES, *_product()):
        importlib.import_module(name)
    from orchestrator_worker.settings import settings

    assert "orchestrator_worker.app" not in sys.modules, "it has an environment's settings"
    assert settings.cache_info().currsize == 0


def _product() -> Iterator[str]:
    for package in ("orchestrator_client", "orchestrator_worker"):
        for module in pkgutil.walk_packages([package], f"{package}."):
            if not module.name.startswith(UNREADY) and not module.name.endswith(UNREADY):
                yield module.name


def serve(asked: socket.socket) -> Order:
    """Answer until nobody can ask any more; a fork returns with its order."""
    while True:
        request, outputs, _, _ = socket.recv_fds(asked, REQUEST_BYTES, 2)
        if not request:
            sys.exit()
        answer: Any = json.loads(request)
        if isinstance(answer, int):
            asked.send(json.dumps(_exit_code(answer)).encode())
            continue
        order = Order(**answer)
        for name in order.sdks:
            importlib.import_module(name)
        pid, ready = _fork()
        if pid == 0:
            asked.close()
            order.surround(*outputs)
            os.close(ready)
            return order
        for descriptor in outputs:
            os.close(descriptor)
        os.read(ready, 1)  # ends when the fork closes its side, having surrounded itself
        os.close(ready)
        asked.send(json.dumps(pid).encode())


def _fork() -> tuple[int, int]:
    """The fork, and the end of a pipe to it."""
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    reading, writing = os.pipe()
    pid = os.fork()
    kept, other = (writing, reading) if pid == 0 else (reading, writing)
    os.close(other)
    return pid, kept


def _exit_code(pid: int) -> int | None:
    """Of a fork that has ended, which is forgotten by it; less than 0: the signal that has killed it."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    get_ready()
    serve(socket.socket(fileno=int(sys.argv[1]))).run()
