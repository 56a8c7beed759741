"""A memory that steps of a run share: values by namespace and key, in files under the run's folder.

A namespace is one JSON file, `.memory/<namespace>.json`, replaced as a whole while a lock file beside it is held: steps
that write at the same time lose nothing, and readers see the old state or the new. On a fleet of several machines the
run's folder must be shared between them, with locks that work across it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from orchestrator_client.contract.catalog.aids import MemoryParameters
from orchestrator_client.contract.catalog.files import PathParameters, WriteParameters
from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools import filesystem
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.paths import locate, open_regular, parent_of

FOLDER = ".memory"

LOCK_SECONDS = 10.0
"""How long another step's write is waited for. A write takes milliseconds; a holder that dies lets go."""

NAMESPACE_CHARACTERS = 64
"""Of a namespace: written into a file's name, each may take three bytes for each of its own."""

_POLL_SECONDS = 0.01

Entries = dict[str, dict[str, Json]]
"""Key -> `{value, stored_at, expires_at}`, times in seconds since 1970; `expires_at` is null for ever."""


def store(context: ToolContext, parameters: MemoryParameters) -> ToolResult:
    """Keep a value: `{namespace, key, stored, ttl}`."""
    return _performed("store", context, parameters)


def retrieve(context: ToolContext, parameters: MemoryParameters) -> ToolResult:
    """Read a value: `{namespace, key, value, found, metadata}`. One that is not there, or no more, is no failure."""
    return _performed("retrieve", context, parameters)


def list_keys(context: ToolContext, parameters: MemoryParameters) -> ToolResult:
    """List the keys that still live, in order: `{namespace, keys, count}`."""
    return _performed("list", context, parameters)


def clear(context: ToolContext, parameters: MemoryParameters) -> ToolResult:
    """Forget a namespace: `{namespace, cleared}`, the number of values that it had."""
    return _performed("clear", context, parameters)


def delete(context: ToolContext, parameters: MemoryParameters) -> ToolResult:
    """Forget one value: `{namespace, key, deleted}`, the last telling whether it was there."""
    return _performed("delete", context, parameters)


def _performed(action: str, context: ToolContext, parameters: MemoryParameters) -> ToolResult:
    """Do what the parameter `action` names, else what the step's does.

    Raises:
        ParametersInvalid: there is no such action, it lacks a key, or the namespace cannot be a file's name.
        ToolFailed: the file is not ours to read or write, or another step held it for `LOCK_SECONDS`.
    """
    wanted = (parameters.action or action).strip().lower()
    wanted = action if wanted == "execute" else wanted
    if wanted not in _ACTIONS:
        raise ParametersInvalid(
            f"mcp-memory: parameter 'action' was {wanted[:60]!r}; it is one of {', '.join(_ACTIONS)}"
        )
    return ToolResult(
        {"namespace": parameters.namespace, **_ACTIONS[wanted](_Memory(context, parameters.namespace), parameters)}
    )


class _Memory:
    """One namespace."""

    def __init__(self, context: ToolContext, namespace: str) -> None:
        if not 0 < len(namespace) <= NAMESPACE_CHARACTERS:
            raise ParametersInvalid(
                f"mcp-memory: parameter 'namespace' was {namespace[:60]!r}; write 1 to {NAMESPACE_CHARACTERS} letters"
            )
        self._context = context
        self._path = f"{FOLDER}/{quote(namespace, safe='')}"

    def living(self) -> Entries:
        """The values whose time is not up."""
        result = filesystem.read(self._context, PathParameters(path=f"{self._path}.json"))
        if not result.success:
            if str(result.error).startswith("File not found"):
                return {}
            raise ToolFailed(f"mcp-memory: {result.error}", result.retryable)
        now = time.time()
        return {key: entry for key, entry in self._entries(result.output["content"]).items() if _lives(entry, now)}

    def _entries(self, content: str) -> Entries:
        """What the file holds.

        Raises:
            ToolFailed: somebody else has written to it.
        """
        try:
            entries = json.loads(content)
            if all(isinstance(entry, dict) and "value" in entry for entry in entries.values()):
                return dict(entries)
        except (ValueError, AttributeError, RecursionError) as error:
            raise self._spoiled() from error
        raise self._spoiled()

    def _spoiled(self) -> ToolFailed:
        """Another attempt would read the same, so it is not worth one."""
        return ToolFailed(
            f"{self._path}.json holds no memory; delete it, or keep other things elsewhere", retryable=False
        )

    @contextmanager
    def changing(self) -> Iterator[Entries]:
        """The living values, to be changed in place; written back when the block ends well. One step at a time."""
        with self._alone():
            entries = self.living()
            yield entries
            written = filesystem.write(self._context, WriteParameters(path=f"{self._path}.json", content=entries))
            if not written.success:
                raise ToolFailed(f"mcp-memory: {written.error}", written.retryable)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock file. It is never removed: who waits for it would then hold another one.

        Raises:
            ToolFailed: another step holds it for too long, or it cannot be made.
        """
        place = locate(f"{self._path}.lock", self._context)
        try:
            with parent_of(place, create=True) as (folder, name):
                descriptor = open_regular(folder, name, os.O_RDWR | os.O_CREAT, place.given)
        except OSError as error:
            raise ToolFailed(f"cannot open {place.given}: {error.strerror}; make the run's folder writable") from error
        try:
            _lock(descriptor, place.given)
            yield
        finally:
            # Closing lets go of the lock as well.
            os.close(descriptor)


def _lock(descriptor: int, path: str) -> None:
    """Take the lock, looking again and again: a call that waits in the system could not be interrupted."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ToolFailed(f"another step held {path} for {LOCK_SECONDS:g} s; look for one that hangs") from None
        time.sleep(_POLL_SECONDS)


# ---- the actions themselves, by name below


def _store(memory: _Memory, parameters: MemoryParameters) -> dict[str, Json]:
    """Replaces what the key had, and its time with it."""
    key, now = _key(parameters), time.time()
    expires_at = now + parameters.ttl if parameters.ttl else None
    with memory.changing() as entries:
        entries[key] = {"value": parameters.value, "stored_at": now, "expires_at": expires_at}
    return {"key": key, "stored": True, "ttl": parameters.ttl}


def _retrieve(memory: _Memory, parameters: MemoryParameters) -> dict[str, Json]:
    """Reads without the lock: the file is replaced as a whole."""
    key = _key(parameters)
    entry = memory.living().get(key)
    if entry is None:
        return {"key": key, "value": None, "found": False, "metadata": None}
    metadata = {name: _iso(entry.get(name)) for name in ("stored_at", "expires_at")}
    return {"key": key, "value": entry["value"], "found": True, "metadata": metadata}


def _list(memory: _Memory, _parameters: MemoryParameters) -> dict[str, Json]:
    keys = sorted(memory.living())
    return {"keys": keys, "count": len(keys)}


def _clear(memory: _Memory, _parameters: MemoryParameters) -> dict[str, Json]:
    with memory.changing() as entries:
        cleared = len(entries)
        entries.clear()
    return {"cleared": cleared}


def _delete(memory: _Memory, parameters: MemoryParameters) -> dict[str, Json]:
    key = _key(parameters)
    with memory.changing() as entries:
        deleted = entries.pop(key, None) is not None
    return {"key": key, "deleted": deleted}


def _key(parameters: MemoryParameters) -> str:
    """The key, for actions that need one; only a parameter `action` can bring them here without.

    Raises:
        ParametersInvalid: there is none.
    """
    if parameters.key is None:
        raise ParametersInvalid("mcp-memory: parameter 'key' is required by this action, and was not given")
    return parameters.key


def _lives(entry: Mapping[str, Any], now: float) -> bool:
    """Whether a value's time is not up."""
    return entry.get("expires_at") is None or now < entry["expires_at"]


def _iso(seconds: Json) -> str | None:
    """A time as ISO 8601, UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


_ACTIONS: Mapping[str, Callable[[_Memory, MemoryParameters], dict[str, Json]]] = {
    "store": _store,
    "retrieve": _retrieve,
    "list": _list,
    "clear": _clear,
    "delete": _delete,
}
