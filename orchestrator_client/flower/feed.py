"""What happens in the runs that pages show: read from Redis once, by one thread, for however many pages."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_client.contract.event import Event
from orchestrator_client.store.pages import PageStore

WAIT_MS = 300
"""Longest single wait for an event: by so much may the first one be late of a run that nobody watched before."""

PAUSE_SECONDS = 1.0
"""Between two tries at a Redis that is away."""

logger = logging.getLogger(__name__)

Inbox = asyncio.Queue[list[Event]]


class Feed:
    """Delivers events of runs to those who watch them."""

    def __init__(self, store: PageStore) -> None:
        self._store = store
        self._changed = threading.Condition()
        self._cursors: dict[str, str] = {}
        self._inboxes: dict[str, list[tuple[asyncio.AbstractEventLoop, Inbox]]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, run: str, after: str) -> Iterator[Inbox]:
        """An inbox of what happens in a run behind this event.

        Who joins others may be sent events again that are not behind it, and gets none that came before it joined: it
        reads those itself.
        """
        inbox: Inbox = asyncio.Queue()
        reader = (asyncio.get_running_loop(), inbox)
        with self._changed:
            self._cursors.setdefault(run, after)
            self._inboxes.setdefault(run, []).append(reader)
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name="orchestrator-feed", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield inbox
        finally:
            with self._changed:
                self._inboxes[run].remove(reader)
                if not self._inboxes[run]:
                    del self._inboxes[run], self._cursors[run]

    def _deliver(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._cursors)
                cursors = dict(self._cursors)
            try:
                found = self._store.events(cursors, WAIT_MS)
            except StoreUnavailable as error:
                logger.warning("pages get no events for the moment: %s", error)
                threading.Event().wait(PAUSE_SECONDS)
                continue
            with self._changed:
                for run, events in found.items():
                    # Nobody may watch it any more, or somebody anew and from another place.
                    if self._cursors.get(run) == cursors[run]:
                        self._cursors[run] = events[-1].id
                        for loop, inbox in self._inboxes[run]:
                            loop.call_soon_threadsafe(inbox.put_nowait, events)
