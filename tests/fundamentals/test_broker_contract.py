"""What `transport/broker.py` overrides in the installed kombu. If one fails, read that file first."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from queue import Empty
from typing import Any

import kombu
import pytest
import redis
from celery import Celery
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from orchestrator_client.contract.envelope import Keyring
from orchestrator_client.contract.message import Hint
from orchestrator_worker.app import create_app
from orchestrator_worker.canvas import Canvas
from orchestrator_worker.connections import Connections
from orchestrator_worker.settings import Settings
from orchestrator_worker.transport import broker
from orchestrator_worker.transport.broker import RECONNECT_SECONDS, Channel, Connection, Pooled, Taken
from tests.conftest import RedisServer
from tests.fleet import Message, close_app


@pytest.fixture
def app(redis_server: RedisServer) -> Iterator[Celery]:
    app = create_app(Settings(redis_url=redis_server.url))
    yield app
    close_app(app)


@pytest.fixture
def connection(app: Celery) -> Iterator[Any]:
    with app.connection_for_read() as connection:
        yield connection


def test_the_connections_of_an_application_are_ours(connection: Any) -> None:
    assert type(connection) is Connection
    assert type(connection.clone()) is Connection
    assert type(connection.default_channel) is Channel
    assert type(connection.default_channel.qos) is Taken


def test_so_are_those_that_messages_are_sent_over(app: Celery) -> None:
    with app.producer_pool.acquire(block=True) as producer:
        assert type(producer.connection) is Pooled
        assert type(producer.channel) is Channel
        assert type(producer.channel.pool) is Connections
    assert type(app.backend.client.connection_pool) is Connections


def test_a_message_goes_behind_all_others_or_before_them(app: Celery, redis_server: RedisServer) -> None:
    hints = [Hint("r", name, 1, "tool", "tool", first=name == "c") for name in "abc"]
    Canvas(app, Keyring(), 1.0).publish(hints)
    with redis.Redis.from_url(redis_server.url) as client:
        taken = [Message("tool", raw) for raw in client.rpop("tool", 3)]  # type: ignore[union-attr]
    assert [message.args[1] for message in taken] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("owner", "method", "parameters"),
    [
        (kombu_redis.Channel, "_get_pool", ["self", "asynchronous"]),
        (kombu_redis.Channel, "_put", ["self", "queue", "message", "kwargs"]),
        (kombu_redis.MultiChannelPoller, "_register", ["self", "channel", "client", "type"]),
        (kombu.connection.ConnectionPool, "new", ["self"]),
        (kombu.Connection, "Pool", ["self", "limit", "kwargs"]),
        (kombu_redis.Channel, "_brpop_start", ["self", "timeout"]),
        (kombu_redis.Channel, "_brpop_read", ["self", "options"]),
        (virtual.QoS, "restore_unacked_once", ["self", "stderr"]),
        (virtual.QoS, "restore_unacked", ["self"]),
    ],
)
def test_what_is_overridden_is_there(owner: type, method: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, method)).parameters) == parameters


def test_kombu_still_takes_the_pauses_between_attempts_to_connect() -> None:
    taken = list(inspect.signature(kombu.Connection._ensure_connection).parameters)
    assert taken[:6] == ["self", "errback", "max_retries", "interval_start", "interval_step", "interval_max"]


def test_a_lost_broker_is_looked_for_every_second() -> None:
    pauses: list[float] = []

    def note(_: Exception, pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 5:
            raise KeyboardInterrupt

    with Connection("redis://127.0.0.1:1/0") as lost, pytest.raises(KeyboardInterrupt):
        lost.ensure_connection(note)
    assert pauses == pytest.approx([0.2, 0.6, 1.0, 1.0, 1.0])
    assert RECONNECT_SECONDS[-1] == 1.0


def test_a_store_that_refuses_ends_no_consumer_and_is_asked_again(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "REST_SECONDS", 3600.0)  # however slow this test is, it looks before the rest is over
    channel = connection.default_channel
    channel.client.connection = channel.client.connection_pool.get_connection()
    channel._active_queues.append("tool")
    channel._update_queue_cycle()
    channel._brpop_start()
    channel.parse_response = channel.client.parse_response

    def refuse(*_: Any, **__: Any) -> None:
        raise redis.ReadOnlyError("You can't write against a read only replica.")

    channel.client.parse_response = refuse
    with pytest.raises(Empty):
        channel._brpop_read()
    assert channel.client.connection._sock is None, "the next question goes to whoever has the name now"
    channel._brpop_start()
    assert channel.client.connection._sock is None, "and not at once"
    channel._rest_until = 0.0
    channel._brpop_start()
    assert channel.client.connection._sock is not None
