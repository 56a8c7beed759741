"""Server-sent events: one stream a page, which a browser takes up again where it was cut."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from tornado.iostream import StreamClosedError

from orchestrator_client.contract.errors import OrchestratorError
from orchestrator_client.flower.guard import Page, json_of

Message = tuple[str, Any]
"""Id, from which the browser continues (empty: none), and what is sent as JSON; None keeps the line open."""


class Stream(Page):
    """A page's stream; a subclass says what is sent."""

    def messages(self, *path: str) -> AsyncGenerator[Message]:
        """What to send, for as long as somebody listens."""
        raise NotImplementedError

    async def get(self, *path: str) -> None:
        self.set_header("Content-Type", "text/event-stream; charset=UTF-8")
        # So that nginx passes every message on at once.
        self.set_header("X-Accel-Buffering", "no")
        self._gone = False
        async with aclosing(self._texts(*path)) as texts:
            async for text in texts:
                try:
                    self.write(text)
                    await self.flush()
                except StreamClosedError:
                    return
                if self._gone:
                    return

    async def _texts(self, *path: str) -> AsyncGenerator[str]:
        yield "retry: 1000\n\n"
        try:
            async with aclosing(self.messages(*path)) as messages:
                async for identity, payload in messages:
                    yield _block(identity, payload)
        except OrchestratorError as error:
            # Redis is away, or the run is removed. The browser asks again by itself, and goes on where it was.
            yield f"event: trouble\ndata: {json_of(str(error))}\n\n"

    def on_connection_close(self) -> None:
        self._gone = True

    @property
    def after(self) -> str:
        """Behind which event to go on: what the browser saw last, or else what its page was made of."""
        given = self.request.headers.get("Last-Event-ID") or self.get_query_argument("after", "0")
        head, dash, tail = given.partition("-")
        return given if head.isdecimal() and (not dash or tail.isdecimal()) else "0"


def _block(identity: str, payload: Any) -> str:
    if payload is None:
        return ": still here\n\n"
    return f"{f'id: {identity}' + chr(10) if identity else ''}data: {json_of(payload)}\n\n"
