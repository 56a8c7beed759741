"""Celery's pool of processes, quicker to replace a dead one.

Celery 5.7 looks when a child's pipe closes, which is a moment before the child can be waited for, so it sees nothing
and looks again five seconds later. Meanwhile the child's place is empty. Looking costs one waitpid a child.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from billiard.util import get_pdeathsig
from celery.concurrency import asynpool, prefork

MOMENT_SECONDS = 0.02
"""From the end of a child's pipe to its own."""

LOOK_SECONDS = 0.5
"""Where the moment was longer, or nobody saw the pipe close."""


class QuickPool(asynpool.AsynPool):  # type: ignore[misc]
    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        """As Celery's, and another look."""
        super()._event_process_exit(hub, proc)
        hub.call_later(MOMENT_SECONDS, self.maintain_pool)

    @property
    def timers(self) -> dict[object, float]:
        return {self.maintain_pool: LOOK_SECONDS}


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """Named to Celery by `__main__.py`."""

    Pool = QuickPool

    def on_start(self) -> None:
        # Each child begins with a call of this kind, for which billiard uses cffi if that is loaded, which then loads
        # a parser of C: 40 ms of a processor, once here or else in every child.
        with suppress(OSError):
            get_pdeathsig()
        super().on_start()
