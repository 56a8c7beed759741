"""Servers that others wrote: PyPI's mcp-server-time, and npm's server-everything where it is installed."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.project import McpSection, McpTransport
from orchestrator_client.contract.question import Question
from orchestrator_worker.process.calls import calls
from orchestrator_worker.tools.base import Completion, ToolContext
from orchestrator_worker.tools.mcp import servers
from orchestrator_worker.tools.mcp.answer import result_of
from orchestrator_worker.tools.mcp.pool import Servers
from orchestrator_worker.vault import Vault
from tests.conformance.mcp.conftest import Pool, listens, run
from tests.conftest import wait_until
from tests.processes import hold_port

EVERYTHING = shutil.which("mcp-server-everything")
needs_node = pytest.mark.skipif(
    EVERYTHING is None,
    reason="no mcp-server-everything: npm install -g @modelcontextprotocol/server-everything",
)


def test_the_time_server(pooled: Pool) -> None:
    async def main() -> None:
        async with pooled(McpSection(command="mcp-server-time")) as server:
            tools = await server.servers.named("it").tools()
            assert sorted(tools) == ["convert_time", "get_current_time"]
            reply = await server.call(
                "convert_time", source_timezone="Europe/Berlin", time="12:30", target_timezone="Asia/Tokyo"
            )
            assert reply.structured["target"]["timezone"] == "Asia/Tokyo"
            failed = await server.call("get_current_time", timezone="Mars/Olympus")
            assert failed.failed
            assert "Mars/Olympus" in failed.text

    run(main())


class Everything:
    """server-everything over one transport."""

    def __init__(self, how: str) -> None:
        self.how, self.port, self._process = how, hold_port(), None

    def start(self) -> None:
        if self.how != "stdio":
            quiet = subprocess.DEVNULL
            environment = {**os.environ, "PORT": str(self.port)}
            self._process = subprocess.Popen(
                [str(EVERYTHING), self.how], env=environment, stdin=quiet, stdout=quiet, stderr=quiet
            )
            wait_until(lambda: listens(self.port), "it listens", 60)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def section(self, **fields: Any) -> McpSection:
        if self.how == "stdio":
            return McpSection(command=EVERYTHING, args=("stdio",), **fields)
        path, transport = ("sse", McpTransport.SSE) if self.how == "sse" else ("mcp", McpTransport.HTTP)
        return McpSection(url=f"http://127.0.0.1:{self.port}/{path}", transport=transport, **fields)


@pytest.fixture(params=["stdio", "streamableHttp", "sse"])
def everything(request: pytest.FixtureRequest) -> Iterator[Everything]:
    server = Everything(request.param)
    server.start()
    yield server
    server.stop()


@needs_node
def test_everything(pooled: Pool, everything: Everything) -> None:
    async def complete(request: Any) -> Completion:
        return Completion(f"heard {request['messages'][0]['content'][0]['text']}", "ours")

    async def main() -> None:
        async with pooled(everything.section(sampling=True), complete) as server:
            assert (await server.call("echo", message="größer")).text == "Echo: größer"
            weather = await server.call("get-structured-content", location="Chicago")
            assert weather.structured["temperature"] == 36
            image = result_of(await server.call("get-tiny-image"), "it", "tiny", server.context)
            assert image.artifacts[0].media_type == "image/png"
            await server.call("trigger-long-running-operation", duration=0.4, steps=4)
            assert server.progress[-1][:2] == (4, 4)
            assert "heard" in (await server.call("trigger-sampling-request", prompt="a poem", maxTokens=20)).text
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await server.call("trigger-long-running-operation", duration=60, steps=60)
            assert (await server.call("get-sum", a=1, b=2)).text.endswith("is 3.")

    run(main())


@needs_node
def test_everything_sees_what_was_configured(pooled: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-servers")
    monkeypatch.setenv("CITY", "Bonn")

    async def main() -> None:
        section = McpSection(command=EVERYTHING, args=("stdio",), env=("CITY",))
        async with pooled(section) as server:
            said = (await server.call("get-env")).text
            assert "Bonn" in said
            assert "sk-not-for-servers" not in said
            assert "OPENAI" not in said

    run(main())


@needs_node
def test_everything_asks_a_person_in_the_middle_of_a_call(
    everything: Everything, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It speaks the protocol of 2025, in which a call that asks may have begun its work."""
    context = ToolContext(run="r", instance="s", attempt=1, folder=tmp_path)
    pool = Servers({"it": everything.section(elicitation=True)}, Vault(tmp_path, {}))
    servers.use(pool)

    async def main() -> None:
        asks = await pool.tool("it", "trigger-elicitation-request")
        with pytest.raises(ToolFailed, match="it would be called again with the answer"):
            await servers.call("it", replace(asks, read_only=False, idempotent=False), context, {})
        question = await servers.call("it", replace(asks, read_only=True), context, {})
        assert isinstance(question, Question)
        assert question.title == "it/trigger-elicitation-request"

    try:
        calls().run(main())
    finally:
        calls().run(pool.close())
        servers.use(None)


@needs_node
def test_everything_restarts(pooled: Pool) -> None:
    """A server of the 2025 protocol forgets its sessions, and answers what the SDK takes for an error of its own."""
    server = Everything("streamableHttp")

    async def main() -> None:
        async with pooled(server.section()) as pool:
            assert (await pool.call("echo", message="one")).text == "Echo: one"
            server.stop()
            server.start()
            assert (await pool.call("echo", message="two")).text == "Echo: two"
            server.stop()
            with pytest.raises(ToolFailed, match="nobody answers at its URL"):
                await pool.call("echo", message="three")

    try:
        server.start()
        run(main())
    finally:
        server.stop()
