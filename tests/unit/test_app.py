"""How messages travel: as plain JSON, over the store's own database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.exceptions import ContentDisallowed
from kombu.serialization import loads

from orchestrator_client.contract.envelope import CONTENT_TYPE, SERIALIZER, Keyring
from orchestrator_client.contract.message import Hint
from orchestrator_worker.app import create_app
from orchestrator_worker.canvas import Canvas
from orchestrator_worker.settings import Settings
from tests.conftest import RedisServer
from tests.fleet import close_app

AppOf = Callable[..., Celery]


@pytest.fixture
def app_of() -> Iterator[AppOf]:
    """Applications that are closed again."""
    made: list[Celery] = []

    def create(url: str = "redis://127.0.0.1:1/3", **fields: Any) -> Celery:
        made.append(create_app(Settings(redis_url=url, **fields)))
        return made[-1]

    yield create
    for app in made:
        app.close()


def test_only_json_without_hooks_is_read(app_of: AppOf) -> None:
    app = app_of()
    conf = app.conf
    assert (conf.accept_content, conf.result_serializer) == ([SERIALIZER], SERIALIZER)
    assert conf.result_accept_content in (None, [SERIALIZER])
    assert app.control.mailbox.serializer == SERIALIZER
    hooked = '{"__type__": "datetime", "__value__": "boom"}'
    assert loads(hooked, CONTENT_TYPE, "utf-8", accept=[CONTENT_TYPE]) == json.loads(hooked)


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", "application/x-yaml", "application/json"])
def test_pickle_yaml_and_kombus_json_are_refused(app_of: AppOf, content_type: str) -> None:
    with pytest.raises(ContentDisallowed):
        loads(b"\x80\x04N.", content_type, "binary", accept=app_of().conf.accept_content)


@pytest.mark.parametrize(
    ("url", "celery_url"),
    [
        ("redis://127.0.0.1:1/3", "redis://127.0.0.1:1/3"),
        ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
    ],
)
def test_broker_and_results_share_the_database_of_the_store(app_of: AppOf, url: str, celery_url: str) -> None:
    conf = app_of(url).conf
    assert conf.broker_url == conf.result_backend == celery_url


def test_the_transport_keeps_no_books_of_its_own(app_of: AppOf) -> None:
    options = app_of().conf.broker_transport_options
    assert options["ack_emulation"] is False
    assert options["body_encoding"] is None


def test_a_dead_connection_is_noticed(app_of: AppOf) -> None:
    conf = app_of().conf
    options = conf.broker_transport_options
    assert 0 < options["socket_connect_timeout"] <= options["socket_timeout"] <= 60
    assert options["socket_keepalive"] is True
    assert options["health_check_interval"] < 60
    assert 0 < conf.redis_socket_timeout <= 60


def test_a_unix_socket_is_not_asked_for_what_only_tcp_has(app_of: AppOf) -> None:
    options = app_of("unix:///run/redis.sock").conf.broker_transport_options
    assert options["socket_timeout"] > 0
    assert not {"socket_keepalive", "socket_connect_timeout"} & options.keys()


def test_a_worker_waits_for_its_broker_for_ever_and_takes_one_message_at_a_time(app_of: AppOf) -> None:
    conf = app_of().conf
    assert (conf.broker_connection_retry_on_startup, conf.broker_connection_max_retries) == (True, None)
    assert (conf.worker_prefetch_multiplier, conf.worker_disable_prefetch) == (1, True)
    assert conf.worker_cancel_long_running_tasks_on_connection_loss is False


@pytest.mark.parametrize("events", [True, False])
def test_events_and_lives_are_those_of_the_settings(app_of: AppOf, events: bool) -> None:
    conf = app_of(events=events, retention_seconds=120).conf
    assert (conf.worker_send_task_events, conf.result_expires) == (events, 120)


def test_an_encrypted_address_is_enough(app_of: AppOf) -> None:
    assert app_of("rediss://127.0.0.1:1/0").backend


def test_a_message_in_the_queue_is_plain_json(redis_server: RedisServer) -> None:
    app = create_app(Settings(redis_url=redis_server.url))
    Canvas(app, Keyring(), 1.0).publish([Hint("r_1", "a", 1, "tool", "tool · test")])
    with redis.Redis.from_url(redis_server.url) as client:
        raw: Any = client.rpop("tool")
    message = json.loads(raw)
    assert json.loads(message["body"])[0] == ["r_1", "a", 1]
    assert message["content-type"] == CONTENT_TYPE
    assert len(raw) < 1024
    close_app(app)
