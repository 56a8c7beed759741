"""Fixtures of the tests that speak a vendor's wire format."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.model_server import ModelServer


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """A model server of this test's own."""
    with ModelServer() as server:
        yield server
