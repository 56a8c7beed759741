"""Runs in the store: what was submitted and wished, what is recorded of them, what happens in them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid, RunNotFound
from orchestrator_client.contract.event import Delta, Event
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.question import NOTHING_TOLD, GivenAnswers
from orchestrator_client.contract.run import Met, OpenInstance, Receipt, RunRecord, RunState, Submission, Wish
from orchestrator_client.contract.scripts import __name__ as SHARED_SCRIPTS
from orchestrator_client.contract.submission import accepted, load_plan, submit_command, unpack
from orchestrator_client.store.connection import RETENTION_SECONDS, Store, clearly, now_ms, text_of, texts_of

KEPT_AT_ONCE = 1000
"""Instances whose results one script copies."""

PAGE = 1000
"""Entries of a stream that are read at a time."""


class RunStore(Store):
    """Reads runs, and writes what is a client's to write: a submission, a wish, and that somebody reads along."""

    @clearly
    def ping(self) -> None:
        """Raises StoreUnavailable if Redis does not answer."""
        self._redis.ping()

    @clearly
    def now_ms(self) -> int:
        """Redis's time, milliseconds since 1970."""
        return now_ms(self._redis)

    @clearly
    def submit(self, submission: Submission) -> bool:
        """Record a run; False if it was recorded before.

        Raises:
            RunConflict: its idempotency key stands for another submission.
        """
        command = submit_command(submission.model_copy(update={"who": self._who}), RETENTION_SECONDS)
        reply = self._run_script("submit", command.keys, *command.args, package=SHARED_SCRIPTS)
        return accepted(int(reply), submission)

    @clearly
    def cancel(self, run: str) -> RunState:
        """Wish the run's end; returns the state in which the wish met it. An ended run stays as it is."""
        keys = names.RunKeys(run)
        state = self._run_script(
            "cancel",
            [keys.record, keys.events, names.TIMETABLE],
            *(RETENTION_SECONDS, run, self._who),
            package=SHARED_SCRIPTS,
        )
        if state is None:
            raise RunNotFound(run)
        return RunState(text_of(state))

    @clearly
    def pause(self, run: str) -> Met:
        """Wish that nothing of the run starts any more, until `resume`."""
        return self._wish("pause", run)

    @clearly
    def resume(self, run: str) -> Met:
        """Let a paused run go on."""
        return self._wish("resume", run)

    def _wish(self, script: str, run: str) -> Met:
        arguments = (RETENTION_SECONDS, run, self._who)
        reply = self._run_script(script, [names.RunKeys(run).record], *arguments, package=SHARED_SCRIPTS)
        if reply is None:
            raise RunNotFound(run)
        state, wish, since, before = map(text_of, reply)
        return Met(state=RunState(state), wish=Wish(wish), paused_ms=int(since) if since else None, paused_by=before)

    @clearly
    def remove(self, run: str) -> list[str]:
        """Remove a run that has ended, and those below it; returns them all.

        Raises:
            RunNotFound: the store has no such run.
            InputsInvalid: it, or one below it, has not ended; or the run that has started it has not.
        """
        arguments = (run, self._who, names.CHORD_OF, names.RESULT_OF)
        verdict, *runs = map(text_of, self._run_script("remove", [names.RunKeys(run).record], *arguments))
        match verdict:
            case "none":
                raise RunNotFound(run)
            case "open":
                raise InputsInvalid([f"run {runs[0]} has not ended: wait for it, or remove it with --force"])
            case "below":
                raise InputsInvalid([f"run {run} was started by a step of {runs[0]}, which has not ended"])
        return runs

    @clearly
    def keep(self, run: str, into: str, instances: Sequence[str]) -> list[str]:
        """Put receipts and values of an ended run where another one will look for them; returns those that are gone."""
        before, after, lost = names.RunKeys(run), names.RunKeys(into), list[str]()
        keys = [before.receipts, before.values, before.memos, after.kept, after.kept_values]
        for first in range(0, len(instances), KEPT_AT_ONCE):
            page = instances[first : first + KEPT_AT_ONCE]
            lost += map(text_of, self._run_script("keep", keys, RETENTION_SECONDS, run, into, *page))
        return lost

    @clearly
    def given_answers(self, run: str) -> GivenAnswers:
        """What the run was told when it was submitted."""
        stored = self._redis.hget(names.RunKeys(run).record, "answers")
        return GivenAnswers.model_validate_json(stored) if stored else NOTHING_TOLD

    @clearly
    def children(self, run: str) -> list[RunRecord]:
        """The runs that its steps have started, oldest first."""
        ids = [text_of(child) for child in self._redis.hkeys(names.RunKeys(run).children)]
        with self._redis.pipeline(transaction=False) as pipe:
            for child in ids:
                pipe.hgetall(names.RunKeys(child).record)
            records = pipe.execute()
        found = [
            RunRecord.from_hash(child, texts_of(stored)) for child, stored in zip(ids, records, strict=True) if stored
        ]
        return sorted(found, key=lambda record: (record.submitted_ms, record.run))

    @clearly
    def ask_for_deltas(self, run: str) -> None:
        """Have the text of model calls that start from now on streamed."""
        if not self._run_script("stream_text", [names.RunKeys(run).record]):
            raise RunNotFound(run)

    @clearly
    def record(self, run: str) -> RunRecord:
        """What the run is.

        Raises:
            RunNotFound: the store has no such run.
        """
        stored = self._redis.hgetall(names.RunKeys(run).record)
        if not stored:
            raise RunNotFound(run)
        return RunRecord.from_hash(run, texts_of(stored))

    @clearly
    def plan(self, run: str) -> Plan:
        """The plan that it is pinned to.

        Raises:
            RunNotFound: the store has no such run.
        """
        stored = self._redis.get(names.RunKeys(run).plan)
        if stored is None:
            raise RunNotFound(run)
        return load_plan(stored)

    @clearly
    def receipts(self, run: str) -> dict[str, Receipt]:
        """Receipts of all instances that have ended."""
        stored = self._redis.hgetall(names.RunKeys(run).receipts)
        return {instance: Receipt.from_stored(text) for instance, text in texts_of(stored).items()}

    @clearly
    def open_instances(self, run: str) -> dict[str, OpenInstance]:
        """Where all other instances are that were reached."""
        stored = self._redis.hgetall(names.RunKeys(run).instances)
        return {instance: OpenInstance.from_stored(text) for instance, text in texts_of(stored).items()}

    @clearly
    def queues(self, run: str) -> dict[str, str]:
        """Open instance -> the queue that its message goes to."""
        stored = texts_of(self._redis.hgetall(names.RunKeys(run).instances))
        return {instance: [*text.split("|"), "", "", "", "", "", ""][5] for instance, text in stored.items()}

    @clearly
    def queue_lengths(self, queues: Collection[str]) -> dict[str, int]:
        """Messages that lie in each queue."""
        return {queue: int(self._redis.llen(names.stored_queue(queue))) for queue in queues}

    @clearly
    def due_ms(self, run: str, instances: Collection[str]) -> dict[str, int]:
        """When `sweep` looks at these instances next: for a parked one, when it comes back; ms since 1970."""
        with self._redis.pipeline(transaction=False) as pipe:
            for instance in instances:
                pipe.zscore(names.TIMETABLE, f"{run}|{instance}")
            scores = pipe.execute()
        return {instance: int(score) for instance, score in zip(instances, scores, strict=True) if score is not None}

    @clearly
    def calls(self, run: str) -> dict[str, dict[str, Json]]:
        """Instance -> the model call that it waits for or makes, as `admission.lua` keeps it."""
        stored = texts_of(self._redis.hgetall(names.RunKeys(run).calls))
        return {instance: json.loads(text) for instance, text in stored.items()}

    @clearly
    def values(self, run: str, instances: Sequence[str] | None = None) -> dict[str, Json]:
        """Values by instance: of all, or of those named. Those that left none are not in the answer."""
        keys = names.RunKeys(run)
        if instances is None:
            stored = {text_of(name): value for name, value in self._redis.hgetall(keys.values).items()}
        else:
            stored = (
                dict(zip(instances, self._redis.hmget(keys.values, list(instances)), strict=True)) if instances else {}
            )
        return {name: self._value(keys, name, text) for name, text in stored.items() if text is not None}

    @clearly
    def events(self, run: str, after: str, wait_ms: int) -> list[Event]:
        """Events behind the one with this id (`0`: from the first), waiting for one at most so long (0: not at all)."""
        key = names.RunKeys(run).events
        found = _entries(self._redis.xread({key: after}, count=PAGE, block=wait_ms or None))
        return _events(run, found.get(key, []))

    @clearly
    def events_and_deltas(
        self, run: str, after_event: str, after_delta: str, wait_ms: int
    ) -> tuple[list[Event], list[Delta]]:
        """What is behind these two ids, of one moment; waits for the first of either at most so long."""
        keys = names.RunKeys(run)
        wanted = {keys.events: after_event, keys.deltas: after_delta}
        found = _entries(self._redis.xread(wanted, count=PAGE, block=wait_ms or None))
        return _events(run, found.get(keys.events, [])), _deltas(run, found.get(keys.deltas, []))

    @clearly
    def deltas(self, run: str, after: str) -> list[Delta]:
        """All deltas behind this id that there are now."""
        key, found = names.RunKeys(run).deltas, list[Delta]()
        while True:
            page = _deltas(run, _entries(self._redis.xread({key: after}, count=PAGE)).get(key, []))
            found += page
            if len(page) < PAGE:
                return found
            after = page[-1].id

    @clearly
    def past(self, run: str, last_event: str, last_delta: str) -> tuple[list[Event], list[Delta]]:
        """All that happened up to and with these ids."""
        keys = names.RunKeys(run)
        events = self._redis.xrange(keys.events, max=last_event) if last_event != "0" else []
        deltas = self._redis.xrange(keys.deltas, max=last_delta) if last_delta != "0" else []
        return _events(run, events), _deltas(run, deltas)

    @clearly
    def newest_events(self, run: str, instances: Collection[str]) -> dict[str, Event]:
        """The last event of each of these instances, as far as the stream goes back."""
        key, wanted, last = names.RunKeys(run).events, set(instances), "+"
        found: dict[str, Event] = {}
        while wanted:
            page = _events(run, self._redis.xrevrange(key, max=last, count=PAGE))
            for event in page:
                if event.instance in wanted:
                    found[event.instance] = event
                    wanted.discard(event.instance)
            if len(page) < PAGE:
                break
            last = f"({page[-1].id}"
        return found

    @clearly
    def last_event_id(self, run: str) -> str:
        """Id of the newest event, or `0`."""
        newest = self._redis.xrevrange(names.RunKeys(run).events, count=1)
        return text_of(newest[0][0]) if newest else "0"

    @clearly
    def runs(self, offset: int, count: int) -> list[RunRecord]:
        """Records of runs, newest first."""
        ids = [text_of(run) for run in self._redis.zrevrange(names.RUNS, offset, offset + count - 1)]
        with self._redis.pipeline(transaction=False) as pipe:
            for run in ids:
                pipe.hgetall(names.RunKeys(run).record)
            records = pipe.execute()
        return [RunRecord.from_hash(run, texts_of(stored)) for run, stored in zip(ids, records, strict=True) if stored]

    def _value(self, keys: names.RunKeys, instance: str, stored: bytes) -> Json:
        """A value from its stored form; a large one has a key of its own."""
        if stored == b"":
            large = self._redis.get(keys.value(instance))
            return json.loads(unpack(large)) if large else None
        return json.loads(stored)


def _entries(reply: Any) -> dict[str, list[Any]]:
    """Stream -> its entries, from either form in which redis-py gives the reply of XREAD."""
    if isinstance(reply, dict):
        return {text_of(key): [entry for page in pages for entry in page] for key, pages in reply.items()}
    return {text_of(key): entries for key, entries in reply or ()}


def _events(run: str, entries: list[Any]) -> list[Event]:
    return [Event.from_stream(run, text_of(entry), texts_of(fields)) for entry, fields in entries]


def _deltas(run: str, entries: list[Any]) -> list[Delta]:
    return [Delta.model_validate({**texts_of(fields), "id": text_of(entry), "run": run}) for entry, fields in entries]
