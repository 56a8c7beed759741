"""Values on their way into the store and out of it: JSON, and compressed in a key of their own where they are large."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.errors import ValueTooLarge
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.run import Receipt
from orchestrator_client.contract.submission import pack, unpack
from orchestrator_worker.records import Kept
from orchestrator_worker.store.connection import Part, text


class Values(Part):
    """Values of steps, and of variables that were set."""

    def values(self, run: str, instances: Sequence[str]) -> dict[str, Json]:
        """Values of these instances; those that left none are not in the answer."""
        if not instances:
            return {}
        stored = self._on.patiently(lambda: self._on.redis.hmget(names.RunKeys(run).values, list(instances)))
        return self._decoded(run, dict(zip(instances, stored, strict=True)))

    def values_before(self, run: str, instances: Sequence[str]) -> tuple[dict[str, Json], bool]:
        """The same, and whether any variable of the run was ever set, in one trip."""
        keys = names.RunKeys(run)

        def read() -> list[Any]:
            with self._on.redis.pipeline(transaction=False) as pipe:
                found = pipe.hmget(keys.values, list(instances)) if instances else pipe
                return list(found.hexists(keys.record, "variables").execute())

        *values, is_set = self._on.patiently(read)
        return self._decoded(run, dict(zip(instances, values[0] if values else (), strict=True))), bool(is_set)

    def see(self, run: str, instance: str, wanted: Sequence[str]) -> dict[str, Json]:
        """Those of the names that were set, as an instance sees them now; without one, as the run itself does."""
        if not wanted:
            return {}
        parts = self._on.run("see", [names.RunKeys(run).record], [run, instance, *wanted])
        seen = {}
        for name, version, entry in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            told = json.loads(entry.split(b"|", 2)[2])
            if told.get("large"):
                key = names.RunKeys(run).variable(text(version))
                stored = self._on.patiently(partial(self._on.redis.get, key))
                told["value"] = json.loads(unpack(stored)) if stored else None
            seen[text(name)] = told["value"]
        return seen

    def _encoded(self, instance: str, value: Json) -> tuple[bytes, bool]:
        """A value as it is stored, and whether it is a large one.

        Raises:
            ValueTooLarge: it passes the cap.
            TypeError, ValueError, RecursionError: it is not JSON.
        """
        written = json.dumps(value, allow_nan=False, separators=(",", ":"))
        if len(written) > self._on.config.value_bytes:
            raise ValueTooLarge(
                f"step '{instance}' left {len(written):,} bytes of JSON; at most {self._on.config.value_bytes:,} are"
                " stored. Write it to a file and return the path, or raise ORCHESTRATOR_VALUE_BYTES on the workers"
            )
        if len(written) > caps.INLINE_VALUE_BYTES:
            return pack(written), True
        return written.encode(), False

    def _kept(self, run: str, instance: str, receipt: bytes, value: bytes) -> Kept:
        """What the run keeps of another one."""
        if value == b"":
            key = names.RunKeys(run).kept_value(instance)
            value = self._on.patiently(partial(self._on.redis.get, key))
            value = unpack(value).encode() if value else b"null"
        return Kept(Receipt.model_validate_json(receipt), json.loads(value))

    def _decoded(self, run: str, stored: Mapping[str, bytes | None]) -> dict[str, Json]:
        """Values as they were stored, by instance; without those that left none."""
        values = {}
        for instance, written in stored.items():
            if written is None:
                continue
            if written == b"":
                key = names.RunKeys(run).value(instance)
                large = self._on.patiently(partial(self._on.redis.get, key))
                values[instance] = json.loads(unpack(large)) if large else None
            else:
                values[instance] = json.loads(written)
        return values
