"""What model calls have cost: of one run from its receipts, of many from the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from pydantic import Field

from orchestrator_client.budgets import NANO
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Record
from orchestrator_client.contract.run import Receipt

DAY_MS = 86_400_000
LONGEST_DAYS = 400
"""How long the ledger keeps a day."""

DEFAULT_DAYS = 30
"""Covered by a report that is not told since when."""


class CostLine(Record):
    """Calls that are counted together."""

    name: str
    """A model, a day, or a step of a run."""
    model: str = ""
    """Of a step of a run."""
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal = Decimal(0)
    """Of those calls whose price is known."""
    unpriced: int = 0
    """Calls whose price is not known: they are not free, they are missing in `usd`."""

    def __add__(self, other: CostLine) -> CostLine:
        return self.model_copy(
            update={
                part: getattr(self, part) + getattr(other, part)
                for part in ("calls", "input_tokens", "output_tokens", "usd", "unpriced")
            }
        )


class CostReport(Record):
    """What was asked for, by line and in all."""

    total: CostLine
    lines: list[CostLine] = Field(default_factory=list)


def of_receipts(receipts: Mapping[str, Receipt]) -> CostReport:
    """Of one run: a line a step that has called a model, in the order in which they ended.

    What open steps have used is not in it: they have no receipt yet.
    """
    ended = sorted(receipts.items(), key=lambda entry: entry[1].ended_ms)
    return _report([_line_of(step, receipt) for step, receipt in ended if receipt.usage is not None])


def of_ledger(days: Mapping[int, Mapping[str, int]], kind: str, name: str, by: str) -> CostReport:
    """Of many runs: what the ledger has of `all`, one `tag` or one `tenant`, by `model` or by `day`."""
    lines: dict[str, CostLine] = {}
    for day, stored in sorted(days.items()):
        for field, amount in stored.items():
            # A tag may hold the separator; the names of models and sums do not.
            head, _, what = field.rpartition("|")
            place, _, model = head.rpartition("|")
            if place == f"{kind}|{name}":
                key = model if by == "model" else str(_date(day))
                lines[key] = lines.get(key, CostLine(name=key)) + _sum_of(what, amount)
    ordered = sorted(lines.values(), key=lambda line: (line.name if by == "day" else "", -line.usd, line.name))
    return _report(ordered)


def days_since(since: int | str | date | None, now_ms: int) -> range:
    """The days, counted from 1970 in UTC, that a report covers: so many up to today, or from a date on.

    Raises:
        InputsInvalid: that is neither.
    """
    today = now_ms // DAY_MS
    return range(max(today - LONGEST_DAYS, _first_day(since, today)), today + 1)


def _first_day(since: int | str | date | None, today: int) -> int:
    """The first of those days."""
    if since is None:
        return today - DEFAULT_DAYS + 1
    if isinstance(since, int) or (isinstance(since, str) and since.isdecimal()):
        return today - int(since) + 1
    try:
        first = since if isinstance(since, date) else date.fromisoformat(since)
    except ValueError:
        raise InputsInvalid([f"{since!r} is neither a number of days nor a date such as 2026-01-31"]) from None
    return (first - date(1970, 1, 1)).days


def _date(day: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date()


def _sum_of(what: str, amount: int) -> CostLine:
    """One sum of the ledger; those that a later release adds count for nothing here."""
    match what:
        case "calls":
            return CostLine(name="", calls=amount)
        case "input":
            return CostLine(name="", input_tokens=amount)
        case "output":
            return CostLine(name="", output_tokens=amount)
        case "nano":
            return CostLine(name="", usd=amount / NANO)
        case "unpriced":
            return CostLine(name="", unpriced=amount)
        case _:
            return CostLine(name="")


def _line_of(step: str, receipt: Receipt) -> CostLine:
    """One receipt. A sum with a call of unknown price has none, and counts whole as unpriced."""
    usage = receipt.usage
    assert usage is not None  # noqa: S101 - the caller has sifted
    return CostLine(
        name=step,
        model=receipt.model or "",
        calls=usage.requests,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        usd=usage.cost_usd or Decimal(0),
        unpriced=usage.requests if usage.cost_usd is None else 0,
    )


def _report(lines: Iterable[CostLine]) -> CostReport:
    """The lines with their sum."""
    found = list(lines)
    return CostReport(total=sum(found, CostLine(name="total")), lines=found)
