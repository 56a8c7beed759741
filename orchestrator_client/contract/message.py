"""The message of a step: what makes a worker look whether an attempt may start. A hint, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator_client.contract import names

GROUP_INDEX = 0
"""One index for all steps of a run: parts of its chord differ by task id."""

HARD_LIMIT_SECONDS = 5.0
"""After a step's own timeout its process gets this long to notice, then it is killed."""


@dataclass(frozen=True, slots=True)
class Hint:
    """One message to send: this attempt of this instance may start."""

    run: str
    instance: str
    attempt: int
    queue: str
    label: str
    """What Flower lists as the task's name."""
    timeout_seconds: float | None = None


def close_signature(run: str) -> dict[str, Any]:
    """The chord's body. Its id is the run, whose result is thus the result of `run_pipeline`."""
    return {"task": names.CLOSE_TASK, "args": [], "kwargs": {}, "options": {"task_id": run}, "immutable": True}


def step_message(hint: Hint) -> tuple[list[Any], dict[str, Any]]:
    """Body and headers of a step's message, in Celery's task protocol 2 without the fields that would say nothing.

    Under 1 KB whatever the plan: it names a run, an instance and an attempt.
    """
    limit = hint.timeout_seconds
    headers = {
        "lang": "py",
        "task": names.STEP_TASK,
        "id": names.task_id(hint.run, hint.instance),
        "group": hint.run,
        "group_index": GROUP_INDEX,
        "shadow": hint.label,
        "argsrepr": f"{hint.run} {hint.instance}",
        "retries": hint.attempt - 1,
        "timelimit": [limit + HARD_LIMIT_SECONDS if limit else None, None],
    }
    body = [[hint.run, hint.instance, hint.attempt], {}, {"chord": close_signature(hint.run)}]
    return body, headers
