"""Schedules for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal

from orchestrator_client.client.aio.run import AsyncRun
from orchestrator_client.client.pipelines import Pipeline
from orchestrator_client.client.schedules import Schedules
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.schedule import Schedule


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
