"""Follow a run: its events in order, from any point, for as long as it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from orchestrator_client.contract.event import Event, EventKind
from orchestrator_client.store import RunStore

WAIT_MS = 1_000
"""Longest single wait for an event, so that a caller's Ctrl-C or time limit is noticed."""


def follow(
    store: RunStore,
    run: str,
    after: str = "0",
    timeout: float | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Event]:
    """Events behind `after`, until the run has closed.

    `check` is called about once a second; what it raises ends the wait. A reader that was interrupted continues with
    the id of the last event that it saw.

    Raises:
        TimeoutError: `timeout` seconds passed and the run has not closed.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        wait_ms = time_left_ms(deadline)
        if wait_ms <= 0:
            raise TimeoutError(f"run {run} has not ended within {timeout:g} s; it goes on")
        check()
        events = store.events(run, after, min(WAIT_MS, wait_ms))
        for event in events:
            yield event
            if event.kind is EventKind.RUN_CLOSED:
                return
            after = event.id
        if not events and store.record(run).state.ended and not store.events(run, after, 0):
            return


def time_left_ms(deadline: float | None) -> int:
    """Until a time of the monotonic clock, in seconds; None is never."""
    return WAIT_MS if deadline is None else round((deadline - time.monotonic()) * 1000)
