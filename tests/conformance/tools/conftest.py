"""Fixtures of the suite that holds all sources of tools to one contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_client.contract import plugins
from orchestrator_worker.tools.sources import native
from tests.conformance.tools.adapter import ToolAdapter
from tests.conformance.tools.adapters import ADAPTERS
from tests.conformance.tools.caller import ToolCaller


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def tools(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ToolAdapter]:
    """Each source in turn, with its tools installed."""
    chosen: ToolAdapter = request.param
    chosen.install(monkeypatch, tmp_path)
    yield chosen
    monkeypatch.undo()
    forget()


@pytest.fixture
def caller(tmp_path: Path) -> ToolCaller:
    """Calls of tools, in a run's folder of its own."""
    return ToolCaller(tmp_path / "run")


def forget() -> None:
    """What was remembered of tools that are not there any more."""
    plugins.plugins.cache_clear()
    native._entry.cache_clear()
    native.function_of.cache_clear()
