"""A run for asyncio, with its messages and its variables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, Self, overload

from orchestrator_client.client.run import Run
from orchestrator_client.client.variables import LISTED, Variables
from orchestrator_client.contract.document import RunDocument
from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.progress import RunProgress
from orchestrator_client.contract.question import AskedQuestion
from orchestrator_client.contract.run import Met, RunRecord, RunState
from orchestrator_client.messages import Message, Messages
from orchestrator_client.variables import Variable, VariableScope, VariableType, Version

if TYPE_CHECKING:
    from orchestrator_client.why import Why


class AsyncMessages:
    """`Messages` for asyncio, with the same `cursor`."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    @property
    def cursor(self) -> str:
        """The position behind the last message."""
        return self._messages.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        message = await asyncio.to_thread(next, self._messages, None)
        if message is None:
            raise StopAsyncIteration
        return message


class AsyncVariables:
    """`Variables` for asyncio: the same methods, awaited."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables

    async def list(
        self, scope: VariableScope | str | None = None, type: VariableType | str | None = None, limit: int = LISTED
    ) -> Sequence[Variable]:
        """As `Variables.list`."""
        return await asyncio.to_thread(self._variables.list, scope, type, limit)

    async def get(self, name: str, within: str = "") -> Variable:
        """As `Variables.get`."""
        return await asyncio.to_thread(self._variables.get, name, within)

    async def set(
        self, name: str, value: Json, *, within: str = "", seconds: float | None = None, why: str = "", by: str = ""
    ) -> Variable:
        """As `Variables.set`."""
        told = partial(self._variables.set, name, value, within=within, seconds=seconds, why=why, by=by)
        return await asyncio.to_thread(told)

    async def history(self, name: str, within: str = "") -> Sequence[Version]:
        """As `Variables.history`."""
        return await asyncio.to_thread(self._variables.history, name, within)

    def changes(self, after: str = "0", timeout: float | None = None) -> AsyncIterator[Event]:
        """As `Variables.changes`."""
        return _in_threads(self._variables.changes(after, timeout))

    async def export(self) -> dict[str, Json]:
        """As `Variables.export`."""
        return await asyncio.to_thread(self._variables.export)

    async def restore(self, document: Mapping[str, Json], *, why: str = "", by: str = "") -> Sequence[str]:
        """As `Variables.restore`."""
        return await asyncio.to_thread(partial(self._variables.restore, document, why=why, by=by))


class AsyncRun:
    """`Run` for asyncio: the same methods, awaited. The work is done in threads."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.id = run.id

    @property
    def variables(self) -> AsyncVariables:
        """As `Run.variables`."""
        return AsyncVariables(self._run.variables)

    async def status(self) -> RunRecord:
        """As `Run.status`."""
        return await asyncio.to_thread(self._run.status)

    @overload
    def stream(
        self, after: str = "0", timeout: float | None = None, mode: Literal["events"] = "events"
    ) -> AsyncIterator[Event]: ...

    @overload
    def stream(self, after: str = "0", timeout: float | None = None, *, mode: Literal["messages"]) -> AsyncMessages: ...

    def stream(
        self, after: str = "0", timeout: float | None = None, mode: Literal["events", "messages"] = "events"
    ) -> AsyncIterator[Event] | AsyncMessages:
        """As `Run.stream`."""
        if mode == "messages":
            return AsyncMessages(self._run.stream(after, timeout, mode="messages"))
        return _in_threads(self._run.stream(after, timeout))

    async def wait(self, timeout: float | None = None) -> RunRecord:
        """As `Run.wait`."""
        return await asyncio.to_thread(self._run.wait, timeout)

    async def result(self, timeout: float | None = None) -> RunDocument:
        """As `Run.result`."""
        return await asyncio.to_thread(self._run.result, timeout)

    async def document(self, values: bool = True) -> RunDocument:
        """As `Run.document`."""
        return await asyncio.to_thread(self._run.document, values)

    async def value(self, step: str) -> Json:
        """As `Run.value`."""
        return await asyncio.to_thread(self._run.value, step)

    async def progress(self) -> RunProgress:
        """As `Run.progress`."""
        return await asyncio.to_thread(self._run.progress)

    async def why(self, step: str | None = None) -> list[Why]:
        """As `Run.why`."""
        return await asyncio.to_thread(self._run.why, step)

    async def children(self) -> list[RunRecord]:
        """As `Run.children`."""
        return await asyncio.to_thread(self._run.children)

    async def questions(self) -> list[AskedQuestion]:
        """As `Run.questions`."""
        return await asyncio.to_thread(self._run.questions)

    async def answer(self, step: str, value: Json, by: str = "") -> AskedQuestion:
        """As `Run.answer`."""
        return await asyncio.to_thread(self._run.answer, step, value, by)

    async def approve(self, step: str, *, approved: bool = True, comment: str = "", by: str = "") -> AskedQuestion:
        """As `Run.approve`."""
        return await asyncio.to_thread(self._run.approve, step, approved=approved, comment=comment, by=by)

    async def cancel(self) -> RunState:
        """As `Run.cancel`."""
        return await asyncio.to_thread(self._run.cancel)

    async def remove(self, force_seconds: float | None = None) -> list[str]:
        """As `Run.remove`."""
        return await asyncio.to_thread(self._run.remove, force_seconds)

    async def pause(self) -> Met:
        """As `Run.pause`."""
        return await asyncio.to_thread(self._run.pause)

    async def resume(self) -> Met:
        """As `Run.resume`."""
        return await asyncio.to_thread(self._run.resume)


async def _in_threads(events: Iterator[Event]) -> AsyncIterator[Event]:
    """The events, each awaited in a thread."""
    while (event := await asyncio.to_thread(next, events, None)) is not None:
        yield event
