"""The client of a fleet for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from orchestrator_client.budgets import BudgetView
from orchestrator_client.client.aio.run import AsyncRun
from orchestrator_client.client.aio.schedules import AsyncSchedules
from orchestrator_client.client.pipelines import Pipeline
from orchestrator_client.client.sync import Client
from orchestrator_client.contract.audit import AuditEntry
from orchestrator_client.contract.dead import DeadLetter
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.question import AskedQuestion
from orchestrator_client.contract.run import RunRecord, RunState
from orchestrator_client.costs import CostReport
from orchestrator_client.gates import GateView

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from orchestrator_client.contract.worker import WorkerInfo
    from orchestrator_client.doctor import Finding
    from orchestrator_client.estimate import Estimate
    from orchestrator_client.overview import Overview
    from orchestrator_client.reruns.forks import Rerun
    from orchestrator_client.soundness import Judgement


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

    async def keyless(self, pipeline: Pipeline) -> list[str]:
        """As `Client.keyless`."""
        return await asyncio.to_thread(self._client.keyless, pipeline)

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
