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


PATIENCE_SECONDS = 60.0
"""For an answer that comes."""
SILENCE_SECONDS = 0.3
"""After which one that does not come is waited for no longer."""
PING, PONG = b"PING\r\n", b"+PONG\r\n"


@contextmanager
def client(proxy: FaultProxy) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(proxy.redis_url, socket_timeout=PATIENCE_SECONDS, retry=None) as made:
        yield made


def connected(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_SECONDS)


def heard(raw: socket.socket, count: int = len(PONG)) -> bytes:
    """So many bytes, in however many pieces they come."""
    found = b""
    while len(found) < count and (piece := raw.recv(count - len(found))):
        found += piece
    return found


def ping(raw: socket.socket) -> bytes:
    raw.sendall(PING)
    return heard(raw)


def assert_silent(raw: socket.socket, command: bytes = PING) -> None:
    """Nothing answers the command."""
    raw.settimeout(SILENCE_SECONDS)
    raw.sendall(command)
    with pytest.raises(TimeoutError):
        raw.recv(100)


def test_it_carries(proxy: FaultProxy) -> None:
    with client(proxy) as through:
        through.set("large", b"x" * 3_000_000, ex=60)
        assert through.get("large") == b"x" * 3_000_000
    assert proxy.carried_bytes[Way.TO_CLIENT] > 3_000_000
    wait_until(lambda: proxy.connections == 0, "the end of the client is passed on")


def test_a_black_hole_is_silent_and_what_it_held_arrives_late(proxy: FaultProxy) -> None:
    with client(proxy) as patient:
        patient.ping()
        with connected(proxy) as early:
            assert ping(early) == PONG
            proxy.black_hole()
            assert_silent(early, b"SET a 1 EX 60\r\n")
        with connected(proxy) as late:
            assert_silent(late)
        proxy.heal()
        assert patient.ping()
        wait_until(lambda: patient.get("a") == b"1", "what was held back arrives")


def test_forgotten_connections_stay_silent_and_new_ones_are_made(proxy: FaultProxy) -> None:
    with connected(proxy) as old, client(proxy) as new:
        assert ping(old) == PONG
        proxy.black_hole()
        proxy.heal(forget=True)
        assert_silent(old)
        assert new.ping()


def test_latency_is_of_each_way(proxy: FaultProxy) -> None:
    with client(proxy) as through:
        through.ping()
        proxy.latency_seconds = 0.05
        before = time.monotonic()
        through.ping()
        assert time.monotonic() - before >= 0.1


def test_a_rate_slows(proxy: FaultProxy) -> None:
    with client(proxy) as through:
        through.ping()
        proxy.bytes_per_second = 100_000
        before = time.monotonic()
        through.set("a", b"x" * 20_000, ex=60)
        assert time.monotonic() - before >= 0.2


def test_reset_and_refusal(proxy: FaultProxy) -> None:
    with client(proxy) as through, connected(proxy) as raw:
        assert ping(raw) == PONG
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
    with connected(proxy) as raw:
        assert ping(raw) == PONG
        proxy.half_close(Way.TO_CLIENT)
        assert raw.recv(100) == b""
        raw.sendall(b"SET half 1 EX 60\r\n")
    with client(proxy) as through:
        wait_until(lambda: through.get("half") == b"1", "what was sent after the half close arrives")


def test_corruption_flips_a_byte(proxy: FaultProxy) -> None:
    with connected(proxy) as raw:
        proxy.corrupt(Way.TO_CLIENT)
        assert [a ^ b for a, b in zip(ping(raw), PONG, strict=True)].count(0) == 6
        assert ping(raw) == PONG


def test_a_server_that_is_away_looks_like_one(tmp_path: Path) -> None:
    with FaultProxy(tmp_path / "none.sock") as proxy, client(proxy) as through, pytest.raises(redis.ConnectionError):
        through.ping()
