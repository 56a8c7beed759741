"""What every test stands on: a real Redis of its own, no network but loopback, and no key left without a TTL."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import certifi
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from orchestrator_client.local import find_redis_server
from tests.upgrade import previous

T = TypeVar("T")


def wait_until(condition: Callable[[], T], description: str, seconds: float = 60.0) -> T:
    """Wait for a condition, and return what it returned; a failure says what did not come true."""
    deadline = time.monotonic() + seconds
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {description}")
        time.sleep(0.02)


async def until_there(file: Path) -> None:
    """Wait until a file is there, from within a coroutine."""
    async with asyncio.timeout(60):
        while not file.exists():
            await asyncio.sleep(0.01)


@dataclass
class RedisServer:
    """A redis-server on a unix socket, which a test may kill and start again."""

    folder: Path
    append_only: bool = False
    options: tuple[str, ...] = ()
    """Further ones, behind the others."""
    wrapper: tuple[str, ...] = ()
    """A command that becomes the server."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder / 'redis.sock'}?db=0"

    def start(self) -> RedisServer:
        options = [
            "--port",
            "0",
            "--unixsocket",
            str(self.folder / "redis.sock"),
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        options += ["--appendonly", "yes" if self.append_only else "no", "--appendfsync", "everysec"]
        self.process = subprocess.Popen(
            [*self.wrapper, find_redis_server(), *options, *self.options], stdout=subprocess.DEVNULL
        )
        wait_until(self._answers, "redis-server answers")
        return self

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def wait_until_written(self) -> None:
        """Wait until its append-only file has all that it has answered; with a slow disk that takes two seconds."""
        with redis.Redis.from_url(self.url) as client:
            wait_until(lambda: client.info("persistence")["aof_buffer_length"] == 0, "the append-only file is written")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture(autouse=True, scope="session")
def _patient_connections() -> Iterator[None]:
    """redis-py gives a Redis five seconds to reply, in which a busy machine may not let it."""
    made = redis.Redis.from_url
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redis.Redis, "from_url", lambda url, **options: made(url, **{"socket_timeout": 60, **options}))
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority instead of all: no test reaches whom they vouch for, and a vendor's client reads them anew,
    which takes longer than all else that most of these tests do."""
    end = "-----END CERTIFICATE-----\n"
    first, _, _ = certifi.contents().partition(end)
    bundle = tmp_path_factory.mktemp("authority") / "one.pem"
    bundle.write_text(first + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(bundle))
        yield


@pytest.fixture(scope="session")
def _redis_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(_redis_session: RedisServer) -> Iterator[RedisServer]:
    """An empty Redis. Afterwards, no key of ours may be without a TTL."""
    with redis.Redis.from_url(_redis_session.url) as client:
        client.flushall()
        yield _redis_session
        assert_keys_have_ttl(client)


def assert_keys_have_ttl(client: Any) -> None:
    """Every key lives for a time, but the broker's own: queues and bindings, and replies that came too late."""
    broker = ("_kombu", "tool", "control", "model.", "unacked", "orc:clock")
    for key in client.scan_iter(count=1000):
        name = key.decode()
        if not (re.sub(r"^ns:[^:]+:", "", name).startswith(broker) or name.endswith(".reply.celery.pidbox")):
            assert client.ttl(key) != -1, f"key without a TTL: {name}"


@pytest.fixture(scope="session", autouse=True)
def _mixed_fleet(tmp_path_factory: pytest.TempPathFactory) -> None:
    """With `MIXED_FLEET=REV`, half of the workers that tests start are of that commit."""
    if previous.is_wanted():
        tree = tmp_path_factory.mktemp("previous")
        previous.unpack(tree)
        previous.mixture.tree = tree


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for another host fails, and says for which."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not ipaddress.ip_address(address[0]).is_loopback:
            raise AssertionError(f"a test reached for {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
"""Examples are the same every time, and none fails for having been slow. `make fuzz` looks for others."""

if not os.environ.get("FUZZ_EXAMPLES"):
    # hypothesis also draws what stands in the modules that happen to be imported, which depends on the tests before.
    providers._get_local_constants = lambda: providers._local_constants
