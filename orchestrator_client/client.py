"""Submit pipelines and follow their runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from orchestrator_client.announce import Announcer
from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.run import RunDocument, RunRecord, RunState, Submission
from orchestrator_client.contract.submission import run_id_for
from orchestrator_client.store import RunStore
from orchestrator_client.watch import follow

if TYPE_CHECKING:
    from orchestrator_client.local import LocalFleet

URL_VARIABLE = "ORCHESTRATOR_REDIS_URL"
DEFAULT_URL = "redis://127.0.0.1:6379/0"


class Compilable(Protocol):
    """A StateGraph, or anything else that becomes a plan."""

    def compile(self) -> Plan: ...


Pipeline = str | Path | Plan | Compilable
"""A path to a YAML file, a plan, or a graph."""


def plan_of(pipeline: Pipeline) -> Plan:
    """The plan of a pipeline.

    Raises:
        PlanInvalid: it cannot run; carries every problem that was found.
    """
    if isinstance(pipeline, Plan):
        return pipeline
    if isinstance(pipeline, str | Path):
        from orchestrator_client.loader import load

        return load(pipeline).plan
    return pipeline.compile()


class Run:
    """One run, by its id. Holds nothing: every method asks the store."""

    def __init__(self, store: RunStore, run: str, check: Callable[[], None] = lambda: None) -> None:
        self._store, self._check = store, check
        self.id = run

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def status(self) -> RunRecord:
        """What the run is now.

        Raises:
            RunNotFound: the store has no such run (any more).
        """
        return self._store.record(self.id)

    def plan(self) -> Plan:
        """The plan that the run is pinned to."""
        return self._store.plan(self.id)

    def stream(self, after: str = "0", timeout: float | None = None) -> Iterator[Event]:
        """The run's events in order, until it has closed; from the first, or behind the event with the id `after`."""
        return follow(self._store, self.id, after, timeout, self._check)

    def wait(self, timeout: float | None = None) -> RunRecord:
        """Wait until the run has closed; seconds.

        Raises:
            TimeoutError: it has not by then. The run goes on.
        """
        last = self._store.last_event_id(self.id)
        if not (record := self.status()).state.ended:
            for _ in self.stream(last, timeout):
                continue
            record = self.status()
        return record

    def result(self, timeout: float | None = None) -> RunDocument:
        """Wait until the run has closed, and return its document, whether it went well or not.

        Raises:
            TimeoutError: it has not closed within `timeout` seconds. The run goes on.
        """
        self.wait(timeout)
        return self.document()

    def document(self, values: bool = True) -> RunDocument:
        """All that is known of the run at this moment; `values=False` leaves the steps' values out."""
        store = self._store
        record, plan = store.record(self.id), store.plan(self.id)
        stored = store.values(self.id) if values else {}
        return RunDocument.build(plan, record, store.receipts(self.id), store.open_instances(self.id), stored)

    def value(self, step: str) -> Json:
        """What one step left; None if it left nothing yet."""
        return self._store.values(self.id, [step]).get(step)

    def cancel(self) -> RunState:
        """Ask for the run's end: nothing of it starts any more, and what runs is stopped.

        Returns the state in which the wish met the run; one that has ended stays as it is.
        """
        return self._store.cancel(self.id)


class Client:
    """A connection to a fleet: submits runs and finds them again. Safe to share between threads."""

    def __init__(self, url: str | None = None, *, fleet: LocalFleet | None = None) -> None:
        self.url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        self._fleet = fleet
        self._store = RunStore(self.url)
        self._announcer = Announcer(self.url)

    @classmethod
    def local(cls, folder: str | Path = ".") -> Client:
        """A client with a fleet of its own: an embedded Redis and workers that live as long as it does.

        `folder` is the working folder of its runs. Workers start when the first plan is submitted.
        """
        from orchestrator_client.local import LocalFleet

        fleet = LocalFleet(Path(folder)).start()
        return cls(fleet.url, fleet=fleet)

    def submit(
        self,
        pipeline: Pipeline,
        inputs: Mapping[str, Json] | None = None,
        *,
        idempotency_key: str | None = None,
        tags: Sequence[str] = (),
    ) -> Run:
        """Record a run, and tell the fleet. Once this returns, the run will come to an end, whatever dies meanwhile.

        Submitting again with the same idempotency key gives the same run.

        Raises:
            PlanInvalid: the pipeline cannot run.
            InputsInvalid: the inputs do not fit it.
            RunConflict: the idempotency key stands for another submission.
            StoreUnavailable: Redis cannot be reached.
        """
        plan = plan_of(pipeline)
        submission = Submission(
            run=run_id_for(plan, idempotency_key),
            plan=plan,
            inputs=plan.bind(inputs or {}),
            tags=tuple(tags),
            idempotency_key=idempotency_key,
        )
        if self._fleet is not None:
            self._fleet.serve({step.queue for step in plan.steps})
        if self._store.submit(submission):
            self._announcer.announce(submission.run)
        return self._run(submission.run)

    def run(self, run: str) -> Run:
        """A run by its id.

        Raises:
            RunNotFound: the store has no such run.
        """
        self._store.record(run)
        return self._run(run)

    def runs(
        self, *, state: RunState | None = None, pipeline: str | None = None, tag: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Records of runs, newest first, that match all that is given."""
        found: list[RunRecord] = []
        for offset in range(0, 100_000, 500):
            page = self._store.runs(offset, 500)
            found += [record for record in page if _matches(record, state, pipeline, tag)]
            if len(found) >= limit or not page:
                break
        return found[:limit]

    def _run(self, run: str) -> Run:
        return Run(self._store, run, self._fleet.check) if self._fleet else Run(self._store, run)

    def close(self) -> None:
        """Give up the connections, and end the embedded fleet if there is one."""
        self._announcer.close()
        self._store.close()
        if self._fleet is not None:
            self._fleet.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _matches(record: RunRecord, state: RunState | None, pipeline: str | None, tag: str | None) -> bool:
    return (
        (state is None or record.state is state)
        and (pipeline is None or record.pipeline == pipeline)
        and (tag is None or tag in record.tags)
    )


class AsyncRun:
    """`Run` for asyncio: the same methods, awaited. The work is done in threads."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.id = run.id

    async def status(self) -> RunRecord:
        return await asyncio.to_thread(self._run.status)

    async def stream(self, after: str = "0", timeout: float | None = None) -> AsyncIterator[Event]:
        """As `Run.stream`."""
        events = self._run.stream(after, timeout)
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            yield event

    async def wait(self, timeout: float | None = None) -> RunRecord:
        return await asyncio.to_thread(self._run.wait, timeout)

    async def result(self, timeout: float | None = None) -> RunDocument:
        return await asyncio.to_thread(self._run.result, timeout)

    async def document(self, values: bool = True) -> RunDocument:
        return await asyncio.to_thread(self._run.document, values)

    async def value(self, step: str) -> Json:
        return await asyncio.to_thread(self._run.value, step)

    async def cancel(self) -> RunState:
        return await asyncio.to_thread(self._run.cancel)


class AsyncClient:
    """`Client` for asyncio: the same methods, awaited."""

    def __init__(self, url: str | None = None) -> None:
        self._client = Client(url)

    @classmethod
    async def local(cls, folder: str | Path = ".") -> AsyncClient:
        """As `Client.local`."""
        client = cls.__new__(cls)
        client._client = await asyncio.to_thread(Client.local, folder)
        return client

    async def submit(
        self,
        pipeline: Pipeline,
        inputs: Mapping[str, Json] | None = None,
        *,
        idempotency_key: str | None = None,
        tags: Sequence[str] = (),
    ) -> AsyncRun:
        """As `Client.submit`."""
        run = await asyncio.to_thread(self._client.submit, pipeline, inputs, idempotency_key=idempotency_key, tags=tags)
        return AsyncRun(run)

    async def run(self, run: str) -> AsyncRun:
        return AsyncRun(await asyncio.to_thread(self._client.run, run))

    async def runs(
        self, *, state: RunState | None = None, pipeline: str | None = None, tag: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        return await asyncio.to_thread(self._client.runs, state=state, pipeline=pipeline, tag=tag, limit=limit)

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
