"""The sources of tools that the shared suite holds to one contract."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator_client.contract import plugins
from orchestrator_client.contract.catalog import TOOLS
from orchestrator_client.contract.catalog.spec import ONCE, specs
from orchestrator_client.contract.tool import Category, ToolSource
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools.mcp import servers
from orchestrator_worker.tools.sources import native
from tests.conformance.tools import native_tools
from tests.conformance.tools.adapter import ToolAdapter

FUNCTIONS = "tests.conformance.tools.function_tools"
LANGCHAIN = "tests.conformance.tools.langchain_tools"


@dataclass(frozen=True)
class NativeAdapter:
    """Tools of the catalogue: a family that is put there for the test."""

    name: str = "native"
    source: ToolSource = ToolSource.NATIVE

    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        actions = [(name, record, f"The suite's {name}", ONCE) for name, record in native_tools.RECORDS.items()]
        for name, spec in specs("suite", Category.CUSTOM, *actions).items():
            monkeypatch.setitem(TOOLS, name, spec)  # type: ignore[arg-type]  # a dict, whatever it is declared to be
            place = f"{native_tools.__name__}:{name.removeprefix('suite.')}"
            monkeypatch.setitem(native._FUNCTIONS, name, place)  # type: ignore[arg-type]

    def uses(self, behaviour: str) -> str:
        return f"suite.{behaviour}"


@dataclass(frozen=True)
class FunctionAdapter:
    """Functions by their import path."""

    name: str = "python"
    source: ToolSource = ToolSource.PYTHON

    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """They are there."""

    def uses(self, behaviour: str) -> str:
        return f"python:{FUNCTIONS}:{behaviour}"


@dataclass(frozen=True)
class PluginAdapter:
    """Functions of an installed package, declared with `@tool`."""

    name: str = "plugin"
    source: ToolSource = ToolSource.PLUGIN

    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        install_package(monkeypatch, folder, f"suite = {FUNCTIONS}")

    def uses(self, behaviour: str) -> str:
        return f"suite.{behaviour}"


@dataclass(frozen=True)
class AsyncPluginAdapter:
    """The same as coroutine functions, on the worker's loop."""

    name: str = "plugin-async"
    source: ToolSource = ToolSource.PLUGIN

    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        install_package(monkeypatch, folder, "suite = tests.conformance.tools.coroutine_tools")

    def uses(self, behaviour: str) -> str:
        return f"suite.{behaviour}"


@dataclass(frozen=True)
class LangChainAdapter:
    """LangChain tools by their import path."""

    name: str = "langchain"
    source: ToolSource = ToolSource.LANGCHAIN

    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """They are there."""

    def uses(self, behaviour: str) -> str:
        return f"langchain:{LANGCHAIN}:{behaviour}"


@dataclass(frozen=True)
class McpAdapter:
    """Tools of an MCP server, which `conftest.suite_server` has."""

    name: str = "mcp"
    source: ToolSource = ToolSource.MCP

    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Start it, if it does not run yet: a test's own time is for its call."""
        calls().run(servers.servers().named("suite").tools())

    def uses(self, behaviour: str) -> str:
        return f"mcp:suite/{behaviour}"


def install_package(monkeypatch: pytest.MonkeyPatch, folder: Path, *points: str) -> Path:
    """A package with these entry points, as pip leaves one; returns the folder that has to be on the path."""
    site = folder / "site"
    metadata = site / "suite_tools-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: suite-tools\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *points, ""]))
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    plugins.plugins.cache_clear()
    return site


ADAPTERS: list[ToolAdapter] = [
    NativeAdapter(),
    FunctionAdapter(),
    PluginAdapter(),
    AsyncPluginAdapter(),
    LangChainAdapter(),
    McpAdapter(),
]
