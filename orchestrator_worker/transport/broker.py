"""Kombu's Redis transport as a fleet needs it: back within seconds of a store that has healed, and never ended by it.

Stock, a worker looks for a lost broker up to 30 s after it is back, exits when the broker is demoted to a replica, and
waits on a silent connection for a minute and more. `tests/fundamentals/test_broker_contract.py` fails when what is
overridden here changes in kombu.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from queue import Empty
from typing import Any

import kombu
import redis
from celery.app.amqp import AMQP
from kombu.connection import ConnectionPool, PooledConnection
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str

from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import Keyring, dumps
from orchestrator_client.contract.message import FIRST
from orchestrator_worker.connections import Connections, is_stale
from orchestrator_worker.transport.gate import Gate

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

    gate: Gate | None = None
    _rest_until = 0.0
    from_transport_options = (*kombu_redis.Channel.from_transport_options, "gate")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.QoS = Taken

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        """As kombu's, behind all that wait in the queue; where it has a priority, before them."""
        batch = options.get("_publish_batch")
        if batch is None or message["properties"].get("priority") != FIRST:
            super()._put(queue, message, **options)
        else:
            batch.add("rpush", self._q_for_pri(queue, 0), kombu_redis.dumps(message))

    def _get_pool(self, asynchronous: bool = False) -> Connections:
        params = self._connparams(asynchronous=asynchronous)
        self.keyprefix_fanout: str = self.keyprefix_fanout.format(db=params["db"])
        return Connections(**params)

    def _brpop_start(self, timeout: float | None = None) -> None:
        if time.monotonic() < self._rest_until:
            return
        if is_stale(self.client.connection):
            # No place was free, so nothing was asked for a while. PING would hold up the whole worker.
            self.client.connection.disconnect()
            self.connection.cycle._register(self, self.client, "BRPOP")
        super()._brpop_start(timeout)

    def _brpop_read(self, **options: Any) -> Any:
        """As kombu's, with the gate in front of whoever consumes."""
        connection = self.client.connection
        try:
            taken = self.client.parse_response(connection, "BRPOP", **options)
        except redis.ResponseError as error:
            # After a fail-over the name may belong to another server: whoever asks again connects anew.
            logger.warning("the store refuses to hand out messages (%s); asking again", error)
            self._rest_until = time.monotonic() + REST_SECONDS
            connection.disconnect()
            raise Empty from error
        except self.connection_errors:
            connection.disconnect()
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if self.gate is not None:
            self.gate.answered()
        if not taken:
            raise Empty
        key, raw = taken
        queue = bytes_to_str(key).rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        self._hand_over(queue, raw)
        return True

    def _hand_over(self, queue: str, raw: bytes) -> None:
        """Give a message to its consumer. Answers to questions about workers pass as they are: they ask for nothing."""
        if self.gate is None or queue.endswith(names.REPLY_QUEUES):
            self.connection._deliver(json.loads(raw), queue)
            return
        payload = self.gate.open(queue, raw)
        if payload is None:
            return
        try:
            self.connection._deliver(payload, queue)
        except (redis.ConnectionError, redis.TimeoutError):
            raise
        except Exception as error:
            # It passed the gate and Celery stumbled over it all the same: the next message must find this worker alive.
            logger.exception("a message in queue %s could not be taken", queue)
            self.gate.refuse(queue, raw, f"Celery cannot take it: {type(error).__name__}: {error}")

    def _deliver_fanout_message(self, message: Any, exchange: str) -> Any:
        """Questions about workers. What looks like none is left unanswered."""
        try:
            return super()._deliver_fanout_message(message, exchange)
        except (redis.ConnectionError, redis.TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever was sent, the worker goes on
            logger.warning("a question to workers on %s makes no sense: %s: %s", exchange, type(error).__name__, error)
            return False


class Poller(kombu_redis.MultiChannelPoller):  # type: ignore[misc]
    """Asks for messages in each round of a worker's loop, and says so where it may not ask."""

    def on_poll_start(self) -> None:
        super().on_poll_start()
        for channel in self._channels:
            if channel.gate is not None and channel.active_queues and not channel.qos.can_consume():
                channel.gate.full()


class Transport(kombu_redis.Transport):  # type: ignore[misc]
    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()


class _Ours:
    """What is ours of a connection to the broker: it is tried again soon, for as long as it takes."""

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
        parent: Any = super()
        return parent._ensure_connection(errback, max_retries, interval_start, interval_step, interval_max, **options)


class Pooled(_Ours, PooledConnection):  # type: ignore[misc]
    """One for messages that are sent."""


class Pool(ConnectionPool):  # type: ignore[misc]
    def new(self) -> Pooled:
        return Pooled(self, **dict(self.connection._info(resolve=False)))


class Connection(_Ours, kombu.Connection):  # type: ignore[misc]
    """One for messages that are taken."""

    def Pool(self, limit: int | None = None, **options: Any) -> Pool:
        return Pool(self, limit, **options)


class Amqp(AMQP):  # type: ignore[misc]
    """Makes an application's connections ours, and signs the one message of ours that Celery itself writes."""

    Connection = Connection

    def as_task_v2(self, task_id: str, name: str, *args: Any, **kwargs: Any) -> Any:
        message = super().as_task_v2(task_id, name, *args, **kwargs)
        if name != names.CLOSE_TASK:
            return message
        # The body of a run's chord. Signing it for whoever asks gives nothing away: the store decides whether to close.
        keys: Keyring = self.app.conf.fleet_keys
        headers = keys.sign_message(message.headers, dumps(message.body), names.CONTROL_QUEUE)
        return message._replace(headers=headers)
