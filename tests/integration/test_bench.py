"""What `make bench` measures can be done: the section whose steps need leave to reach this machine."""

from __future__ import annotations

from pathlib import Path

from tests.bench import overhead
from tests.conftest import RedisServer


def test_http_calls_are_measured(redis_server: RedisServer, tmp_path: Path) -> None:
    name, ratio, *_ = next(overhead.measure(redis_server.url, tmp_path, rounds=1))
    assert name == "20 HTTP calls, 1 at a time / plain threads"
    assert ratio > 0
