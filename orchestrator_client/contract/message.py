"""The message of a step: what makes a worker look whether an attempt may start. A hint, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import SERIALIZER, Keyring, Written, dumps

GROUP_INDEX = 0
"""One index for all steps of a run: parts of its chord differ by task id."""

HARD_LIMIT_SECONDS = 5.0
"""After a step's own timeout its process gets this long to notice, then it is killed."""

FIRST = 1
"""Priority of a message that goes before all others of its queue; the others have none."""


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
    first: bool = False
    """It has waited for its turn before, and goes before all that wait in the queue."""


def close_signature(run: str) -> dict[str, Any]:
    """The chord's body. Its id is the run, whose result is thus the result of `run_pipeline`."""
    return {"task": names.CLOSE_TASK, "args": [], "kwargs": {}, "options": {"task_id": run}, "immutable": True}


@dataclass(frozen=True, slots=True)
class Message:
    """A message of ours, ready to be put into a queue."""

    headers: dict[str, Any]
    """In Celery's task protocol 2, without the fields that would say nothing."""
    body: Written
    """Arguments, and what Celery does afterwards."""
    queue: str
    first: bool = False


def publish(producer: Any, message: Message) -> None:
    """Send it by one of kombu's producers, in whose process `envelope.SERIALIZER` is registered."""
    # The anonymous exchange puts a message into the queue that it names, without looking up bindings.
    producer.publish(
        message.body,
        exchange="",
        routing_key=message.queue,
        headers=message.headers,
        serializer=SERIALIZER,
        priority=FIRST if message.first else 0,
    )


def step_message(hint: Hint, keys: Keyring) -> Message:
    """Asks for one attempt. Under 1 KB whatever the plan: it names a run, an instance and an attempt."""
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
    return _sealed(headers, step_body(hint.run, hint.instance, hint.attempt), hint.queue, keys, hint.first)


def step_body(run: str, instance: str, attempt: int) -> list[Any]:
    """What a step's message says."""
    return [[run, instance, attempt], {}, {"chord": close_signature(run)}]


def start_message(run: str, keys: Keyring) -> Message:
    """Asks for the run to be started, whose record is in the store."""
    return _run_message(names.RUN_TASK, run, keys)


def close_message(run: str, keys: Keyring) -> Message:
    """Asks whether the run can be closed."""
    return _run_message(names.CLOSE_TASK, run, keys)


def _run_message(task: str, run: str, keys: Keyring) -> Message:
    # Whoever asks for the result of the task that started the run gets that of `close`.
    headers = {"lang": "py", "task": task, "id": run, "argsrepr": run, "ignore_result": task == names.RUN_TASK}
    return _sealed(headers, [[run], {}, {}], names.CONTROL_QUEUE, keys)


def _sealed(headers: dict[str, Any], body: list[Any], queue: str, keys: Keyring, first: bool = False) -> Message:
    text = dumps(body)
    return Message(keys.sign_message(headers, text, queue), text, queue, first)
