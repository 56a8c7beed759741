"""The five facts of the installed Celery that the growing chord leans on. If one fails, read `canvas.py` first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from celery._state import _set_task_join_will_block
from celery.app.trace import build_tracer
from celery.exceptions import Ignore

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.envelope import Keyring, loads
from orchestrator_client.contract.message import GROUP_INDEX, Hint, close_signature, step_message
from orchestrator_worker.app import create_app
from orchestrator_worker.canvas import Canvas, never_join
from orchestrator_worker.settings import Settings
from tests.conftest import RedisServer
from tests.fleet import close_app

RUN = "demo_1_abcd"


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis.Redis.from_url(redis_server.url) as connection:
        yield connection


@pytest.fixture
def app(redis_server: RedisServer) -> Iterator[Celery]:
    application = create_app(Settings(redis_url=redis_server.url))

    @application.task(name=names.STEP_TASK, ignore_result=True, shared=False, bind=True)
    def step(self: Any, _run: str, instance: str, _attempt: int) -> None:
        if instance.startswith("parked"):
            raise Ignore
        if instance.startswith("failed"):
            Canvas(application, Keyring(), 1.0).return_part(self.request)
            raise ValueError("it failed")
        if instance.startswith("broken"):
            raise ValueError("it broke")

    @application.task(name=names.CLOSE_TASK, shared=False)
    def close(run: str | None = None) -> None:
        """Only its message matters here."""

    never_join()
    yield application
    _set_task_join_will_block(False)
    close_app(application)


def run_as_worker(app: Celery, instance: str) -> None:
    """Execute a step's message through Celery's own tracer, as a worker does."""
    message = step_message(Hint(RUN, instance, 1, "tool", "tool · test"), Keyring())
    body, headers = loads(message.body), message.headers
    request = {**headers, **body[2], "is_eager": False, "delivery_info": {}}
    task = app.tasks[names.STEP_TASK]
    build_tracer(task.name, task, app=app)(headers["id"], tuple(body[0]), body[1], request)


def closed(client: Any) -> int:
    return client.llen(names.CONTROL_QUEUE)


def open_chord(app: Celery, client: Any, size: int) -> Canvas:
    canvas = Canvas(app, Keyring(), 1.0)
    client.set(canvas.size_key(RUN), size, ex=60)
    return canvas


def test_expected_size_is_size_plus_growth(app: Celery, client: Any) -> None:
    canvas = open_chord(app, client, 1)
    client.incrby(canvas.growth_key(RUN), 2)
    client.expire(canvas.growth_key(RUN), 60)
    run_as_worker(app, "a")
    run_as_worker(app, "b")
    assert closed(client) == 0
    run_as_worker(app, "c")
    assert closed(client) == 1


def test_growth_is_what_celery_itself_increments(app: Celery, client: Any) -> None:
    canvas = open_chord(app, client, 1)
    app.backend.add_to_chord(RUN, None)
    assert client.get(canvas.growth_key(RUN)) == b"1"
    client.expire(canvas.growth_key(RUN), 60)


def test_a_part_counts_once_per_task_id_and_index(app: Celery, client: Any) -> None:
    open_chord(app, client, 2)
    run_as_worker(app, "a")
    run_as_worker(app, "a")
    assert closed(client) == 0
    run_as_worker(app, "b")
    assert closed(client) == 1
    run_as_worker(app, "b")
    assert closed(client) == 1, "a late copy started the body again"


def test_ignore_is_not_counted(app: Celery, client: Any) -> None:
    open_chord(app, client, 1)
    run_as_worker(app, "parked")
    assert closed(client) == 0
    run_as_worker(app, "a")
    assert closed(client) == 1


def test_a_failed_part_keeps_the_body_from_being_called(app: Celery, client: Any) -> None:
    open_chord(app, client, 2)
    run_as_worker(app, "broken")
    run_as_worker(app, "a")
    assert closed(client) == 0


def test_a_failed_step_that_returned_its_part_is_counted_once_and_the_body_called(app: Celery, client: Any) -> None:
    open_chord(app, client, 2)
    run_as_worker(app, "failed")
    assert closed(client) == 0
    run_as_worker(app, "a")
    assert closed(client) == 1


def test_the_bodys_task_id_is_the_run(app: Celery, client: Any) -> None:
    open_chord(app, client, 1)
    run_as_worker(app, "a")
    assert f'"id": "{RUN}"'.encode() in client.rpop(names.CONTROL_QUEUE)


def test_our_message_has_no_field_that_celerys_has_not(app: Celery) -> None:
    stock = app.amqp.as_task_v2("id", names.STEP_TASK, args=("r", "i", 1), group_id=RUN, group_index=GROUP_INDEX)
    message = step_message(Hint(RUN, "a", 1, "tool", "tool · test"), Keyring())
    body, headers = loads(message.body), message.headers
    assert set(headers) <= set(stock.headers)
    assert set(body[2]) <= set(stock.body[2])
    assert set(close_signature(RUN)) <= set(app.signature(names.CLOSE_TASK))


@pytest.mark.parametrize("instance", ["a", "i" * caps.ID_CHARACTERS])
def test_a_message_is_under_a_kilobyte(app: Celery, client: Any, instance: str) -> None:
    run = names.new_run_id("p" * 48)
    Canvas(app, Keyring(), 1.0).publish(
        [Hint(run, instance, 99, "model.anthropic", "model · claude-sonnet-4-20250514", 86_400.0)]
    )
    assert len(client.rpop("model.anthropic")) <= 1024
