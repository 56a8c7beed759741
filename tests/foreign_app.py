"""Somebody else's Celery application: it shares the fleet's Redis and knows nothing of how runs work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery

QUEUE = "foreign"

app = Celery("foreign", set_as_current=False)
app.conf.update(
    broker_url=os.environ.get("FOREIGN_URL"),
    result_backend=os.environ.get("FOREIGN_URL"),
    broker_connection_retry_on_startup=True,
    result_expires=600,
    task_default_queue=QUEUE,
)


@app.task(name="foreign.keep")
def keep(result: Any, ledger: str | None = None) -> dict[str, Any]:
    """What the task before this one returned; with a ledger, a line of it says that this task has run."""
    if ledger is not None:
        with Path(ledger).open("a") as file:
            file.write("kept\n")
    return {"kept": result}


@app.task(name="foreign.collect")
def collect(results: list[Any]) -> dict[str, Any]:
    """What all parts of a chord returned."""
    return {"collected": results}


@app.task(name="foreign.note_error")
def note_error(failed: str, *, path: str) -> None:
    """An errback: the id of the task that failed, in a file."""
    Path(path).write_text(failed)
