"""What the web pages show, each in as few round trips as it takes: a list of runs, one run, and what changed in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import RunNotFound
from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Plan
from orchestrator_client.contract.question import AskedQuestion
from orchestrator_client.contract.run import OpenInstance, Receipt, RunRecord
from orchestrator_client.contract.submission import load_plan
from orchestrator_client.store.connection import Store, clearly, text_of, texts_of

NEWEST_EVENTS = 30_000
"""Events that a page shows of a run; the store keeps about 100,000."""

_NOT_LISTED = {"run", "outputs", "allow_tools"}
"""Of a run's record, what no list shows: outputs may be large."""

LISTED = tuple(name for name in RunRecord.model_fields if name not in _NOT_LISTED)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list of runs, which stays where it is while new ones come."""

    submitted_ms: float
    run: str


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in a list. Its record is without outputs."""

    place: Place
    record: RunRecord
    done: int
    """Instances that have a receipt."""


@dataclass(frozen=True, slots=True)
class Now:
    """What may change of a run at any time. Its record is without outputs."""

    record: RunRecord
    receipts: Mapping[str, Receipt]
    """Of all instances that have ended, or of those that were asked for."""
    open: Mapping[str, OpenInstance]
    questions: Mapping[str, AskedQuestion]
    """Instance -> the last question that it asked."""


@dataclass(frozen=True, slots=True)
class WholeRun:
    """A run at one moment."""

    plan: Plan
    now: Now
    events: Sequence[Event]
    """The newest `NEWEST_EVENTS`, in order."""
    children: Mapping[str, str]
    """Run that it has started -> the instance that did."""


class PageStore(Store):
    """Reads for pages."""

    @clearly
    def runs(self, before: Place | None, count: int) -> list[ListedRun]:
        """Runs, newest first, from the one behind this place on; in two round trips."""
        stop = "+inf" if before is None else before.submitted_ms
        # Runs of the same millisecond as the last one of the page before are read again, and left out.
        found = self._redis.zrevrangebyscore(names.RUNS, stop, "-inf", start=0, num=count + 50, withscores=True)
        places = [Place(float(score), text_of(run)) for run, score in found]
        if before is not None:
            places = [place for place in places if (place.submitted_ms, place.run) < (before.submitted_ms, before.run)]
        places = places[:count]
        with self._redis.pipeline(transaction=False) as pipe:
            for place in places:
                keys = names.RunKeys(place.run)
                pipe.hmget(keys.record, LISTED)
                pipe.hlen(keys.receipts)
            replies = iter(pipe.execute())
        listed = [(place, next(replies), int(next(replies))) for place in places]
        return [ListedRun(place, _record(place.run, stored), done) for place, stored, done in listed if any(stored)]

    @clearly
    def receipts(self, runs: Collection[str]) -> dict[str, list[Receipt]]:
        """Run -> the receipts of its instances; in one round trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            for run in runs:
                pipe.hvals(names.RunKeys(run).receipts)
            replies = pipe.execute()
        return {
            run: [Receipt.from_stored(text_of(text)) for text in stored]
            for run, stored in zip(runs, replies, strict=True)
        }

    @clearly
    def whole(self, run: str) -> WholeRun:
        """All that a page shows of a run, in one round trip.

        Raises:
            RunNotFound: the store has no such run.
        """
        keys = names.RunKeys(run)
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.record, LISTED)
            pipe.hgetall(keys.receipts)
            pipe.hgetall(keys.instances)
            pipe.hgetall(keys.questions)
            pipe.get(keys.plan)
            pipe.xrevrange(keys.events, count=NEWEST_EVENTS)
            pipe.hgetall(keys.children)
            *now, plan, events, children = pipe.execute()
        if plan is None:
            raise RunNotFound(run)
        return WholeRun(
            plan=load_plan(plan),
            now=_now(run, *now),
            events=[Event.from_stream(run, text_of(entry), texts_of(fields)) for entry, fields in reversed(events)],
            children=texts_of(children),
        )

    @clearly
    def now(self, run: str, ended: Sequence[str]) -> Now:
        """What a run is now, with the receipts of these instances, in one round trip.

        Raises:
            RunNotFound: the store has no such run (any more).
        """
        keys = names.RunKeys(run)
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.record, LISTED)
            if ended:
                pipe.hmget(keys.receipts, list(ended))
            pipe.hgetall(keys.instances)
            pipe.hgetall(keys.questions)
            record, *receipts, instances, questions = pipe.execute()
        found = dict(zip(ended, receipts[0], strict=True)) if receipts else {}
        return _now(run, record, {name: text for name, text in found.items() if text}, instances, questions)

    @clearly
    def events(self, cursors: Mapping[str, str], wait_ms: int) -> dict[str, list[Event]]:
        """Run -> what happened in it behind this id; waits for the first of any run at most so long (0: not at all)."""
        runs = {names.RunKeys(run).events: run for run in cursors}
        wanted = {key: cursors[run] for key, run in runs.items()}
        reply = self._redis.xread(wanted, count=1000, block=wait_ms or None) or []
        entries = reply.items() if isinstance(reply, dict) else reply
        found: dict[str, list[Event]] = {}
        for key, pages in entries:
            run = runs[text_of(key)]
            # redis-py wraps the entries of a stream once more where it replies with a mapping.
            stream = [entry for page in pages for entry in page] if isinstance(reply, dict) else pages
            found[run] = [Event.from_stream(run, text_of(entry), texts_of(fields)) for entry, fields in stream]
        return found


def _record(run: str, stored: Sequence[bytes | None]) -> RunRecord:
    fields = zip(LISTED, stored, strict=True)
    return RunRecord.from_hash(run, {name: text_of(value) for name, value in fields if value is not None})


def _now(run: str, record: Sequence[bytes | None], receipts: Any, instances: Any, questions: Any) -> Now:
    """From the hashes as they are stored, and from those fields of the record that are listed."""
    if not any(record):
        raise RunNotFound(run)
    asked = texts_of(questions)
    return Now(
        record=_record(run, record),
        receipts={name: Receipt.from_stored(text) for name, text in texts_of(receipts).items()},
        open={name: OpenInstance.from_stored(text) for name, text in texts_of(instances).items()},
        questions={
            name: AskedQuestion.from_stored(run, name, text, asked.get(f"{name}!"))
            for name, text in asked.items()
            if not name.endswith("!")
        },
    )
