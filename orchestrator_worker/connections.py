"""Connections to Redis that are kept for as long as they are spoken on."""

from __future__ import annotations

import time
from typing import Any

import redis


class Connections(redis.ConnectionPool):
    """A pool that makes a connection anew, once nothing has come over it for its `health_check_interval`.

    redis-py would send PING and wait. One that never answers costs a timeout of a socket then, and a step that ends
    uses three connections in a row: the store's, the broker's and the backend's.
    """

    def get_connection(self, *args: Any, **options: Any) -> Any:
        connection: Any = super().get_connection(*args, **options)
        if is_stale(connection):
            try:
                connection.disconnect()
                connection.connect()
            except BaseException:
                self.release(connection)
                raise
        return connection


def is_stale(connection: Any) -> bool:
    """Whether redis-py would not trust it any more."""
    return bool(0 < connection.next_health_check < time.monotonic())
