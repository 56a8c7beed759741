"""The page *Limits*: what providers allow, what is used of it, who waits, and the weather."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from orchestrator_client.flower.guard import Page
from orchestrator_client.flower.stream import Message, Stream

LOOK_SECONDS = 2.0
"""How often the limits that somebody looks at are read."""

ALIVE_LOOKS = 5
"""Looks without news after which the connection is shown to be alive."""


class _OfLimits(Page):
    """What the page and its stream have in common."""

    async def gates(self) -> list[dict[str, Any]]:
        found = await self.read(self.room.client.limits)
        return [gate.model_dump(mode="json") for gate in found]


class LimitsPage(_OfLimits):
    """A card for each scope of which something is known."""

    async def get(self) -> None:
        page = {"gates": await self.gates()}
        self.show("limits", page, "Limits")


class LimitsStream(Stream, _OfLimits):
    """Sends all of it whenever something has changed."""

    async def messages(self, *path: str) -> AsyncGenerator[Message]:  # noqa: ARG002 - one of several
        sent, looks = None, 0
        while True:
            gates = await self.gates()
            looks = 0 if gates != sent else looks + 1
            if gates != sent:
                sent = gates
                yield "", {"gates": gates}
            elif looks % ALIVE_LOOKS == 0:
                yield "", None
            await asyncio.sleep(LOOK_SECONDS)
