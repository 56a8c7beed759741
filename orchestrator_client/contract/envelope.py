"""How a message is written and signed, so that a worker knows that its fleet has sent it and can read it safely.

The text of a message is JSON, and is read as nothing else: kombu's own JSON makes objects of mappings with the key
`__type__`. The signature is over all that decides what a worker does: task, id, queue, group, retries, time limits, and
the body as it is written. Another run's, another step's or another queue's message is therefore a forged one. A message
that is sent again unchanged is a copy, which does no harm: the store decides what may start.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from orchestrator_client.contract.environment import variable
from orchestrator_client.contract.errors import ConfigInvalid

SERIALIZER = "orchestrator"
CONTENT_TYPE = "application/x-orchestrator+json"
ENCODING = "utf-8"

SIGNATURE = "orchestrator_signature"
"""The header that holds it."""

KEY_VARIABLE = "ORCHESTRATOR_FLEET_KEY"
"""Keys of the fleet, separated by commas: the first signs, all are believed. `ORCHESTRATOR_FLEET_KEY_FILE` names a file
that holds them instead."""

KEY_FILE = "fleet.key"
"""Beside the socket of an embedded Redis: its fleet's key, readable for whoever may use the socket."""

KEY_CHARACTERS = 32
"""Shortest key: 128 bits in hexadecimal."""

_SIGNED_HEADERS = ("task", "id", "group", "group_index", "retries", "timelimit")


class Written(str):
    """JSON text that is a message's body already."""

    __slots__ = ()


def dumps(value: object) -> Written:
    """The body of a message as it travels."""
    return (
        value if isinstance(value, Written) else Written(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    )


def loads(text: str | bytes) -> Any:
    """What `dumps` was given: lists, mappings, text, numbers, truth values and None, whatever their keys say."""
    return json.loads(text)


class Keyring:
    """The keys of a fleet. Without one, messages are not signed and not checked.

    The keys are in no repr, and are never written anywhere.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """Raises ConfigInvalid if a key is too short to be one."""
        if any(len(key) < KEY_CHARACTERS for key in keys):
            problem = f"a key needs at least {KEY_CHARACTERS} characters; make one with: openssl rand -hex 32"
            raise ConfigInvalid(KEY_VARIABLE, [problem])
        secrets = [key.encode() for key in keys]
        self._keys = {hashlib.sha256(b"name of " + secret).hexdigest()[:8]: secret for secret in secrets}
        self._first = next(iter(self._keys), "")

    @classmethod
    def of(cls, url: str) -> Self:
        """Those of the fleet on this Redis: of the environment, or of the file that an embedded fleet has made.

        Raises:
            ConfigInvalid: one is too short, or the file with them cannot be read.
        """
        keys = variable(KEY_VARIABLE) or _beside(url)
        return cls([key.strip() for key in keys.split(",") if key.strip()])

    def __bool__(self) -> bool:
        return bool(self._keys)

    def sign_message(self, headers: Mapping[str, Any], body: str, queue: str) -> dict[str, Any]:
        """The headers, with the signature of the message where there is a key."""
        return {**headers, SIGNATURE: self._sign(_parts(headers, body, queue))} if self._keys else dict(headers)

    def has_signed_message(self, headers: Mapping[str, Any], body: str, queue: str) -> bool:
        """Whether this message, in this queue, was signed with one of the keys."""
        return self._has_signed(headers.get(SIGNATURE), _parts(headers, body, queue))

    def sign_run(self, plan: str, inputs: str) -> dict[str, str]:
        """Headers of a message in which somebody else's application carries a run."""
        return {SIGNATURE: self._sign(("run", plan, inputs))} if self._keys else {}

    def has_signed_run(self, headers: Mapping[str, Any], plan: str, inputs: str) -> bool:
        """Whether `sign_run` was asked for this plan and these inputs."""
        return self._has_signed(headers.get(SIGNATURE), ("run", plan, inputs))

    def _sign(self, parts: Sequence[Any]) -> str:
        return f"{self._first}.{_digest(self._keys[self._first], parts)}"

    def _has_signed(self, signature: object, parts: Sequence[Any]) -> bool:
        name, _, digest = signature.partition(".") if isinstance(signature, str) else ("", "", "")
        key = self._keys.get(name)
        # What is compared may only be ASCII; a lone surrogate, which JSON can write, could not even be encoded.
        return key is not None and digest.isascii() and hmac.compare_digest(digest, _digest(key, parts))


def _beside(url: str) -> str:
    """What `KEY_FILE` in the folder of a unix socket holds; nothing where there is none."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return ""
    file = Path(parts.path).with_name(KEY_FILE)
    return file.read_text("utf-8") if file.is_file() else ""


def _parts(headers: Mapping[str, Any], body: str, queue: str) -> Sequence[Any]:
    return ("message", queue, *(headers.get(name) for name in _SIGNED_HEADERS), body)


def _digest(key: bytes, parts: Sequence[Any]) -> str:
    """HMAC-SHA256 of the parts, written so that no two lists of parts look alike; 43 characters."""
    made = hmac.digest(key, json.dumps(parts).encode(), "sha256")
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()
