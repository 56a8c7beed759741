from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import Shell
from tests.conformance.model_server import ModelServer
from tests.conftest import RedisServer
from tests.fleet import InProcessFleet


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[InProcessFleet]:
    """The engine in this process: the test delivers the messages."""
    fleet = InProcessFleet.on(redis_server.url, tmp_path)
    yield fleet
    fleet.close()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """The command line, in a folder of its own; whatever it started is ended with the test."""
    shell = Shell(tmp_path)
    yield shell
    shell.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """A model server that speaks OpenAI's wire format, and is where this process looks for OpenAI."""
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        yield server
