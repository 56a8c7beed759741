"""The Celery application: how messages travel. Nothing here knows what a run is."""

from __future__ import annotations

from celery import Celery
from kombu.serialization import register

from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import CONTENT_TYPE, ENCODING, SERIALIZER, Keyring, dumps, loads
from orchestrator_worker.patience import CONNECT_SECONDS, IDLE_SECONDS, OVERDUE_SECONDS, SOCKET_SECONDS, socket_options
from orchestrator_worker.settings import Settings, settings
from orchestrator_worker.transport.broker import Amqp
from orchestrator_worker.transport.gate import Gate


def create_app(config: Settings) -> Celery:
    """A Celery application on the store's own database.

    Messages are acknowledged when a worker takes them, and the transport's own bookkeeping of unacknowledged ones is
    off: the store knows what is lost, and a task costs half (0.55 ms against 1.1 on two cores).
    """
    url = names.celery_url(config.redis_url)
    sockets = socket_options(config.redis_url)
    register(SERIALIZER, dumps, loads, CONTENT_TYPE, ENCODING)
    keys = Keyring.of(config.redis_url)
    app = Celery("orchestrator", broker=url, backend=url, amqp=Amqp)
    app.loader.override_backends = dict.fromkeys(("redis", "rediss"), "orchestrator_worker.transport.backend:Backend")
    app.conf.update(
        accept_content=[SERIALIZER],
        fleet_keys=keys,
        # What the store says as a replica, full or busy ends no worker: it connects anew, and waits.
        broker_channel_error_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Bodies are JSON text already: base64 would only make them a third longer.
        broker_transport_options={
            "ack_emulation": False,
            "body_encoding": None,
            "gate": Gate(keys),
            # One list a queue: nothing has another priority, and a Redis user is held to the lists that it serves.
            "priority_steps": [0],
            "health_check_interval": OVERDUE_SECONDS,
            **sockets,
            **names.TRANSPORT_OPTIONS,
        },
        result_backend_transport_options=names.TRANSPORT_OPTIONS,
        redis_backend_health_check_interval=IDLE_SECONDS,
        redis_socket_timeout=SOCKET_SECONDS,
        redis_socket_connect_timeout=CONNECT_SECONDS,
        redis_socket_keepalive=sockets.get("socket_keepalive"),
        result_expires=config.retention_seconds,
        result_serializer=SERIALIZER,
        task_create_missing_queues=True,
        task_default_queue=names.CONTROL_QUEUE,
        # What follows a run in somebody else's canvas is for their workers; our tasks say SERIALIZER themselves.
        task_serializer="json",
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        # A message stays in its queue until somebody has a place for it: here it would wait behind what runs.
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_send_task_events=config.events,
        worker_disable_rate_limits=True,
    )
    app.control.mailbox.serializer = SERIALIZER
    return app


app = create_app(settings())
