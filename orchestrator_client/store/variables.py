"""Variables in the store: what was set while a run went on, and all else that its templates may read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.errors import InputsInvalid, RunNotFound
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.submission import pack, unpack
from orchestrator_client.store.connection import RETENTION_SECONDS, Store, clearly, text_of, texts_of
from orchestrator_client.variables import Setting, Version

_ITEM = re.compile(r".+\[\d+\]")


class VariableStore(Store):
    """Reads variables, and sets them."""

    @clearly
    def set(self, run: str, settings: Sequence[Setting], by: str, why: str) -> list[int]:
        """Give names new values, all or none; returns their versions.

        Raises:
            InputsInvalid: the run has ended, or there would be too many names.
        """
        keys, arguments = names.RunKeys(run), list[object]()
        for setting in settings:
            told = {"by": by, "why": why}
            where = {"within": setting.within} if setting.within else {}
            held = {"seconds": setting.seconds} if setting.seconds else {}
            value = json.dumps(setting.value, allow_nan=False, separators=(",", ":"))
            large = len(value) > caps.INLINE_VALUE_BYTES
            entry = {**told, "large": True} if large else {**told, "value": setting.value}
            data = json.dumps({"name": setting.name, **where, **held, **told})
            holds_ms = round((setting.seconds or 0) * 1000)
            arguments += [setting.field, holds_ms, json.dumps(entry), data, pack(value) if large else ""]
        reply, *versions = self._run_script(
            "set_variables",
            [keys.record, keys.variables, keys.versions, keys.events],
            *(RETENTION_SECONDS, run, caps.VARIABLES, caps.VERSIONS, self._who),
            json.dumps({"names": [setting.name for setting in settings], "by": by}),
            *arguments,
        )
        match text_of(reply):
            case "no run":
                raise RunNotFound(run)
            case "ended":
                state = text_of(versions[0])
                raise InputsInvalid([f"run {run} is {state}: no step of it starts any more, so nothing would read it"])
            case "full":
                raise InputsInvalid(
                    [f"run {run} would have more than {caps.VARIABLES:,} names set; put several in one"]
                )
        return [int(version) for version in versions]

    @clearly
    def inputs(self, run: str) -> dict[str, Json]:
        """What the run was submitted with.

        Raises:
            RunNotFound: the store has no such run.
        """
        stored = self._redis.hget(names.RunKeys(run).record, "inputs")
        if stored is None:
            raise RunNotFound(run)
        inputs: dict[str, Json] = json.loads(stored)
        return inputs

    @clearly
    def copy(self, run: str, into: str) -> int:
        """Have another run begin with what the names of this one were set to; returns how many versions these are."""
        before, after = names.RunKeys(run), names.RunKeys(into)
        keys = [before.variables, before.versions, after.variables, after.versions]
        return int(self._run_script("copy_variables", keys, RETENTION_SECONDS, run, into))

    @clearly
    def latest(self, run: str) -> dict[str, int]:
        """`scope/name` -> its version, of all names that were set."""
        stored = texts_of(self._redis.hgetall(names.RunKeys(run).variables))
        return {field: int(version) for field, version in stored.items()}

    @clearly
    def versions(self, run: str, wanted: Sequence[tuple[str, int]]) -> list[Version]:
        """These versions of these `scope/name`; without those that are not kept any more."""
        keys, fields = names.RunKeys(run), [f"{field}@{version}" for field, version in wanted]
        stored = self._redis.hmget(keys.versions, fields) if fields else []
        found = zip(wanted, fields, stored, strict=True)
        return [self._version(keys, number, field, text_of(text)) for (_, number), field, text in found if text]

    def _version(self, keys: names.RunKeys, number: int, field: str, stored: str) -> Version:
        at, until, told = stored.split("|", 2)
        entry = json.loads(told)
        if entry.pop("large", False):
            value = self._redis.get(keys.variable(field))
            entry["value"] = json.loads(unpack(value)) if value else None
        return Version(**entry, version=number, at_ms=int(at), until_ms=int(until) or None)

    @clearly
    def instances(self, run: str) -> list[str]:
        """Instances that left a value."""
        return [text_of(instance) for instance in self._redis.hkeys(names.RunKeys(run).values)]

    @clearly
    def items(self, run: str) -> list[str]:
        """Items that maps have begun with, as `each[2]`."""
        found = map(text_of, self._redis.hkeys(names.RunKeys(run).memos))
        return [name for name in found if _ITEM.fullmatch(name)]

    @clearly
    def memos(self, run: str, places: Sequence[str]) -> Mapping[str, Mapping[str, Json]]:
        """What the store keeps of these items; without those that it keeps nothing of."""
        stored = self._redis.hmget(names.RunKeys(run).memos, list(places)) if places else []
        return {place: json.loads(memo) for place, memo in zip(places, stored, strict=True) if memo}
