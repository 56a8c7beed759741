"""Fixtures of the tests that speak a vendor's wire format."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.adapter import Adapter
from tests.conformance.adapters import ADAPTERS
from tests.conformance.caller import KEY, Caller, SuiteCaller
from tests.conformance.model_server import ModelServer


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """A model server of this test's own."""
    with ModelServer() as server:
        yield server


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    """Each provider in turn, with its key in the environment."""
    chosen: Adapter = request.param
    monkeypatch.setenv(chosen.key_variable, KEY)
    return chosen


@pytest.fixture
def call(adapter: Adapter, model_server: ModelServer) -> SuiteCaller:
    """Calls that provider at a server that echoes in its vendor's words."""
    return Caller(adapter, model_server.script(otherwise=adapter.echo))
