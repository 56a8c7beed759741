"""Kombu's Redis transport as a fleet needs it: back within seconds of a store that has healed, and never ended by it.

Stock, a worker looks for a lost broker up to 30 s after it is back, exits when the broker is demoted to a replica, and
waits on a silent connection for a minute and more. `tests/fundamentals/test_broker_contract.py` fails when what is
overridden here changes in kombu.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from queue import Empty
from typing import Any

import kombu
import redis
from celery.app.amqp import AMQP
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = (0.2, 0.4, 1.0)
"""Pause after the first failed attempt to connect, what each further one adds, and the longest."""

REST_SECONDS = 0.5
"""Pause of consumption after the store refused it: it is a replica now, full, or busy with a script."""


class Taken(virtual.QoS):  # type: ignore[misc]
    """Messages that were taken and have not begun. They go back when the connection ends, as far as it lets them; kombu
    would write the others into a file. They are only hints.
    """

    def restore_unacked_once(self, stderr: object = None) -> None:  # noqa: ARG002 - kombu's signature
        self._on_collect.cancel()
        if not self._delivered.restored:
            self._delivered.restored = True
            if lost := self.restore_unacked():
                logger.warning("%d messages could not be put back; sweep will send their steps again", len(lost))


class Channel(kombu_redis.Channel):  # type: ignore[misc]
    """Takes messages out of queues; a store that refuses is asked again in a moment, on another connection."""

    _rest_until = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.QoS = Taken

    def _brpop_start(self, timeout: float | None = None) -> None:
        if time.monotonic() >= self._rest_until:
            super()._brpop_start(timeout)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except redis.ResponseError as error:
            # After a fail-over the name may belong to another server: whoever asks again connects anew.
            logger.warning("the store refuses to hand out messages (%s); asking again", error)
            self._rest_until = time.monotonic() + REST_SECONDS
            self.client.connection.disconnect()
            raise Empty from error


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    Channel = Channel


class Connection(kombu.Connection):  # type: ignore[misc]
    """A connection to the broker that is tried again soon, for as long as it takes."""

    def get_transport_cls(self) -> type[Transport]:
        return Transport

    def _ensure_connection(
        self,
        errback: Callable[..., Any] | None = None,
        max_retries: int | None = None,
        interval_start: float = RECONNECT_SECONDS[0],
        interval_step: float = RECONNECT_SECONDS[1],
        interval_max: float = RECONNECT_SECONDS[2],
        **options: Any,
    ) -> Any:
        return super()._ensure_connection(errback, max_retries, interval_start, interval_step, interval_max, **options)


class Amqp(AMQP):  # type: ignore[misc]
    """Makes an application's connections ours."""

    Connection = Connection
