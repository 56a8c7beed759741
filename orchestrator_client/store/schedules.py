"""Schedules in the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.schedule import TTL_SECONDS, Schedule
from orchestrator_client.contract.submission import load_plan, pack
from orchestrator_client.store.connection import Store, clearly, text_of, texts_of

_STATIC = {"created_ms", "next_ms", "paused_by", "last_ms", "last_run", "fired", "skipped"}
"""Fields of a schedule that the scripts keep apart."""


class ScheduleStore(Store):
    """Reads schedules, and writes what is a client's to write."""

    @clearly
    def set(self, schedule: Schedule, plan: Plan, inputs: Mapping[str, Json], *, replace: bool) -> bool:
        """Record a schedule; False if there is one of its name."""
        data = schedule.model_copy(update={"by": self._who}).model_dump_json(exclude=_STATIC)
        arguments = (TTL_SECONDS, schedule.name, data, pack(plan.to_json()), json.dumps(inputs), schedule.next_ms)
        keys = [names.schedule(schedule.name), names.SCHEDULES]
        return bool(self._run_script("set_schedule", keys, *arguments, "1" if replace else "", self._who))

    @clearly
    def wish(self, name: str, wish: Literal["pause", "resume", "rm"], next_ms: int = 0) -> bool:
        """Pause a schedule, let it go on, or remove it; False if it was so before.

        Raises:
            InputsInvalid: there is none of the name.
        """
        keys = [names.schedule(name), names.SCHEDULES]
        done = int(self._run_script("wish_schedule", keys, TTL_SECONDS, name, wish, next_ms, self._who))
        if done < 0:
            raise _unknown(name)
        return done == 1

    @clearly
    def get(self, name: str) -> Schedule:
        """One schedule; looking at it renews its life.

        Raises:
            InputsInvalid: there is none of the name.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            stored, _ = pipe.hgetall(names.schedule(name)).expire(names.schedule(name), TTL_SECONDS).execute()
        if not stored:
            raise _unknown(name)
        return _schedule(stored)

    @clearly
    def all(self) -> list[Schedule]:
        """All schedules, by name; looking at them renews their lives."""
        self._redis.expire(names.SCHEDULES, TTL_SECONDS)
        listed = sorted(map(text_of, self._redis.zrange(names.SCHEDULES, 0, -1)))
        with self._redis.pipeline(transaction=False) as pipe:
            for name in listed:
                pipe.hgetall(names.schedule(name)).expire(names.schedule(name), TTL_SECONDS)
            found = pipe.execute()[::2]
        return [_schedule(stored) for stored in found if stored]

    @clearly
    def contents(self, name: str) -> tuple[Plan, dict[str, Json]]:
        """The plan and the inputs of a schedule.

        Raises:
            InputsInvalid: there is none of the name.
        """
        plan, inputs = self._redis.hmget(names.schedule(name), ["plan", "inputs"])
        if plan is None:
            raise _unknown(name)
        return load_plan(plan), json.loads(inputs)


def _schedule(stored: Mapping[bytes, bytes]) -> Schedule:
    fields = texts_of({name: value for name, value in stored.items() if text_of(name) in _STATIC})
    return Schedule.model_validate({**json.loads(stored[b"data"]), **fields})


def _unknown(name: str) -> InputsInvalid:
    return InputsInvalid([f"there is no schedule {name[:100]!r}; `orchestrator schedules` lists them"])
