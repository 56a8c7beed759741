"""One session with one server: opened when it is first called over, and kept for as long as it is of use."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import Any, TypeVar

from orchestrator_client.contract.errors import StepError, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import McpSection, McpTransport
from orchestrator_worker.tools.mcp.asking import Asking, Unanswered
from orchestrator_worker.tools.mcp.child import GRACE_SECONDS, Child
from orchestrator_worker.tools.mcp.environment import environment_of, headers_of
from orchestrator_worker.tools.mcp.link import Link, Listed, Lost, OnProgress, Reply, Unsent
from orchestrator_worker.tools.mcp.watch import Watch
from orchestrator_worker.vault import Vault

T = TypeVar("T")

START_SECONDS = 30.0
"""How long a server may take until its session is open."""

LOOK_SECONDS = 5.0
"""How often a session that belongs to a run looks whether that has ended."""

CLIENT = "orchestrator_worker.tools.mcp.client"


class Session:
    """One task enters the connection, keeps it and leaves it, as the SDK's scopes demand; any task may call over it."""

    def __init__(
        self,
        server: str,
        section: McpSection,
        vault: Vault,
        on_change: Callable[[], None],
        ended: Callable[[], bool] | None = None,
    ) -> None:
        """`on_change` hears that the server's tools are others now; `ended` says whether the run that the session
        belongs to has ended, None for one that all runs share."""
        self._server, self._section, self._vault = server, section, vault
        self._on_change, self._ended = on_change, ended
        self._watch = Watch()
        self._opened: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._began = self._used = time.monotonic()
        self._calls = 0
        self._closing = False
        # What a server asks in the middle of a call does not say which call: then there is one at a time.
        self._turn = asyncio.Lock() if section.asks else nullcontext()
        self._asking: Asking | None = None
        self._owner = asyncio.create_task(self._own(), name=f"mcp {server}")

    @property
    def takes_calls(self) -> bool:
        """Whether another call may start."""
        over = self._closing or self._watch.over.is_set() or self._owner.done()
        return not over and time.monotonic() - self._began < self._section.max_life_seconds

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left, the server's process neither."""
        return self._owner.done()

    async def opened(self) -> None:
        """Wait until the session is open.

        Raises:
            StepError: it cannot be opened; `retryable` where another try may go better.
        """
        await asyncio.shield(self._opened)

    async def tools(self) -> list[Listed]:
        """The server's tools, in its order.

        Raises:
            Lost: the session ended meanwhile.
            ToolFailed: it does not list them.
        """
        with self._in_use():
            link = await asyncio.shield(self._opened)
            return await self._said(link.tools())

    async def call(self, tool: str, arguments: Mapping[str, Json], on_progress: OnProgress, asking: Asking) -> Reply:
        """Call a tool.

        Raises:
            Lost: the session ended meanwhile; `Unsent` where the server did not take the call.
            ToolFailed: the server refuses, or its answer is none.
            Unanswered: a person must answer a question of the server's first.
        """
        with self._in_use():
            link = await asyncio.shield(self._opened)
            async with self._turn:
                self._asking = asking
                try:
                    called = self._said(link.call(tool, arguments, on_progress))
                    return await (_unless_stuck(called, asking, link) if self._section.elicitation else called)
                finally:
                    self._asking = None

    async def close(self) -> None:
        """End the session, and what is under way over it."""
        self._closing = True
        self._watch.over.set()
        await asyncio.wait({self._owner})

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self._used = time.monotonic()

    async def _said(self, asked: Awaitable[T]) -> T:
        """What the link answers; what it raises is told with the server's name."""
        try:
            return await asked
        except Lost as lost:
            # The owner knows more, as soon as it has cleared up.
            await asyncio.wait({self._owner}, timeout=4 * GRACE_SECONDS)
            kind = Unsent if self._watch.unsent else type(lost)
            raise kind(self._words(self._watch.words)) from None
        except ToolFailed as failed:
            raise ToolFailed(self._words(failed.message), failed.retryable) from None

    def _words(self, said: str) -> str:
        return f"mcp server '{self._server}': {said}"

    async def _own(self) -> None:
        """Open the connection, wait until it is of no use any more, and close it."""
        client = await asyncio.to_thread(importlib.import_module, CLIENT)  # a second, in which the loop goes on
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(START_SECONDS):
                    link = await stack.enter_async_context(self._connection(client))
                self._opened.set_result(link)
                await self._until_over()
                self._closing = True
        except TimeoutError:
            self._fail(ToolFailed(self._words(f"it did not start within {START_SECONDS:g} s; {self._watch.words}")))
        except StepError as error:
            self._fail(
                error if not isinstance(error, ToolFailed) else ToolFailed(self._words(error.message), error.retryable)
            )
        except Exception as error:  # noqa: BLE001 - whatever a server does to the SDK ends this session, and no other
            self._watch.fault = client.why(error, self._watch)
            self._fail(ToolFailed(self._words(f"it did not start: {self._watch.fault}")))
        finally:
            self._watch.over.set()

    def _fail(self, error: StepError) -> None:
        """Tell whoever waits for the opening; the calls under way are told by the link."""
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # it may be that nobody waits

    @asynccontextmanager
    async def _connection(self, client: Any) -> AsyncIterator[Link]:
        section = self._section
        environment = environment_of(self._server, section.variables, self._vault)
        headers = headers_of(self._server, section.headers, self._vault)
        match section.speaks:
            case McpTransport.STDIO:
                child = Child((section.command or "", *section.args), environment)
                transport = client.stdio(child, self._watch)
            case McpTransport.HTTP:
                transport = client.http(section.url, headers, self._watch)
            case McpTransport.SSE:
                transport = client.sse(section.url, headers, self._watch)
        async with client.connect(transport, self._watch, self._on_change, lambda: self._asking, section) as link:
            yield link

    async def _until_over(self) -> None:
        """Wait until the connection has ended, is idle or old, or belongs to a run that has ended."""
        while not self._watch.over.is_set():
            try:
                await asyncio.wait_for(self._watch.over.wait(), self._look_after_seconds())
            except TimeoutError:
                if not self._calls and await self._is_due():
                    return

    def _look_after_seconds(self) -> float:
        now = time.monotonic()
        idle = self._used + self._section.idle_seconds - now
        old = self._began + self._section.max_life_seconds - now
        return max(0.05, min(idle, old, LOOK_SECONDS if self._ended or self._calls else idle))

    async def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._used >= self._section.idle_seconds or now - self._began >= self._section.max_life_seconds:
            return True
        return self._ended is not None and await asyncio.to_thread(self._ended)


async def _unless_stuck(called: Awaitable[Reply], asking: Asking, link: Link) -> Reply:
    """What the call answers, or the question that keeps it from answering: then it is cancelled."""
    call, stuck = asyncio.ensure_future(called), asyncio.create_task(asking.stuck.wait())
    try:
        await asyncio.wait({call, stuck}, return_when=asyncio.FIRST_COMPLETED)
        if asking.question is not None and not call.done():
            raise Unanswered(asking.question, link.asks_again)
        return await call
    finally:
        stuck.cancel()
        if not call.done():
            call.cancel()
            await asyncio.wait({call})
