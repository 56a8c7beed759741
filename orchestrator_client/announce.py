"""Tell the fleet what it would find anyway, a little later: a recorded run, an answered step.

Celery is imported when the first message is sent, not before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator_client.contract import names
from orchestrator_client.contract.envelope import CONTENT_TYPE, ENCODING, SERIALIZER, Keyring, dumps, loads
from orchestrator_client.contract.environment import redis_url
from orchestrator_client.contract.message import Hint, Message, publish, start_message, step_message
from orchestrator_client.contract.plan import Json

if TYPE_CHECKING:
    from orchestrator_client.client import Pipeline


logger = logging.getLogger(__name__)


class Announcer:
    """Sends the messages that a client sends. They are only hints: `sweep` finds a recorded run without one."""

    def __init__(self, url: str) -> None:
        """Raises ConfigInvalid if the fleet's key cannot be used."""
        self._url, self._keys = url, Keyring.of(url)
        self._app: Any = None

    def announce(self, run: str) -> None:
        """Send that of a recorded run."""
        self._send(start_message(run, self._keys), f"run {run} is recorded, but its message could not be sent")

    def hint(self, hint: Hint) -> None:
        """Send that of a step that has become ready."""
        message = step_message(hint, self._keys)
        self._send(message, f"run {hint.run}: the message of {hint.instance} could not be sent")

    def _send(self, message: Message, failure: str) -> None:
        """A broker that is away now is no error: workers find in the store what they were not told of."""
        from kombu.exceptions import OperationalError

        try:
            with self._celery().producer_pool.acquire(block=True) as producer:
                publish(producer, message)
        except OperationalError as error:
            logger.warning("%s (%s); a worker will find it", failure, error)

    def _celery(self) -> Any:
        """The application that speaks to the broker."""
        if self._app is None:
            from celery import Celery
            from kombu.serialization import register

            register(SERIALIZER, dumps, loads, CONTENT_TYPE, ENCODING)
            self._app = Celery("orchestrator", broker=names.celery_url(self._url), set_as_current=False)
            timeouts = {"socket_timeout": 10, "socket_connect_timeout": 3}
            # Messages as the workers write them: JSON text, which base64 would only make longer, in one list a queue.
            written = {"body_encoding": None, "priority_steps": [0]}
            self._app.conf.broker_transport_options = written | timeouts | names.TRANSPORT_OPTIONS
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
        ConfigInvalid: the fleet's key cannot be used.
    """
    from celery import signature

    from orchestrator_client.client import plan_of

    plan = plan_of(pipeline)
    # As text: what a user's values look like is none of the transport's business.
    written, bound = plan.to_json(), json.dumps(plan.bind(inputs or {}))
    shown = {"argsrepr": plan.id, "kwargsrepr": "{}"}  # monitors see no inputs
    headers = Keyring.of(redis_url()).sign_run(written, bound)
    arguments = {"plan": written, "inputs": bound}
    return signature(
        names.RUN_TASK, kwargs=arguments, queue=names.CONTROL_QUEUE, immutable=True, headers=headers, **shown
    )
