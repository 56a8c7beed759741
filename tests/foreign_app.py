"""Somebody else's Celery application: it shares the fleet's Redis and knows nothing of how runs work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery, Signature, signature
from celery._state import get_current_app

from tests.fleet import close_app

QUEUE = "foreign"


def create(url: str | None) -> Celery:
    """The application, on this broker and result backend."""
    foreign = Celery("foreign", broker=url, backend=url, set_as_current=False)
    foreign.conf.update(broker_connection_retry_on_startup=True, result_expires=600, task_default_queue=QUEUE)
    return foreign


app = create(os.environ.get("FOREIGN_URL"))
"""What its worker runs; the variable has Celery's spelling of the fleet's Redis."""


@contextmanager
def at(url: str) -> Iterator[Celery]:
    """The application as the process that sends has it: its only one, and so the current one."""
    before, foreign = get_current_app(), create(url)
    foreign.set_current()
    try:
        yield foreign
    finally:
        before.set_current()
        # Results that are collected later would each open the connection again, to take back their subscription.
        foreign.backend.result_consumer.stop()
        foreign.backend.result_consumer._pubsub = None
        close_app(foreign)


def call(task: Any, *args: Any, **kwargs: Any) -> Signature:
    """A signature of one of its tasks that names the queue: whoever publishes what follows a run is one of our
    workers, and knows only its own application's routes.
    """
    return signature(task.name, args, kwargs, queue=QUEUE)


@app.task(name="foreign.keep")  # type: ignore[untyped-decorator]
def keep(result: Any, ledger: str | None = None) -> dict[str, Any]:
    """What the task before this one returned; with a ledger, a line of it says that this task has run."""
    if ledger is not None:
        with Path(ledger).open("a") as file:
            file.write("kept\n")
    return {"kept": result}


@app.task(name="foreign.collect")  # type: ignore[untyped-decorator]
def collect(results: list[Any]) -> dict[str, Any]:
    """What all parts of a chord returned."""
    return {"collected": results}


@app.task(name="foreign.note_error")  # type: ignore[untyped-decorator]
def note_error(failed: str, *, path: str) -> None:
    """An errback: the id of the task that failed, in a file that is there only once it is whole."""
    written = Path(f"{path}.part")
    written.write_text(failed)
    written.rename(path)
