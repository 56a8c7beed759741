"""The servers of this process: a session each, or one a run, opened when they are called and again when they die."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from orchestrator_client.contract.catalog import suggestion
from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_client.contract.lock import LOCK_NAME, Lock, ServerPin, reached_by
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import McpSection
from orchestrator_worker.tools.base import ToolContext
from orchestrator_worker.tools.mcp.asking import Asking
from orchestrator_worker.tools.mcp.link import Listed, Lost, OnProgress, Reply, Unsent
from orchestrator_worker.tools.mcp.session import Session
from orchestrator_worker.vault import Vault

RESTARTS = 3
"""How often in a row a server is started again."""

BACKOFF_SECONDS = (0.1, 0.5, 2.0)
"""Waits before the first, second and third restart."""

LISTINGS = 3
"""Tries at a list of tools that changes, or whose server dies, while it is read."""

REMEDY = "Look at it with `orchestrator tools lock --check`, and take it as it is with `orchestrator tools lock`"

REST_SECONDS = 30.0
"""After the last of them the server is left alone for so long."""


class Server:
    """One server of the configuration."""

    def __init__(self, name: str, section: McpSection, vault: Vault) -> None:
        self.name, self.section, self._vault = name, section, vault
        self._sessions: dict[str, Session] = {}
        """Those that take calls, by run where each run has its own, else under the empty name."""
        self._leaving: set[Session] = set()
        self._opening = asyncio.Lock()
        self._deaths, self._died, self._last_words = 0, 0.0, ""
        self._listing = asyncio.Lock()
        self._changes = 0
        self.listed: Mapping[str, Listed] | None = None
        """Its tools by name, as it last listed them; None where they may be others by now. Any thread may read it."""

    async def session(self, context: ToolContext | None = None) -> Session:
        """An open session that takes calls of this step; without one, such as only lists.

        Raises:
            StepError: the server cannot be reached, nor after `RESTARTS` more tries; or has died too often for now.
        """
        own = context if self.section.pinned else None
        key = own.run if own else ""
        async with self._opening:
            while True:
                session = self._sessions.get(key)
                if session is None or not session.takes_calls:
                    await self._hold_back()
                    self._clear()
                    self.forget_tools()  # it may be another release of the server by now
                    over = own.run_over if own else None
                    session = self._sessions[key] = Session(
                        self.name, self.section, self._vault, self.forget_tools, over
                    )
                try:
                    await session.opened()
                    return session
                except ToolFailed as error:
                    if not error.retryable:
                        raise
                    self.count_death(error.message)

    async def tools(self) -> Mapping[str, Listed]:
        """Its tools by name.

        Raises:
            StepError: it cannot be reached, or does not list them.
        """
        async with self._listing:
            for tries_left in reversed(range(LISTINGS)):
                if self.listed is not None:
                    break
                session, changes = await self.session(), self._changes
                try:
                    tools = {tool.name: tool for tool in await session.tools()}
                except Lost as lost:
                    self.count_death(lost.message)
                    if not tries_left:
                        raise
                    continue
                if changes == self._changes or not tries_left:
                    self.listed = tools
            return self.listed or {}

    def forget_tools(self) -> None:
        """Note that its tools may be others now."""
        self._changes, self.listed = self._changes + 1, None

    async def _hold_back(self) -> None:
        """Wait before a restart.

        Raises:
            ToolFailed: there were too many.
        """
        since = time.monotonic() - self._died
        if self._deaths > RESTARTS:
            if since < REST_SECONDS:
                raise ToolFailed(
                    f"{self._last_words}; that was its failure number {self._deaths} in a row, and it is left alone for"
                    f" {REST_SECONDS - since:.0f} s more"
                )
            self._deaths = RESTARTS
        elif self._deaths:
            await asyncio.sleep(max(0.0, BACKOFF_SECONDS[self._deaths - 1] - since))

    def count_death(self, words: str) -> None:
        """Note that a session has ended against our will."""
        self._deaths, self._died, self._last_words = self._deaths + 1, time.monotonic(), words

    def count_success(self) -> None:
        """Note that the server answers."""
        self._deaths = 0

    def _clear(self) -> None:
        """Forget the sessions that are over; those that only end their last calls are kept for `close`."""
        taking = {key: session for key, session in self._sessions.items() if session.takes_calls}
        self._leaving |= set(self._sessions.values()) - set(taking.values())
        self._leaving = {session for session in self._leaving if not session.is_over}
        self._sessions = taking

    @property
    def open_sessions(self) -> int:
        return sum(session.takes_calls for session in self._sessions.values())

    async def leave(self, run: str) -> bool:
        """End the session that belongs to a run; False if there is none."""
        session = self._sessions.pop(run, None) if self.section.pinned else None
        if session is not None:
            await session.close()
        return session is not None

    async def close(self) -> None:
        """End all sessions."""
        await asyncio.gather(*(session.close() for session in {*self._sessions.values(), *self._leaving}))


class Servers:
    """All servers of the configuration, as one process uses them. Lives on one loop."""

    def __init__(self, sections: Mapping[str, McpSection], vault: Vault, lock: Lock | None = None) -> None:
        """`vault` has the secrets that the sections name, and knows what is secret of what servers are given; `lock`
        says what they must be, None that they may be anything."""
        self._servers = {name: Server(name, section, vault) for name, section in sections.items()}
        self._lock = lock

    def named(self, name: str) -> Server:
        """The server of a name.

        Raises:
            ParametersInvalid: the configuration has none.
        """
        if name not in self._servers:
            known = ", ".join(self._servers) or "none"
            near = suggestion(name, self._servers) or f"there are: {known}"
            raise ParametersInvalid(f"orchestrator.toml of this worker has no section [mcp.{name}]; {near}")
        return self._servers[name]

    async def tool(self, name: str, tool: str) -> Listed:
        """One tool of a server.

        Raises:
            ParametersInvalid: there is no such server, or it has no such tool, or not the one that the lock has.
            StepError: the server cannot be reached, or does not list its tools.
        """
        server = self.named(name)
        if self._lock is not None:
            self._pin(name)  # before anything is started
        tools = await server.tools()
        if tool not in tools:
            near = suggestion(tool, tools) or f"it has: {', '.join(sorted(tools)[:30])}"
            raise ParametersInvalid(f"mcp server '{name}' has no tool {tool!r}; {near}")
        return self.unchanged(name, tools[tool])

    def known(self, name: str, tool: str) -> Listed | None:
        """A tool of a server, if it is known what that has; of any thread.

        Raises:
            ParametersInvalid: there is no such server, or the tool is not what the lock says.
        """
        listed = self.named(name).listed
        return self.unchanged(name, listed[tool]) if listed is not None and tool in listed else None

    def unchanged(self, name: str, tool: Listed) -> Listed:
        """The tool, if it is what the lock says.

        Raises:
            ParametersInvalid: it is not; the message says in what.
        """
        if self._lock is not None:
            pin, changes = self._pin(name), list[str]()
            if tool.version != pin.version:
                changes.append(f"it is release {tool.version or '(unnamed)'}, and was {pin.version or '(unnamed)'}")
            if changes := [*changes, *pin.tool_changes(tool.name, tool.pin)]:
                raise ParametersInvalid(
                    f"mcp server '{name}' is not what {LOCK_NAME} says: {'; '.join(changes)}. {REMEDY}"
                )
        return tool

    def _pin(self, name: str) -> ServerPin:
        """What the lock says of a server.

        Raises:
            ParametersInvalid: nothing, or that it is reached otherwise.
        """
        pin, reached = (self._lock or Lock()).mcp.get(name), reached_by(self.named(name).section)
        if pin is None or pin.reached != reached:
            said = "nothing of it" if pin is None else f"that it is reached by {pin.reached!r}, not by {reached!r}"
            raise ParametersInvalid(f"mcp server '{name}': {LOCK_NAME} says {said}. {REMEDY}")
        return pin

    async def call(
        self, name: str, tool: Listed, arguments: Mapping[str, Json], context: ToolContext, on_progress: OnProgress
    ) -> Reply:
        """Call a tool; once more over a new session, where the old one ended and the call may be made again.

        Raises:
            ToolFailed: the server died, refuses, or its answer is none.
            Unanswered: a person must answer a question of the server's first.
        """
        server = self.named(name)
        again = True
        while True:
            session = await server.session(context)
            try:
                reply = await session.call(tool.name, arguments, on_progress, Asking(context))
            except Lost as lost:
                server.count_death(lost.message)
                if again and (isinstance(lost, Unsent) or tool.repeatable):
                    again = False
                    continue
                raise ToolFailed(_after_death(lost, tool), tool.repeatable) from None
            server.count_success()
            return reply

    @property
    def names(self) -> list[str]:
        """All servers, in the order of the configuration."""
        return list(self._servers)

    @property
    def open_sessions(self) -> int:
        """Sessions that take calls now."""
        return sum(server.open_sessions for server in self._servers.values())

    async def close(self) -> None:
        """End all sessions."""
        await asyncio.gather(*(server.close() for server in self._servers.values()))


def _after_death(lost: Lost, tool: Listed) -> str:
    if isinstance(lost, Unsent):
        return lost.message
    return f"{lost.message}; the call of {tool.name!r} was under way, and may or may not have been done"
