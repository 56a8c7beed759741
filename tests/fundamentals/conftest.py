from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RedisServer
from tests.fleet import InProcessFleet


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[InProcessFleet]:
    """The engine in this process: the test delivers the messages."""
    fleet = InProcessFleet.on(redis_server.url, tmp_path)
    yield fleet
    fleet.close()
