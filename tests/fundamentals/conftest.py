from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RedisServer
from tests.fleet import InProcessFleet
from tests.fundamentals.gates import Gates, gates_on


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[InProcessFleet]:
    """The engine in this process: the test delivers the messages."""
    fleet = InProcessFleet.on(redis_server.url, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture(scope="module")
def server(_redis_session: RedisServer) -> RedisServer:
    """One for all examples of a property; each begins with an empty store."""
    return _redis_session


@pytest.fixture
def gates(server: RedisServer) -> Iterator[Gates]:
    with gates_on(server) as gates:
        yield gates
