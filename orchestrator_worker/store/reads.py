"""Reading what is recorded of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import RunNotFound
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.question import NOTHING_TOLD, AskedQuestion, GivenAnswers
from orchestrator_client.contract.run import OpenInstance, Receipt, RunBudget, RunRecord, RunState
from orchestrator_client.contract.submission import load_plan
from orchestrator_client.contract.usage import NO_USAGE
from orchestrator_worker.records import ChildRun, OpenRun
from orchestrator_worker.store.connection import Part, text


class Reads(Part):
    """One round trip each."""

    def open_run(self, run: str) -> OpenRun:
        """The unchanging part of a run's record."""
        fields = ["plan_hash", "inputs", "submitted_ms", "tags", "tenant", "budget", "answers", "depth", "root"]
        fields += ["allow_tools", "forked_from", "traceparent"]
        found = self._on.patiently(lambda: self._on.redis.hmget(names.RunKeys(run).record, fields))
        plan_hash, inputs, submitted, tags, tenant, budget, answers, depth, root, allowed, origin, parent = found
        if plan_hash is None:
            raise RunNotFound(run)
        return OpenRun(
            run,
            text(plan_hash),
            inputs,
            int(submitted),
            tuple(json.loads(tags or "[]")),
            text(tenant or b""),
            RunBudget.model_validate_json(budget) if budget else None,
            GivenAnswers.model_validate_json(answers) if answers else NOTHING_TOLD,
            int(depth or 0),
            text(root or b""),
            tuple(json.loads(allowed)) if allowed else None,
            text(origin or b""),
            text(parent or b""),
        )

    def plan(self, run: str) -> Plan:
        """The plan that this run is pinned to."""
        stored = self._on.patiently(lambda: self._on.redis.get(names.RunKeys(run).plan))
        if stored is None:
            raise RunNotFound(run)
        return load_plan(stored)

    def record(self, run: str) -> RunRecord:
        """The run's record as it is now."""
        stored = self._on.patiently(lambda: self._on.redis.hgetall(names.RunKeys(run).record))
        if not stored:
            raise RunNotFound(run)
        return RunRecord.from_hash(run, {text(key): text(value) for key, value in stored.items()})

    def child(self, run: str) -> ChildRun | None:
        """A run that a step has started; None where it is not in the store (any more)."""
        keys = names.RunKeys(run)

        def read() -> list[Any]:
            with self._on.redis.pipeline(transaction=False) as pipe:
                return list(pipe.hgetall(keys.record).hvals(keys.receipts).execute())

        stored, receipts = self._on.patiently(read)
        if not stored:
            return None
        ended = [Receipt.from_stored(text(receipt)) for receipt in receipts]
        record = RunRecord.from_hash(run, {text(key): text(value) for key, value in stored.items()})
        return ChildRun(record, sum((each.usage for each in ended if each.usage), NO_USAGE), len(ended))

    def forgotten(self, runs: Sequence[str]) -> list[str]:
        """Those of these runs that the store had once, and has no more."""

        def read() -> list[Any]:
            with self._on.redis.pipeline(transaction=False) as pipe:
                for run in runs:
                    pipe.zscore(names.FOLDERS, run).exists(names.RunKeys(run).record)
                return list(pipe.execute())

        found = self._on.patiently(read) if runs else []
        pairs = zip(runs, found[::2], found[1::2], strict=True)
        return [run for run, submitted, exists in pairs if submitted is not None and not exists]

    def run_over(self, run: str) -> bool:
        """Whether a run has ended, or is not known any more."""
        state = self._on.patiently(lambda: self._on.redis.hget(names.RunKeys(run).record, "state"))
        return state is None or RunState(text(state)).ended

    def carried(self, run: str) -> dict[str, Json] | None:
        """What `carry` kept; None for a run that no canvas waits for."""
        stored = self._on.patiently(lambda: self._on.redis.hget(names.RunKeys(run).record, "canvas"))
        return None if stored is None else json.loads(stored)

    def receipt(self, run: str, instance: str) -> Receipt | None:
        stored = self._on.patiently(lambda: self._on.redis.hget(names.RunKeys(run).receipts, instance))
        return None if stored is None else Receipt.from_stored(text(stored))

    def left_by(self, run: str, instance: str) -> tuple[OpenInstance | None, Json]:
        """An instance, if it is open, and what it is, if no plan says."""
        keys = names.RunKeys(run)

        def read() -> list[Any]:
            with self._on.redis.pipeline(transaction=False) as pipe:
                return list(pipe.hget(keys.instances, instance).hget(keys.memos, f"{instance}?").execute())

        stored, memo = self._on.patiently(read)
        return OpenInstance.from_stored(text(stored)) if stored else None, json.loads(memo) if memo else None

    def memos(self, run: str, instances: Sequence[str]) -> dict[str, Json]:
        """Memos of these instances; those without one are not in the answer."""
        stored = self._on.patiently(lambda: self._on.redis.hmget(names.RunKeys(run).memos, list(instances)))
        return {instance: json.loads(memo) for instance, memo in zip(instances, stored, strict=True) if memo}

    def asked(self, run: str, instance: str) -> AskedQuestion | None:
        """The last question of an instance, with its answer if there is one."""
        key, fields = names.RunKeys(run).questions, [instance, f"{instance}!"]
        stored, answer = self._on.patiently(lambda: self._on.redis.hmget(key, fields))
        if stored is None:
            return None
        return AskedQuestion.from_stored(run, instance, text(stored), text(answer) if answer else None)

    def pace(self, pipeline: str) -> dict[str, float]:
        """What earlier runs of a pipeline took, as `pace.lua` keeps it; empty where there were none."""
        stored = self._on.patiently(lambda: self._on.redis.hgetall(names.pace(pipeline)))
        return {text(field): float(amount) for field, amount in stored.items()}

    def note_start(self, run: str, instance: str, started_ms: int) -> None:
        """Keep when an instance began that is not at its end, for its span; the first time counts."""
        key = names.RunKeys(run).starts

        def note() -> None:
            with self._on.redis.pipeline(transaction=False) as pipe:
                pipe.hsetnx(key, instance, started_ms).expire(key, self._on.ttl_seconds).execute()

        self._on.patiently(note)

    def noted_start(self, run: str, instance: str) -> int | None:
        """What `note_start` kept."""
        stored = self._on.patiently(lambda: self._on.redis.hget(names.RunKeys(run).starts, instance))
        return None if stored is None else int(stored)

    def queue_depth(self, queue: str) -> int:
        """Messages that wait in a queue."""
        return int(self._on.patiently(lambda: self._on.redis.llen(names.stored_queue(queue))))
