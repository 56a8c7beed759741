"""The gate: what a worker takes out of its queues is one of our messages, whole and signed, or it goes no further.

Celery and kombu trust what they find: one body that is not base64 ends every worker that takes it, a text that is not
JSON ends one, and a mapping with the key `__type__` becomes an object. So each message is read here first, as plain
JSON, and Celery is handed what has passed.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.envelope import CONTENT_TYPE, ENCODING, KEY_VARIABLE, SIGNATURE, Keyring
from orchestrator_client.contract.message import step_body

logger = logging.getLogger(__name__)

OWN_BYTES = 16 * 1024
"""Longest message of ours; they stay under 1 KB."""

FOREIGN_BYTES = 4 * (caps.PLAN_BYTES + caps.INPUT_BYTES)
"""Longest message in which somebody else's application carries a run: plan and inputs, escaped, and in base64."""

FOREIGN_CONTENT_TYPE = "application/json"

EXCERPT_CHARACTERS = 80
"""Of a message, in the reason for its refusal."""

Payload = dict[str, Any]
Checks = Mapping[str, Callable[[Any], bool]]


class Refused(Exception):
    """Why a message goes no further, for whoever reads the dead letters."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that was refused."""

    queue: str
    raw: bytes
    reason: str


class Gate:
    """Opens messages with the keys of the fleet; hands those that it refuses to `bury`, which may fail."""

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys
        self.bury: Callable[[Letter], None] = _say
        self.answered: Callable[[], object] = _nothing
        """Called when the store has answered the question for messages, be it with none."""
        self.full: Callable[[], object] = _nothing
        """Called when no question is asked, since no more messages could be begun."""

    def open(self, queue: str, raw: bytes) -> Payload | None:
        """The message as Celery is to have it; None if it was refused."""
        try:
            return opened(queue, raw, self._keys)
        except Refused as refused:
            self.refuse(queue, raw, str(refused))
        except Exception as error:
            # A mistake of ours, which somebody's message has found: the next one must find this worker alive.
            logger.exception("a message in queue %s could not be read", queue)
            self.refuse(queue, raw, f"it cannot be read: {type(error).__name__}: {error}")
        return None

    def refuse(self, queue: str, raw: bytes, reason: str) -> None:
        """Put a message aside. If it asked for a step that is still open, `sweep` sends another."""
        try:
            self.bury(Letter(queue, raw, reason))
        except Exception:
            # Whatever is wrong with the message or the store now: the next message must find this worker alive.
            logger.exception("a message in queue %s was refused and could not be kept", queue)


def _say(letter: Letter) -> None:
    logger.warning("a message in queue %s was refused: %s", letter.queue, letter.reason)


def _nothing() -> None:
    """Nobody wants to know."""


def opened(queue: str, raw: bytes, keys: Keyring) -> Payload:
    """A message that was taken out of a queue, checked.

    Raises:
        Refused: it is none of ours.
    """
    if len(raw) > FOREIGN_BYTES:
        raise Refused(f"it has {len(raw)} bytes; no message has so many")
    payload = _mapping(_json(raw, "the message"), "the message")
    properties, headers = _mapping(payload.get("properties"), "properties"), _mapping(payload.get("headers"), "headers")
    _check(properties, _PROPERTIES, ("delivery_tag", "delivery_info"))
    _check(headers, _HEADERS, ("task", "id"))
    task = headers["task"]
    if task not in (names.STEP_TASK, names.RUN_TASK, names.CLOSE_TASK):
        raise Refused(f"this release knows no task {_beginning(task)}")
    text = _text(payload, properties)
    body = _json(text, "its body")
    if not isinstance(body, list) or [type(part) for part in body] != [list, dict, dict]:
        raise Refused("its body is not arguments, named arguments and what comes after")
    is_foreign = task == names.RUN_TASK and bool(body[1])
    if is_foreign:
        _check_foreign(payload, headers, body, keys)
    else:
        _check_own(queue, payload, headers, body, text, keys)
    payload.update({"body": text, "content-type": CONTENT_TYPE})
    properties["body_encoding"] = None
    return payload


def _check_own(queue: str, payload: Payload, headers: Payload, body: list[Any], text: str, keys: Keyring) -> None:
    """A message that our client, a worker of ours or a run's chord has sent."""
    if len(text) > OWN_BYTES:
        raise Refused(f"its body has {len(text)} characters; no message of ours has so many")
    if payload.get("content-type") != CONTENT_TYPE:
        raise Refused(f"its content type is not {CONTENT_TYPE!r} but {_beginning(payload.get('content-type'))}")
    if keys and not keys.has_signed_message(headers, text, queue):
        raise Refused(_why_unsigned(headers))
    headers_of_others = [name for name in ("eta", "expires") if headers.get(name) is not None]
    if headers_of_others:
        raise Refused(f"messages of ours have no {headers_of_others[0]}")
    if not (_is_step if headers["task"] == names.STEP_TASK else _is_about_run)(headers, body):
        raise Refused("its arguments do not fit its id and group")


def _is_step(headers: Payload, body: list[Any]) -> bool:
    arguments = body[0]
    if [type(part) for part in arguments] != [str, str, int]:
        return False
    run, instance, attempt = arguments
    named = (headers["id"], headers.get("group"), headers["retries"])
    return body == step_body(run, instance, attempt) and named == (names.task_id(run, instance), run, attempt - 1)


def _is_about_run(headers: Payload, body: list[Any]) -> bool:
    # The body of a chord has its run as its id, and no arguments.
    return body[0] in ([headers["id"]], []) and not body[1] and not any(body[2].values()) and not headers.get("group")


def _check_foreign(payload: Payload, headers: Payload, body: list[Any], keys: Keyring) -> None:
    """A run that somebody else's application has put into its canvas: plain JSON, read without hooks. What it wants to
    be done afterwards is its own, and is sent to its own queues.
    """
    arguments, named, after = body
    if payload.get("content-type") not in (FOREIGN_CONTENT_TYPE, CONTENT_TYPE):
        raise Refused(f"its content type is not {FOREIGN_CONTENT_TYPE!r} but {_beginning(payload.get('content-type'))}")
    if arguments or not {"plan"} <= named.keys() <= {"plan", "inputs"} or not all(map(_is_str, named.values())):
        raise Refused("a run in a canvas has a plan and inputs, as run_pipeline() writes them, and nothing else")
    _check(after, _AFTER)
    if keys and not keys.has_signed_run(headers, named["plan"], named.get("inputs", "")):
        raise Refused(_why_unsigned(headers))


def _why_unsigned(headers: Payload) -> str:
    if headers.get(SIGNATURE) is None:
        return f"it is not signed; whoever sent it has no {KEY_VARIABLE}"
    return "its signature is not one of this fleet's keys over this message in this queue"


# --- reading ------------------------------------------------------------------------------------------------------


def _json(text: str | bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{what} is not JSON: {str(error)[:120]}") from None


def _mapping(value: Any, what: str) -> Payload:
    if not isinstance(value, dict):
        raise Refused(f"{what} is no mapping")
    return value


def _text(payload: Payload, properties: Payload) -> str:
    """The body as it was written."""
    body, encoding = payload.get("body"), payload.get("content-encoding")
    if encoding != ENCODING:
        raise Refused(f"its content encoding is not {ENCODING!r} but {_beginning(encoding)}")
    if not isinstance(body, str):
        raise Refused("its body is no text")
    if properties.get("body_encoding") is None:
        return body
    try:
        return base64.b64decode(body, validate=True).decode(ENCODING)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"its body is not base64 of text: {str(error)[:120]}") from None


def _check(part: Payload, checks: Checks, needed: tuple[str, ...] = ()) -> None:
    for name in needed:
        if part.get(name) is None:
            raise Refused(f"it has no {name}")
    for name, value in part.items():
        if value is not None and (fits := checks.get(name)) is not None and not fits(value):
            raise Refused(f"its {name} is {_beginning(value)}")


def _beginning(value: Any) -> str:
    """How a value begins, for the end of a reason: a secret that is cut in two is looked for only there."""
    return json.dumps(value)[:EXCERPT_CHARACTERS]


def _is_str(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1000


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1_000_000_000


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


def _is_limits(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(one is None or _is_number(one) for one in value)


def _are_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


_PROPERTIES: Checks = {
    "delivery_tag": _is_name,
    "delivery_info": _is_mapping,
    "body_encoding": lambda value: value == "base64",
    "priority": _is_count,
    "correlation_id": _is_name,
    "reply_to": _is_name,
}

_HEADERS: Checks = {
    "task": _is_name,
    "id": _is_name,
    "lang": _is_name,
    "group": _is_name,
    "group_index": _is_count,
    "root_id": _is_name,
    "parent_id": _is_name,
    "retries": _is_count,
    "timelimit": _is_limits,
    "eta": _is_moment,
    "expires": lambda value: _is_moment(value) or _is_number(value),
    "shadow": _is_name,
    "argsrepr": _is_str,
    "kwargsrepr": _is_str,
    "origin": _is_str,
    "ignore_result": lambda value: isinstance(value, bool),
    "replaced_task_nesting": _is_count,
    "stamped_headers": lambda value: isinstance(value, list),
    "stamps": _is_mapping,
    "compression": lambda _: False,
}

_AFTER: Checks = {
    "callbacks": _are_mappings,
    "errbacks": _are_mappings,
    "chain": _are_mappings,
    "chord": _is_mapping,
}
