"""Values on their way into the store and out of it: JSON, and compressed in a key of their own where they are large."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.errors import ValueTooLarge
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.submission import pack, unpack
from orchestrator_worker.store.connection import Part


class Values(Part):
    """Values of steps."""

    def values(self, run: str, instances: Sequence[str]) -> dict[str, Json]:
        """Values of these instances; those that left none are not in the answer."""
        if not instances:
            return {}
        stored = self._on.patiently(lambda: self._on.redis.hmget(names.RunKeys(run).values, list(instances)))
        return self._decoded(run, dict(zip(instances, stored, strict=True)))

    def _encoded(self, instance: str, value: Json) -> tuple[bytes, bool]:
        """A value as it is stored, and whether it is a large one.

        Raises:
            ValueTooLarge: it passes the cap.
            TypeError, ValueError, RecursionError: it is not JSON.
        """
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        if len(text) > self._on.config.value_bytes:
            raise ValueTooLarge(
                f"step '{instance}' left {len(text):,} bytes of JSON; at most {self._on.config.value_bytes:,} are"
                " stored. Write it to a file and return the path, or raise ORCHESTRATOR_VALUE_BYTES on the workers"
            )
        if len(text) > caps.INLINE_VALUE_BYTES:
            return pack(text), True
        return text.encode(), False

    def _decoded(self, run: str, stored: Mapping[str, bytes | None]) -> dict[str, Json]:
        """Values as they were stored, by instance; without those that left none."""
        values = {}
        for instance, text in stored.items():
            if text is None:
                continue
            if text == b"":
                key = names.RunKeys(run).value(instance)
                large = self._on.patiently(partial(self._on.redis.get, key))
                text = unpack(large).encode() if large else b"null"
            values[instance] = json.loads(text)
        return values
