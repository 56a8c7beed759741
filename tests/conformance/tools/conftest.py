"""Fixtures of the suite that holds all sources of tools to one contract."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator_client.contract import plugins
from orchestrator_client.contract.project import McpSection
from orchestrator_client.contract.tool import ToolSource
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools.mcp import servers
from orchestrator_worker.tools.mcp.pool import Servers
from orchestrator_worker.tools.sources import native
from orchestrator_worker.vault import Vault
from tests.conformance.tools.adapter import ToolAdapter
from tests.conformance.tools.adapters import ADAPTERS
from tests.conformance.tools.caller import ToolCaller


@pytest.fixture(scope="module")
def suite_server() -> Iterator[Servers]:
    """The suite's tools behind an MCP server, whose session all tests share."""
    section = McpSection(command=sys.executable, args=("-m", "tests.conformance.tools.mcp_tools"))
    pool = Servers({"suite": section}, Vault(Path("/nonexistent"), {}))
    yield pool
    calls().run(pool.close())


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def tools(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ToolAdapter]:
    """Each source in turn, with its tools installed."""
    chosen: ToolAdapter = request.param
    if chosen.source is ToolSource.MCP:
        servers.use(request.getfixturevalue("suite_server"))
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
    servers.use(None)
    plugins.plugins.cache_clear()
    native._entry.cache_clear()
    native.function_of.cache_clear()
