"""The page *Runs*: a list that is filtered, searched and paged, and keeps itself up to date."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from orchestrator_client.flower.guard import Page
from orchestrator_client.flower.listing import Listing, Wanted
from orchestrator_client.flower.stream import Message, Stream
from orchestrator_client.store.pages import Place

LOOK_SECONDS = 1.0
"""How often a list that somebody looks at is read again."""

AT_REST = 9
"""Times as long as a look took that nothing is looked at: a rare thing among many runs is looked for all the time."""

ALIVE_LOOKS = 10
"""Looks without news after which the connection is shown to be alive."""

FILTERS = ("text", "state", "pipeline", "tag")


class _OfRuns(Page):
    """What the page and its stream have in common."""

    def wanted(self) -> Wanted:
        """What the address asks for."""
        given = {name: self.get_query_argument(name, "").strip()[:200] for name in FILTERS}
        return Wanted(**given, before=place_of(self.get_query_argument("before", "")))

    async def page(self, wanted: Wanted) -> dict[str, Any]:
        listing = await self.read(partial(self.room.lists.page, wanted))
        return {"runs": listing.runs, "older": self._address_of(wanted, listing)}

    def _address_of(self, wanted: Wanted, listing: Listing) -> str:
        """Of the next page; empty if there is none."""
        if listing.next is None:
            return ""
        filters = {name: value for name in FILTERS if (value := getattr(wanted, name))}
        place = f"{listing.next.submitted_ms:.0f}~{listing.next.run}"
        return f"{self.reverse_url('orchestrator-runs')}?{urlencode({**filters, 'before': place})}"


class RunsPage(_OfRuns):
    """The list."""

    async def get(self) -> None:
        wanted = self.wanted()
        page = await self.page(wanted)
        given: Mapping[str, Any] = {
            **page,
            "first": wanted.before is None,
            "wanted": {name: getattr(wanted, name) for name in FILTERS},
            "may": self.may_change,
        }
        self.show("runs", given, "Runs")


class RunsStream(Stream, _OfRuns):
    """Sends the page again whenever something on it has changed."""

    async def messages(self, *path: str) -> AsyncGenerator[Message]:  # noqa: ARG002 - one of several
        wanted, sent, looks = self.wanted(), None, 0
        while True:
            began = time.monotonic()
            page = await self.page(wanted)
            took = time.monotonic() - began
            looks = 0 if page != sent else looks + 1
            if page != sent:
                sent = page
                yield "", page
            elif looks % ALIVE_LOOKS == 0:
                yield "", None
            await asyncio.sleep(max(LOOK_SECONDS, took * AT_REST))


def place_of(text: str) -> Place | None:
    """A place as an address has it; None where it has none."""
    submitted, tilde, run = text.partition("~")
    return Place(float(submitted), run) if tilde and submitted.isdecimal() else None
