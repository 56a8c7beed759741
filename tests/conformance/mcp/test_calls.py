"""What a call over a pooled session gives, whatever the transport: our own server, made with the SDK. What every source
of tools owes is in `conformance.tools`, over stdio, and not said again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import McpSection
from orchestrator_client.contract.question import Answer
from orchestrator_worker.tools.base import Completion, Declined
from orchestrator_worker.tools.mcp.answer import result_of
from orchestrator_worker.tools.mcp.asking import Unanswered
from orchestrator_worker.tools.mcp.child import children
from tests.conformance.mcp.conftest import Pool, Remote, run, stdio
from tests.conftest import until_there

TRANSPORTS = ("stdio", "http", "sse")


@pytest.fixture(params=TRANSPORTS)
def section(request: pytest.FixtureRequest, remotes: Callable[[str], Remote]) -> Callable[..., McpSection]:
    """`section(**fields)`: the server's configuration, over each transport."""

    def of(**fields: Any) -> McpSection:
        return stdio(**fields) if request.param == "stdio" else remotes(request.param).section(**fields)

    return of


@pytest.fixture(params=TRANSPORTS[1:])
def remote(request: pytest.FixtureRequest, remotes: Callable[[str], Remote]) -> Remote:
    """A server that runs already, over each transport that such have."""
    return remotes(request.param)


def test_what_it_answers(remote: Remote, pooled: Pool) -> None:
    async def main() -> None:
        async with pooled(remote.section()) as server:
            text = result_of(await server.call("echo", text="größer 🌍"), "it", "echo", server.context)
            assert (text.output, text.success, text.artifacts) == ("größer 🌍", True, ())
            structured = result_of(await server.call("add", a=1, b=2), "it", "add", server.context)
            assert structured.output == {"total": 3, "words": "1 and 2"}
            failed = result_of(await server.call("fail", words="no such city"), "it", "fail", server.context)
            assert not failed.success
            assert "no such city" in (failed.error or "")

    run(main())


def test_pictures_and_resources_are_files(section: Callable[..., McpSection], pooled: Pool, tmp_path: Path) -> None:
    async def main() -> None:
        async with pooled(section()) as server:
            result = result_of(await server.call("picture"), "it", "picture", server.context)
        picture, note = result.artifacts
        assert (tmp_path / picture.path).read_bytes() == b"\x89PNG\r\n\x1a\nnot really"
        assert (picture.media_type, picture.bytes) == ("image/png", 18)
        assert (tmp_path / note.path).read_text() == "a note"
        assert result.envelope == {"links": ["memo://note"]}
        assert result.output == "look\na note"

    run(main())


def test_progress_and_a_change_of_tools(section: Callable[..., McpSection], pooled: Pool) -> None:
    async def main() -> None:
        async with pooled(section()) as server:
            await server.call("steps", count=3)
            assert server.progress[-1] == (3.0, 3.0, "step 3")
            with pytest.raises(ParametersInvalid, match="has no tool 'shrunk'; it has: add, "):
                await server.call("shrunk")
            pid = await server.call("pid")
            listed = server.servers.named("it").listed
            await server.call("grow", name=f"grown{time.monotonic_ns()}")
            async with asyncio.timeout(60):
                while server.servers.named("it").listed is listed:
                    await asyncio.sleep(0.01)
            assert len(await server.servers.named("it").tools()) == len(listed) + 1
            assert (await server.call("pid")).structured == pid.structured, "it is the same session's server"

    run(main())


def test_a_cancelled_call_stops_at_the_server(remote: Remote, pooled: Pool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    async def main() -> None:
        async with pooled(remote.section()) as server:
            call = asyncio.create_task(server.call("slow", seconds=600, mark=str(mark)))
            await until_there(tmp_path / "mark.started")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until_there(mark)
            assert (await server.call("echo", text="still here")).text == "still here"

    run(main())
    assert mark.read_text() == "cancelled\n"


def test_calls_share_a_session(section: Callable[..., McpSection], pooled: Pool) -> None:
    async def main() -> None:
        async with pooled(section()) as server:
            replies = await asyncio.gather(*(server.call("meet", count=16) for _ in range(16)))
            assert {reply.text for reply in replies} == {"all 16 are here"}
            assert server.servers.open_sessions == 1

    run(main())


def test_a_large_result(pooled: Pool, remotes: Callable[[str], Remote]) -> None:
    async def main() -> None:
        async with pooled(remotes("http").section()) as server:
            assert len((await server.call("large", size=50_000_000)).text) == 50_000_000

    run(main())


def test_over_sse_the_sdk_reads_a_megabyte(pooled: Pool, remotes: Callable[[str], Remote]) -> None:
    async def main() -> None:
        async with pooled(remotes("sse").section()) as server:
            with pytest.raises(ToolFailed, match="exceeded the 1048576 byte limit"):
                await server.call("large", size=2_000_000)
            assert (await server.call("echo", text="still here")).text == "still here"

    run(main())


def test_a_server_asks_a_model(section: Callable[..., McpSection], pooled: Pool) -> None:
    asked: list[Json] = []

    async def complete(request: Any) -> Completion:
        asked.append(request)
        return Completion("42", "the-model")

    async def main() -> None:
        async with pooled(section(sampling=True), complete) as server:
            assert (await server.call("ask", question="How many?")).text == "the-model: 42"

    run(main())
    said = [{"role": "user", "content": [{"type": "text", "text": "How many?"}]}]
    assert asked == [{"messages": said, "system": "Be brief.", "max_tokens": 50}]


def test_a_server_asks_a_person(section: Callable[..., McpSection], pooled: Pool) -> None:
    async def main() -> None:
        async with pooled(section(elicitation=True)) as server:
            with pytest.raises(Unanswered, match="Who is it for") as raised:
                await server.call("greet", greeting="Hello")
            fields = raised.value.question.fields
            assert {name: (field.type, field.required, field.default) for name, field in fields.items()} == {
                "name": ("string", True, None),
                "age": ("integer", False, 18),
            }
            server.context = replace(server.context, answers=(Answer(value={"name": "Ada", "age": 36}),))
            assert (await server.call("greet", greeting="Hello")).text == "Hello Ada (36)"

    run(main())


def test_a_server_is_told_that_no_model_answers(section: Callable[..., McpSection], pooled: Pool) -> None:
    async def complete(_request: Any) -> Completion:
        raise Declined("no model is configured")

    async def main() -> None:
        async with pooled(section(sampling=True), complete) as server:
            assert "no model is configured" in await refusal(server)
        async with pooled(section()) as server:
            assert "sampling" in (await refusal(server)).lower(), "it may not ask at all"

    run(main())


async def refusal(server: Any) -> str:
    """Why a call is not answered that needs a model: the tool reports failure, or the call is refused."""
    try:
        reply = await server.call("ask", question="How many?")
    except ToolFailed as refused:
        return refused.message
    assert reply.failed
    return str(reply.text)


def test_a_pinned_server_remembers_for_each_run(pooled: Pool) -> None:
    over = threading.Event()

    async def main() -> None:
        async with pooled(stdio(pinned=True), run_over=over.is_set) as server:
            assert [(await server.call("count")).text for _ in range(2)] == ["1", "2"]
            first, server.context = server.context, replace(server.context, run="other", run_over=None)
            assert (await server.call("count")).text == "1"
            server.context = first
            assert (await server.call("count")).text == "3"
            assert server.servers.open_sessions == children() == 3, "one that lists, and one of each run"
            over.set()
            async with asyncio.timeout(60):
                while children() > 2:
                    await asyncio.sleep(0.01)

    run(main())
