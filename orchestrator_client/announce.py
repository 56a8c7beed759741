"""Tell the fleet what it would find anyway, a little later: a recorded run, an answered step.

Celery is imported when the first message is sent, not before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator_client.contract import names
from orchestrator_client.contract.message import Hint, step_message
from orchestrator_client.contract.plan import Json

if TYPE_CHECKING:
    from orchestrator_client.client import Pipeline


logger = logging.getLogger(__name__)


class Announcer:
    """Sends the messages that a client sends. They are only hints: `sweep` finds a recorded run without one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._app: Any = None

    def announce(self, run: str) -> None:
        """Send it. A broker that is away now is no error: the run is recorded, and is found within seconds."""
        from kombu.exceptions import OperationalError

        try:
            self._send(run)
        except OperationalError as error:
            logger.warning(
                "run %s is recorded, but its message could not be sent (%s); a worker will find it", run, error
            )

    def hint(self, hint: Hint) -> None:
        """Send the message of a step that has become ready. It too is only a hint."""
        from kombu.exceptions import OperationalError

        body, headers = step_message(hint)
        try:
            with self._celery().producer_pool.acquire(block=True) as producer:
                # The anonymous exchange puts a message into the queue that it names, without looking up bindings.
                producer.publish(body, exchange="", routing_key=hint.queue, headers=headers, serializer="json")
        except OperationalError as error:
            logger.warning(
                "run %s: the message of %s could not be sent (%s); a worker will find it",
                hint.run,
                hint.instance,
                error,
            )

    def _send(self, run: str) -> None:
        app = self._celery()
        app.send_task(names.RUN_TASK, args=[run], task_id=run, queue=names.CONTROL_QUEUE, ignore_result=True)

    def _celery(self) -> Any:
        """The application that speaks to the broker."""
        if self._app is None:
            from celery import Celery

            self._app = Celery("orchestrator", broker=names.celery_url(self._url), set_as_current=False)
            timeouts = {"socket_timeout": 10, "socket_connect_timeout": 3}
            # Bodies as the workers write them: JSON text, which base64 would only make longer.
            self._app.conf.broker_transport_options = {"body_encoding": None, **timeouts, **names.TRANSPORT_OPTIONS}
        return self._app

    def close(self) -> None:
        if self._app is not None:
            self._app.close()


def run_pipeline(pipeline: Pipeline, inputs: Mapping[str, Json] | None = None) -> Any:
    """A Celery signature that stands for a whole run, for use inside a canvas.

    Its result is `{"run": id, "state": …, "outputs": {…}}`; a run that fails fails the canvas. The application that
    sends it needs the fleet's broker and result backend, and nothing else.

    Raises:
        PlanInvalid, InputsInvalid: as `Client.submit`.
    """
    from celery import signature

    from orchestrator_client.client import plan_of

    plan = plan_of(pipeline)
    # As text: what a user's values look like is none of the transport's business.
    arguments = {"plan": plan.to_json(), "inputs": json.dumps(plan.bind(inputs or {}))}
    shown = {"argsrepr": plan.id, "kwargsrepr": "{}"}  # monitors see no inputs
    return signature(names.RUN_TASK, kwargs=arguments, queue=names.CONTROL_QUEUE, immutable=True, **shown)
