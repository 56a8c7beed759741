"""How a store that is away is waited for: timeouts of its sockets, and repetition until it is back."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

from orchestrator_client.contract.errors import StoreUnavailable

T = TypeVar("T")

CONNECT_SECONDS = 2.0
"""For a connection to be made. A lost SYN is sent again after one second; one that is late by then is not coming."""

SOCKET_SECONDS = 3.0
"""For one read or write. No script takes a tenth of it, and whatever was sent may be sent again."""

IDLE_SECONDS = 2
"""After which a connection on which nothing came is made anew. A beat keeps its own."""

OVERDUE_SECONDS = 1
"""By which the answer to a worker's question for messages may be late. It is due after a second and looked for every
so many, so a worker with a dead connection asks on another one within three."""

_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""A connection on which nobody speaks is known to be dead after 11 s."""

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0


def socket_options(url: str) -> dict[str, Any]:
    """What redis-py and kombu are told of the sockets of this Redis."""
    if url.startswith("unix:"):
        return {"socket_timeout": SOCKET_SECONDS}
    keepalive = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}
    return {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "socket_keepalive_options": keepalive,
    }


def patiently(call: Callable[[], T], is_away: Callable[[Exception], bool], seconds: float) -> T:
    """What the call returns, once it is answered. It may be carried out more than once.

    Raises:
        StoreUnavailable: it was not for so many seconds.
    """
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except Exception as error:
            if not is_away(error):
                raise
            if time.monotonic() + pause > deadline:
                raise StoreUnavailable(f"Redis did not answer for {seconds:g} s: {error}") from error
        time.sleep(pause)
        pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
