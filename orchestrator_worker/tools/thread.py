"""Plain functions that a coroutine waits for, so that a call can be given up whatever the function does."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar, cast

from orchestrator_worker.process.interruption import Interrupted, raise_in

T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """Call the function in a thread of its own, and wait for what it returns.

    When the waiting is cancelled it ends at once, and the function when it next executes Python. A thread for each
    call, and no pool: one that hangs inside C is then in nobody's way.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def end(result: T | None, error: BaseException | None) -> None:
        if not ended.done():
            ended.set_result((result, error))

    def run() -> None:
        try:
            try:
                result = context.run(call)
            except Interrupted:
                raise
            except BaseException as error:  # noqa: BLE001 - it is raised where the call is waited for
                loop.call_soon_threadsafe(end, None, error)
            else:
                loop.call_soon_threadsafe(end, result, None)
        except Interrupted:
            return  # nobody waits any more

    thread = threading.Thread(target=run, name="tool", daemon=True)
    thread.start()
    try:
        result, error = await ended
    except asyncio.CancelledError:
        raise_in(cast("int", thread.ident), Interrupted)
        raise
    if error is not None:
        raise error
    return cast("T", result)
