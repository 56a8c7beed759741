"""Named points at which a process dies as by `kill -9`: before and after each thing that is done to the store.

`CHAOS_CRASH` is `when:point:nth:flag`: the first process that gets there for the nth time makes the file `flag`, and
dies. It is for whole workers, supervisors included, so it is armed at Python's start; see `site/sitecustomize.py`.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from importlib import import_module
from typing import Any

POINTS = {
    "start": "orchestrator_worker.store.verbs:Verbs.start_run",
    "claim": "orchestrator_worker.store.verbs:Verbs.claim",
    "settle": "orchestrator_worker.store.verbs:Verbs.settle",
    "park": "orchestrator_worker.store.verbs:Verbs.park",
    "renew": "orchestrator_worker.store.verbs:Verbs.renew",
    "sweep": "orchestrator_worker.store.verbs:Verbs.sweep",
    "close": "orchestrator_worker.store.verbs:Verbs.close_run",
    "publish": "orchestrator_worker.canvas:Canvas.publish",
    "submit": "orchestrator_client.store.runs:RunStore.submit",
    "announce": "orchestrator_client.announce:Announcer.announce",
}
WHEN = ("before", "after")


def arm(spec: str) -> None:
    """Have this process die at its point.

    Raises:
        KeyError, ValueError: there is no such point.
    """
    when, point, nth, flag = spec.split(":", 3)
    if when not in WHEN:
        raise ValueError(f"{when!r} is none of {WHEN}")
    module, _, path = POINTS[point].partition(":")
    owner, _, method = path.partition(".")
    kind = getattr(import_module(module), owner)
    setattr(kind, method, _deadly(getattr(kind, method), when, int(nth), flag))


def _deadly(method: Callable[..., Any], when: str, nth: int, flag: str) -> Callable[..., Any]:
    count = 0

    def die() -> None:
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(method)
    def replaced(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if when == "before" and count == nth:
            die()
        result = method(*args, **kwargs)
        if when == "after" and count == nth:
            die()
        return result

    return replaced
