"""Which runs a list shows, and what it says of each. Reads the store, and knows nothing of pages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from orchestrator_client.contract.run import Receipt, RunRecord
from orchestrator_client.flower.rows import state_of, summary_of
from orchestrator_client.store.pages import ListedRun, PageStore, Place

SHOWN = 50
"""Runs of one page."""

READ_AT_A_TIME = 500
MOST_READ = 10_000
"""Runs that one page looks through for those that were asked for; the next page goes on from there."""

REMEMBERED = 5_000
"""Runs whose sums are kept, so that the receipts of one that does nothing are read once."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: runs that match all that is given."""

    text: str = ""
    """In the run's id, its pipeline, a tag, its tenant or its error; in whatever case."""
    state: str = ""
    """A state, or `open`: all that have not ended."""
    pipeline: str = ""
    tag: str = ""
    before: Place | None = None
    """Behind which run of the list the page begins."""

    @property
    def all(self) -> bool:
        return not (self.text or self.state or self.pipeline or self.tag)

    def matches(self, record: RunRecord) -> bool:
        state = state_of(record)
        return (
            (not self.state or self.state == state or (self.state == "open" and not record.state.ended))
            and (not self.pipeline or self.pipeline == record.pipeline)
            and (not self.tag or self.tag in record.tags)
            and self.text.lower() in _text_of(record).lower()
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of the list."""

    runs: Sequence[dict[str, Any]]
    next: Place | None
    """Behind which run the next page begins; None: there is none."""
    read: int
    """Runs that were looked through."""


class Lists:
    """Makes pages of the list."""

    def __init__(self, store: PageStore) -> None:
        self._store, self._sums = store, Sums(store)

    def page(self, wanted: Wanted) -> Listing:
        """The runs that are wanted, newest first."""
        found: list[ListedRun] = []
        place, read = wanted.before, 0
        at_a_time = SHOWN + 1 if wanted.all else READ_AT_A_TIME
        while len(found) <= SHOWN and read < MOST_READ:
            batch = self._store.runs(place, at_a_time)
            found += [run for run in batch if wanted.matches(run.record)]
            read += len(batch)
            place = batch[-1].place if len(batch) == at_a_time else None
            if place is None:
                break
        if len(found) > SHOWN:
            found = found[:SHOWN]
            place = found[-1].place
        sums = self._sums.of(found)
        return Listing([_row(run, sums[run.record.run]) for run in found], place, read)


@dataclass(frozen=True, slots=True)
class Sum:
    """What a run's instances have cost so far."""

    usd: Decimal
    unpriced: int
    """Instances with a call of unknown price."""

    @classmethod
    def of(cls, receipts: Iterable[Receipt]) -> Sum:
        usages = [receipt.usage for receipt in receipts if receipt.usage is not None]
        priced = [usage.cost_usd for usage in usages if usage.cost_usd is not None]
        return cls(sum(priced, Decimal(0)), len(usages) - len(priced))


class Sums:
    """The sums of runs; what was summed is remembered until more of the run has ended."""

    def __init__(self, store: PageStore) -> None:
        self._store = store
        self._known: OrderedDict[tuple[str, int, int | None], Sum] = OrderedDict()

    def of(self, runs: Sequence[ListedRun]) -> dict[str, Sum]:
        keys = {run.record.run: (run.record.run, run.done, run.record.ended_ms) for run in runs}
        missing = [run for run, key in keys.items() if key not in self._known]
        read = self._store.receipts(missing) if missing else {}
        for run, receipts in read.items():
            self._known[keys[run]] = Sum.of(receipts)
        found = {run: self._known[key] for run, key in keys.items()}
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found


def _row(run: ListedRun, sums: Sum) -> dict[str, Any]:
    record = run.record
    why = record.error.message if record.error else ""
    return {
        **summary_of(record),
        "done": run.done,
        # What loops make is known only once it is reached, so there may be more than the plan has.
        "steps": max(record.steps, run.done + record.open),
        "usd": float(sums.usd),
        "unpriced": sums.unpriced,
        "why": why[:300],
    }


def _text_of(record: RunRecord) -> str:
    error = record.error.message if record.error else ""
    return "\n".join([record.run, record.pipeline, record.tenant, *record.tags, error])
