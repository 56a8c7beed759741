"""The proxy of fault tests does what it says: a fault that does not happen would prove everything."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.conftest import RedisServer, wait_until
from tests.fault_proxy import FaultProxy, Way


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.folder / "redis.sock") as proxy:
        yield proxy


@contextmanager
def client(proxy: FaultProxy, timeout: float = 0.3) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(proxy.redis_url, socket_timeout=timeout, retry=None) as made:
        yield made


def test_it_carries(proxy: FaultProxy) -> None:
    with client(proxy, 10) as through:
        through.set("large", b"x" * 3_000_000, ex=60)
        assert through.get("large") == b"x" * 3_000_000
    assert proxy.carried_bytes[Way.TO_CLIENT] > 3_000_000
    wait_until(lambda: proxy.connections == 0, "the end of the client is passed on")


def test_a_black_hole_is_silent_and_what_it_held_arrives_late(proxy: FaultProxy) -> None:
    with client(proxy) as through, client(proxy, 10) as patient:
        through.ping()
        patient.ping()
        proxy.black_hole()
        with pytest.raises(redis.TimeoutError):
            through.set("a", 1, ex=60)
        with client(proxy) as late, pytest.raises(redis.TimeoutError):
            late.ping()
        proxy.heal()
        assert patient.ping()
        wait_until(lambda: patient.get("a") == b"1", "what was held back arrives")


def test_forgotten_connections_stay_silent_and_new_ones_are_made(proxy: FaultProxy) -> None:
    with client(proxy) as old, client(proxy) as new:
        old.ping()
        proxy.black_hole()
        proxy.heal(forget=True)
        with pytest.raises(redis.TimeoutError):
            old.ping()
        assert new.ping()


def test_latency_is_of_each_way(proxy: FaultProxy) -> None:
    with client(proxy, 10) as through:
        through.ping()
        proxy.latency_seconds = 0.05
        before = time.monotonic()
        through.ping()
        assert time.monotonic() - before >= 0.1


def test_a_rate_slows(proxy: FaultProxy) -> None:
    with client(proxy, 10) as through:
        through.ping()
        proxy.bytes_per_second = 100_000
        before = time.monotonic()
        through.set("a", b"x" * 20_000, ex=60)
        assert time.monotonic() - before >= 0.2


def test_reset_and_refusal(proxy: FaultProxy) -> None:
    with client(proxy) as through, socket.create_connection(("127.0.0.1", proxy.port), 5) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            raw.recv(100)
        assert through.ping()
        proxy.refuse()
        with pytest.raises(redis.ConnectionError, match="refused"):
            through.ping()
        proxy.heal()
        assert through.ping()


def test_half_close_leaves_the_other_way_open(proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"
        proxy.half_close(Way.TO_CLIENT)
        assert raw.recv(100) == b""
        raw.sendall(b"SET half 1 EX 60\r\n")
    with client(proxy) as through:
        wait_until(lambda: through.get("half") == b"1", "what was sent after the half close arrives")


def test_corruption_flips_a_byte(proxy: FaultProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as raw:
        proxy.corrupt(Way.TO_CLIENT)
        raw.sendall(b"PING\r\n")
        spoilt = raw.recv(100)
        assert [a ^ b for a, b in zip(spoilt, b"+PONG\r\n", strict=True)].count(0) == 6
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"


def test_a_server_that_is_away_looks_like_one(tmp_path: Path) -> None:
    with FaultProxy(tmp_path / "none.sock") as proxy, client(proxy) as through, pytest.raises(redis.ConnectionError):
        through.ping()
