"""Celery's pool of processes, quicker to replace a dead one.

Celery 5.7 looks when a child's pipe closes, which is a moment before the child can be waited for, so it sees nothing
and looks again five seconds later. Meanwhile the child's place is empty. Looking costs one waitpid a child.
"""

from __future__ import annotations

from celery.concurrency import asynpool, prefork

LOOK_SECONDS = 0.5


class QuickPool(asynpool.AsynPool):  # type: ignore[misc]
    @property
    def timers(self) -> dict[object, float]:
        return {self.maintain_pool: LOOK_SECONDS}


class TaskPool(prefork.TaskPool):  # type: ignore[misc]
    """Named to Celery by `__main__.py`."""

    Pool = QuickPool
