"""Servers that misbehave: each is survived, and named for what it did."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from orchestrator_client.contract.errors import CredentialMissing, StepError, ToolFailed
from orchestrator_client.contract.project import McpSection
from orchestrator_worker.tools.mcp import pool, servers, session, watch
from orchestrator_worker.tools.mcp.child import children
from tests.conformance.mcp.conftest import Pool, Remote, rude, run, stdio
from tests.conformance.tools.caller import ToolCaller
from tests.conftest import until_there, wait_until
from tests.processes import hold_port


def failure(pooled: Pool, section: McpSection, tool: str = "work", **arguments: Any) -> str:
    """What a call of this server fails with."""

    async def main() -> None:
        async with pooled(section) as server:
            with pytest.raises(StepError) as raised:
                await server.call(tool, **arguments)
            assert not isinstance(raised.value, CredentialMissing)
            said.append(str(raised.value))

    said: list[str] = []
    run(main())
    return said[0]


def test_one_that_dies_in_the_middle_of_a_call(pooled: Pool) -> None:
    said = failure(pooled, stdio(), "die")
    assert said == (
        "mcp server 'it': it exited with status 3: out of cheese; the call of 'die' was under way, and may or may not"
        " have been done"
    )


def test_a_call_that_may_be_repeated_is_when_its_server_dies(pooled: Pool, tmp_path: Path) -> None:
    async def main() -> None:
        async with pooled(stdio()) as server:
            assert (await server.call("die_once", mark=str(tmp_path / "mark"))).text == "alive"

    run(main())


def test_one_that_is_killed_between_calls_is_started_again(pooled: Pool) -> None:
    async def main() -> None:
        async with pooled(stdio()) as server:
            first = (await server.call("pid")).structured["pid"]
            os.kill(first, signal.SIGKILL)
            second = (await server.call("pid")).structured["pid"]
            assert first != second
            assert children() == 1

    run(main())


def test_one_that_hangs_in_the_middle_of_a_call(served: Callable[[McpSection], None], tmp_path: Path) -> None:
    """Nobody but its section sets a limit here: it is told to stop, and its session takes the next call."""
    served(rude("hangs", timeout_seconds=3.0))
    caller = ToolCaller(tmp_path / "run")
    with pytest.raises(ToolFailed) as raised:
        caller.result("mcp:it/work")
    assert str(raised.value) == (
        "mcp server 'it' gave no answer to 'work' within 3 s, and was told to stop; raise timeout_seconds in [mcp.it]"
        " if it needs longer"
    )
    assert not raised.value.retryable, "it may have been done"
    servers.servers().named("it").section = rude("hangs", timeout_seconds=60.0)
    assert caller.result("mcp:it/work").output == "told to stop"


def test_one_that_floods(pooled: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MESSAGES", 200)  # a busy machine may read no more in that time
    assert "it sent more than 200 messages within 10 s, and was ended" in failure(pooled, rude("floods"))


def test_one_whose_message_has_no_end(pooled: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator_worker.tools.mcp.child.LINE_BYTES", 1_000_000)
    assert "it sent a message of more than " in failure(pooled, rude("swells"))


def test_rubbish_on_stdout_is_survived_in_small_amounts_only(pooled: Pool) -> None:
    async def main() -> None:
        async with pooled(rude("chatters")) as server:
            assert (await server.call("work")).text == "done"

    run(main())
    assert failure(pooled, rude("babbles")) == (
        f"mcp server 'it': it wrote more than {watch.RUBBISH_LINES} lines that are no messages to its stdout, and was"
        " ended; its stdout, which is for messages, has 'not a message'; the call of 'work' was under way, and may or"
        " may not have been done"
    )


def test_an_answer_that_is_not_the_protocols(pooled: Pool) -> None:
    assert "mcp server 'it': its answer is not the protocol's: " in failure(pooled, rude("lies"))


def test_a_program_that_is_no_server(pooled: Pool) -> None:
    said = failure(pooled, rude("talks"))
    assert "it exited with status 1; its stdout, which is for messages, has 'Welcome to a server that was never" in said
    left_alone = re.search(r"that was its failure number 4 in a row, and it is left alone for (\d+) s more", said)
    assert left_alone is not None, said
    assert 0 < int(left_alone[1]) <= pool.REST_SECONDS


def test_one_that_does_not_start_in_time(pooled: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "START_SECONDS", 0.5)
    monkeypatch.setattr(pool, "RESTARTS", 0)
    assert "it did not start within 0.5 s" in failure(pooled, rude("mute"))


def test_one_that_is_not_installed_is_not_tried_again(pooled: Pool) -> None:
    said = failure(pooled, McpSection(command="no-such-server"))
    assert said == (
        "mcp server 'it': cannot run 'no-such-server': No such file or directory; is it installed on the worker?"
    )


def test_nobody_at_the_url(pooled: Pool) -> None:
    section = McpSection(url=f"http://127.0.0.1:{hold_port()}/mcp")
    assert "mcp server 'it': it did not start: nobody answers at its URL" in failure(pooled, section)


@pytest.mark.parametrize("how", ["http", "sse"])
def test_a_remote_one_that_restarts(pooled: Pool, how: str) -> None:
    remote = Remote(how)

    async def main() -> None:
        async with pooled(remote.section()) as server:
            assert (await server.call("echo", text="one")).text == "one"
            await asyncio.to_thread(remote.kill)
            await asyncio.to_thread(remote.start)
            assert (await server.call("echo", text="two")).text == "two"

    try:
        remote.start()
        run(main())
    finally:
        remote.kill()


def test_a_remote_one_that_dies_in_the_middle_of_a_call(pooled: Pool, tmp_path: Path) -> None:
    remote, started = Remote("http"), tmp_path / "mark.started"

    async def main() -> None:
        async with pooled(remote.section()) as server:
            await server.call("echo", text="warm")
            call = asyncio.create_task(server.call("slow", seconds=600, mark=str(tmp_path / "mark")))
            await until_there(started)
            await asyncio.to_thread(remote.kill)
            with pytest.raises(ToolFailed, match="may or may not have been done"):
                await call

    try:
        remote.start()
        run(main())
    finally:
        remote.kill()


def test_its_children_end_with_it(pooled: Pool) -> None:
    left: list[int] = []

    async def main() -> None:
        async with pooled(rude("forks")) as server:
            left.append(int((await server.call("work")).text))
            assert psutil.pid_exists(left[0])

    run(main())
    wait_until(lambda: not psutil.pid_exists(left[0]), "the server's own child is gone")


def test_a_session_ends_when_nobody_uses_it_and_when_it_is_old(pooled: Pool) -> None:
    async def main(section: McpSection) -> None:
        async with pooled(section) as server:
            first = (await server.call("pid")).structured
            async with asyncio.timeout(60):
                while children():
                    await asyncio.sleep(0.01)
            assert (await server.call("pid")).structured != first

    run(main(stdio(idle_seconds=0.2)))
    run(main(stdio(max_life_seconds=1.0)))


def test_a_variable_that_is_not_there_is_named(pooled: Pool) -> None:
    async def main() -> None:
        async with pooled(stdio(env=("NO_SUCH_VARIABLE",))) as server:
            with pytest.raises(CredentialMissing, match="mcp server 'it' needs the environment variable NO_SUCH_VARIA"):
                await server.call("echo", text="")

    run(main())


def test_it_sees_of_the_environment_what_was_configured(pooled: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-servers")
    monkeypatch.setenv("CITY", "Bonn")
    monkeypatch.setenv("ORCHESTRATOR_SECRET_TOKEN", "sesame-open-up")

    async def main() -> None:
        async with pooled(stdio(env={"CITY": "CITY", "KEY": "k:secret://TOKEN"})) as server:
            seen = await server.call("environment")
            assert (seen.structured["CITY"], seen.structured["KEY"]) == ("Bonn", "k:sesame-open-up")
            expected = {"CITY", "KEY", "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LC_CTYPE", "PWD"}
            assert set(seen.structured) <= expected

    run(main())
