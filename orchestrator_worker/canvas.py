"""The growing chord: the one place that leans on how Celery keeps a chord in Redis.

A run is one chord. Its header begins as the entry steps; whoever settles a step raises the chord's expected size by
the steps that became ready, in the same script, and then publishes those steps into the same chord. It closes when the
last of them has returned, and Celery calls the body, `close`. Five facts of Celery 5.7 carry this, and
`tests/fundamentals/test_celery_contract.py` fails when one of them changes:

1. the expected size is the key `.s` plus the key `.t` of the group;
2. a part counts once per (task id, group index);
3. a task that raises `Ignore` is not counted;
4. a failed part keeps Celery from calling the body: it stores an error of its own as the body's result, and calls
   errbacks under ids of their own. So every step returns its part itself, by `return_part`;
5. a task whose request names no chord any more is not counted when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from celery import Celery, states
from celery._state import _set_task_join_will_block
from kombu.exceptions import BatchPublishError, OperationalError

from orchestrator_client.contract.envelope import Keyring
from orchestrator_client.contract.message import (
    Hint,
    Message,
    close_message,
    publish,
    start_message,
    step_message,
)
from orchestrator_client.contract.plan import Json
from orchestrator_worker.patience import patiently
from orchestrator_worker.store.connection import is_away as store_is_away

T = TypeVar("T")


class Canvas:
    """Publishes steps into their runs' chords.

    A broker that is away is waited for, as the store is: they are one Redis. A message may then be sent twice, which
    does no harm.
    """

    def __init__(self, app: Celery, keys: Keyring, patience_seconds: float) -> None:
        self._app, self._keys, self._patience_seconds = app, keys, patience_seconds

    def size_key(self, run: str) -> str:
        """String: how many entry steps the chord began with."""
        return self._key(run, ".s")

    def growth_key(self, run: str) -> str:
        """String: by how many steps the chord has grown."""
        return self._key(run, ".t")

    def _key(self, run: str, suffix: str) -> str:
        key = self._app.backend.get_key_for_group(run, suffix)
        return key.decode() if isinstance(key, bytes) else str(key)

    def publish(self, hints: Iterable[Hint]) -> None:
        """Send the messages of these steps, a thousand in a round trip.

        A process that dies here has lost hints, not steps: `sweep` finds every ready instance in the store.
        """
        self._send([step_message(hint, self._keys) for hint in hints])

    def publish_start(self, run: str) -> None:
        """Ask a worker to open this run's chord."""
        self._send([start_message(run, self._keys)])

    def publish_close(self, run: str) -> None:
        """Ask a worker to close this run, which its chord did not."""
        self._send([close_message(run, self._keys)])

    def _send(self, messages: Sequence[Message]) -> None:
        def send() -> None:
            with self._app.producer_pool.acquire(block=True) as producer, producer.batch():
                for message in messages:
                    publish(producer, message)

        self.patiently(send)

    def return_part(self, request: Any) -> None:
        """Count a step that has ended as a part of its chord; Celery then records how it ended, and counts no more.

        Celery would count it as well, but takes a store that is away at that moment for a failure of the step.
        """
        self.patiently(lambda: self._app.backend.on_chord_part_return(request, states.SUCCESS, None))
        request.chord = None

    def patiently(self, call: Callable[[], T]) -> T:
        """What the call returns, once the broker answers.

        Raises:
            StoreUnavailable: it did not for as long as the settings allow.
        """
        return patiently(call, is_away, self._patience_seconds)


def is_away(error: Exception) -> bool:
    """Whether kombu or the store below it will be back."""
    return isinstance(error, OperationalError | BatchPublishError | OSError) or store_is_away(error)


def never_join() -> None:
    """Keep a worker from listening for results: nothing here waits for one, and a pool of threads would subscribe to
    each run's. Pools of processes do this by themselves.
    """
    _set_task_join_will_block(True)


CARRIED = ("callbacks", "errbacks", "chain", "chord", "group", "group_index")
"""What Celery does after a task: for a run in somebody's canvas, it is done after `close` instead."""


def carried_by(request: Any) -> dict[str, Any] | None:
    """What the canvas around this `run_pipeline` expects; None where nobody reads its result."""
    if request.ignore_result:
        return None
    return {name: getattr(request, name, None) for name in CARRIED}


def resume(request: Any, carried: dict[str, Any] | None) -> None:
    """Let `close` answer for the run's task: with its callbacks, chain and chord, or with no result at all."""
    if carried is None:
        request.ignore_result = True
    else:
        request.update(carried)


def survives_transport(value: Json) -> bool:
    """Whether kombu's JSON gives this value back as it is: it makes objects of mappings with the key `__type__`."""
    if isinstance(value, dict):
        return "__type__" not in value and all(map(survives_transport, value.values()))
    return not isinstance(value, list) or all(map(survives_transport, value))
