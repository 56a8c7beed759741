from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import McpSection, McpTransport
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools.base import Complete, ToolContext
from orchestrator_worker.tools.mcp import servers
from orchestrator_worker.tools.mcp.child import children
from orchestrator_worker.tools.mcp.link import Reply
from orchestrator_worker.tools.mcp.pool import Servers
from orchestrator_worker.vault import Vault
from tests.conftest import wait_until
from tests.processes import hold_port

ROOT = Path(__file__).parents[3]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Remote:
    """A server that runs by itself, at a port."""

    how: str
    port: int = field(default_factory=hold_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.mcp_server", self.how, str(self.port)]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet)
        wait_until(lambda: listens(self.port), "the server listens", 60)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{'sse' if self.how == 'sse' else 'mcp'}"

    def section(self, **fields: Any) -> McpSection:
        transport = McpTransport.SSE if self.how == "sse" else McpTransport.HTTP
        return McpSection(url=self.url, transport=transport, **fields)


@pytest.fixture(scope="session")
def remotes() -> Iterator[Callable[[str], Remote]]:
    """Servers over HTTP and SSE, each started when it is first wanted."""
    running: dict[str, Remote] = {}

    def get(how: str) -> Remote:
        if how not in running:
            running[how] = Remote(how)
            running[how].start()
        return running[how]

    yield get
    for remote in running.values():
        remote.kill()


def stdio(module: str = "tests.mcp_server", how: str = "stdio", **fields: Any) -> McpSection:
    """A server of ours as a child; its working folder is this one, so that it finds its module."""
    return McpSection(command=sys.executable, args=("-m", module, how), **fields)


def rude(how: str, **fields: Any) -> McpSection:
    return stdio("tests.rude_mcp_server", how, **fields)


@dataclass
class Pooled:
    """One server behind a pool, called as a step calls it."""

    servers: Servers
    context: ToolContext
    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list)

    async def call(self, tool: str, **arguments: Json) -> Reply:
        listed = await self.servers.tool("it", tool)
        return await self.servers.call("it", listed, arguments, self.context, self._on_progress)

    async def _on_progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))


Pool = Callable[..., Any]


@pytest.fixture
def pooled(tmp_path: Path) -> Callable[..., Any]:
    """`pooled(section)`: a pool with that server, closed afterwards with all that it started."""

    @asynccontextmanager
    async def opened(section: McpSection, complete: Complete | None = None, **fields: Any) -> AsyncIterator[Pooled]:
        context = ToolContext(run="r", instance="s", attempt=1, folder=tmp_path, complete=complete, **fields)
        servers = Servers({"it": section}, Vault(tmp_path / "secrets", {}))
        try:
            yield Pooled(servers, context)
        finally:
            await servers.close()
            assert children() == 0

    return opened


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """That of the servers: one without secrets, unless a file of tests has another."""
    return Vault(tmp_path / "secrets", {})


@pytest.fixture
def served(vault: Vault) -> Iterator[Callable[[McpSection], None]]:
    """`served(section)`: let this process have that server, by the name `it`, and another of the same kind."""
    made: list[Servers] = []

    def serve(section: McpSection) -> None:
        made.append(Servers({"it": section, "other": section}, vault))
        servers.use(made[-1])

    yield serve
    calls().run(made[-1].close())
    servers.use(None)


def run(main: Awaitable[Any]) -> Any:
    """Run a coroutine on a loop of its own."""

    async def outer() -> Any:
        return await main

    return asyncio.run(outer())
