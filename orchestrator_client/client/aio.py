"""The client and its runs for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, overload

from orchestrator_client.budgets import BudgetView
from orchestrator_client.client.pipelines import Pipeline
from orchestrator_client.client.run import Run
from orchestrator_client.client.schedules import Schedules
from orchestrator_client.client.sync import Client
from orchestrator_client.client.variables import LISTED, Variables
from orchestrator_client.contract.audit import AuditEntry
from orchestrator_client.contract.dead import DeadLetter
from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.progress import RunProgress
from orchestrator_client.contract.question import AskedQuestion
from orchestrator_client.contract.run import Met, RunDocument, RunRecord, RunState
from orchestrator_client.contract.schedule import Schedule
from orchestrator_client.costs import CostReport
from orchestrator_client.gates import GateView
from orchestrator_client.messages import Message, Messages
from orchestrator_client.variables import Variable, VariableScope, VariableType, Version
from orchestrator_client.why import Why

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from orchestrator_client.contract.worker import WorkerInfo
    from orchestrator_client.doctor import Finding
    from orchestrator_client.estimate import Estimate
    from orchestrator_client.overview import Overview
    from orchestrator_client.reruns.forks import Rerun
    from orchestrator_client.soundness import Judgement


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


class AsyncSchedules:
    """`Schedules` for asyncio: the same methods, awaited."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    async def add(
        self,
        pipeline: Pipeline,
        cron: str,
        inputs: Mapping[str, Json] | None = None,
        *,
        name: str = "",
        tz: str = "UTC",
        overlap: str = "skip",
        tags: Sequence[str] = (),
        tenant: str = "",
        budget_usd: Decimal | float | str | None = None,
        on_breach: str = "fail",
        allow_tools: Sequence[str] | None = None,
        replace: bool = False,
    ) -> Schedule:
        """As `Schedules.add`."""
        return await asyncio.to_thread(
            self._schedules.add,
            pipeline,
            cron,
            inputs,
            name=name,
            tz=tz,
            overlap=overlap,
            tags=tags,
            tenant=tenant,
            budget_usd=budget_usd,
            on_breach=on_breach,
            allow_tools=allow_tools,
            replace=replace,
        )

    async def list(self) -> Sequence[Schedule]:
        """As `Schedules.list`."""
        return await asyncio.to_thread(self._schedules.list)

    async def get(self, name: str) -> Schedule:
        """As `Schedules.get`."""
        return await asyncio.to_thread(self._schedules.get, name)

    async def pause(self, name: str) -> bool:
        """As `Schedules.pause`."""
        return await asyncio.to_thread(self._schedules.pause, name)

    async def resume(self, name: str) -> bool:
        """As `Schedules.resume`."""
        return await asyncio.to_thread(self._schedules.resume, name)

    async def remove(self, name: str) -> None:
        """As `Schedules.remove`."""
        await asyncio.to_thread(self._schedules.remove, name)

    async def run_now(self, name: str) -> AsyncRun:
        """As `Schedules.run_now`."""
        return AsyncRun(await asyncio.to_thread(self._schedules.run_now, name))


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


class AsyncClient:
    """`Client` for asyncio: the same methods, awaited."""

    def __init__(self, url: str | None = None, *, actor: str | None = None) -> None:
        self._client = Client(url, actor=actor)

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
        tenant: str = "",
        budget_usd: Decimal | float | str | None = None,
        on_breach: str = "fail",
        stream_text: bool = False,
        answers: Mapping[str, Json] | None = None,
        answer_defaults: bool = False,
        allow_tools: Sequence[str] | None = None,
        webhook: str | None = None,
        webhook_secret: str = "",
        webhook_values: bool = False,
    ) -> AsyncRun:
        """As `Client.submit`."""
        run = await asyncio.to_thread(
            self._client.submit,
            pipeline,
            inputs,
            idempotency_key=idempotency_key,
            tags=tags,
            tenant=tenant,
            budget_usd=budget_usd,
            on_breach=on_breach,
            stream_text=stream_text,
            answers=answers,
            answer_defaults=answer_defaults,
            allow_tools=allow_tools,
            webhook=webhook,
            webhook_secret=webhook_secret,
            webhook_values=webhook_values,
        )
        return AsyncRun(run)

    async def rerun(
        self,
        run: str,
        steps: Sequence[str] = (),
        inputs: Mapping[str, Json] | None = None,
        pipeline: Pipeline | None = None,
    ) -> Rerun:
        """As `Client.rerun`."""
        return await asyncio.to_thread(self._client.rerun, run, steps, inputs, pipeline)

    async def retry(
        self,
        run: str,
        steps: Sequence[str] = (),
        *,
        budget_usd: Decimal | float | str | None = None,
        on_breach: str = "fail",
    ) -> AsyncRun:
        """As `Client.retry`."""
        retry = self._client.retry
        return AsyncRun(await asyncio.to_thread(retry, run, steps, budget_usd=budget_usd, on_breach=on_breach))

    async def fork(
        self,
        run: str,
        steps: Sequence[str] = (),
        inputs: Mapping[str, Json] | None = None,
        *,
        pipeline: Pipeline | None = None,
        budget_usd: Decimal | float | str | None = None,
        on_breach: str = "fail",
        idempotency_key: str | None = None,
    ) -> AsyncRun:
        """As `Client.fork`."""
        forked = await asyncio.to_thread(
            self._client.fork,
            run,
            steps,
            inputs,
            pipeline=pipeline,
            budget_usd=budget_usd,
            on_breach=on_breach,
            idempotency_key=idempotency_key,
        )
        return AsyncRun(forked)

    @property
    def schedules(self) -> AsyncSchedules:
        """As `Client.schedules`."""
        return AsyncSchedules(self._client.schedules)

    async def run(self, run: str) -> AsyncRun:
        """As `Client.run`."""
        return AsyncRun(await asyncio.to_thread(self._client.run, run))

    async def runs(
        self, *, state: RunState | None = None, pipeline: str | None = None, tag: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """As `Client.runs`."""
        return await asyncio.to_thread(self._client.runs, state=state, pipeline=pipeline, tag=tag, limit=limit)

    async def questions(self) -> list[AskedQuestion]:
        """As `Client.questions`."""
        return await asyncio.to_thread(self._client.questions)

    async def audit(self, run: str | None = None, *, act: str | None = None, limit: int = 100) -> list[AuditEntry]:
        """As `Client.audit`."""
        return await asyncio.to_thread(partial(self._client.audit, run, act=act, limit=limit))

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """As `Client.dead_letters`."""
        return await asyncio.to_thread(self._client.dead_letters, limit)

    async def dead_letter(self, letter: str) -> DeadLetter:
        """As `Client.dead_letter`."""
        return await asyncio.to_thread(self._client.dead_letter, letter)

    async def requeue_dead_letter(self, letter: str) -> None:
        """As `Client.requeue_dead_letter`."""
        await asyncio.to_thread(self._client.requeue_dead_letter, letter)

    async def drop_dead_letter(self, letter: str) -> None:
        """As `Client.drop_dead_letter`."""
        await asyncio.to_thread(self._client.drop_dead_letter, letter)

    async def limits(self) -> list[GateView]:
        """As `Client.limits`."""
        return await asyncio.to_thread(self._client.limits)

    async def set_limits(self, scope: str, **limits: int | None) -> None:
        """As `Client.set_limits`."""
        await asyncio.to_thread(self._client.set_limits, scope, **limits)

    async def learn_limits(self, scope: str) -> None:
        """As `Client.learn_limits`."""
        await asyncio.to_thread(self._client.learn_limits, scope)

    async def doctor(self) -> list[Finding]:
        """As `Client.doctor`."""
        return await asyncio.to_thread(self._client.doctor)

    async def overview(self) -> Overview:
        """As `Client.overview`."""
        return await asyncio.to_thread(self._client.overview)

    async def workers(self) -> list[WorkerInfo]:
        """As `Client.workers`."""
        return await asyncio.to_thread(self._client.workers)

    async def unserved(self, pipeline: Pipeline) -> list[str]:
        """As `Client.unserved`."""
        return await asyncio.to_thread(self._client.unserved, pipeline)

    async def export_metrics(self, registry: CollectorRegistry | None = None) -> None:
        """As `Client.export_metrics`."""
        await asyncio.to_thread(self._client.export_metrics, registry)

    async def cost(
        self,
        run: str | None = None,
        *,
        tag: str | None = None,
        tenant: str | None = None,
        since: int | str | date | None = None,
        by: Literal["model", "day"] = "model",
    ) -> CostReport:
        """As `Client.cost`."""
        return await asyncio.to_thread(self._client.cost, run, tag=tag, tenant=tenant, since=since, by=by)

    async def verify(self, run: str) -> Judgement:
        """As `Client.verify`."""
        return await asyncio.to_thread(self._client.verify, run)

    async def budget(self, name: str, per: str | None = None) -> BudgetView:
        """As `Client.budget`."""
        return await asyncio.to_thread(self._client.budget, name, per)

    async def set_budget(self, name: str, usd: Decimal | float | str, per: str | None = None) -> int:
        """As `Client.set_budget`."""
        return await asyncio.to_thread(self._client.set_budget, name, usd, per)

    async def estimate(self, pipeline: Pipeline, inputs: Mapping[str, Json] | None = None) -> Estimate:
        """As `Client.estimate`."""
        return await asyncio.to_thread(self._client.estimate, pipeline, inputs)

    async def close(self) -> None:
        """As `Client.close`."""
        await asyncio.to_thread(self._client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _in_threads(events: Iterator[Event]) -> AsyncIterator[Event]:
    """The events, each awaited in a thread."""
    while (event := await asyncio.to_thread(next, events, None)) is not None:
        yield event
