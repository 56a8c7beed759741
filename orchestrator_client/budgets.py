"""Budgets: whose money it is, for which period, and what is left of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Record
from orchestrator_client.contract.project import BudgetSection, OnBreach, Project
from orchestrator_client.contract.run import RunBudget, RunRecord
from orchestrator_client.store.money import MoneyStore, StoredBudget

NANO = Decimal(1_000_000_000)
"""Parts of a dollar in which the store counts."""

MOST_USD = Decimal(1_000_000)
"""Largest budget: the store counts exactly up to there."""

PERIODS = {"day": "%Y-%m-%d", "month": "%Y-%m", "ever": "ever"}
"""How a period is written in a budget's id, in UTC."""

_TENANT = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class BudgetView(Record):
    """One budget at this moment, in US dollars."""

    id: str
    """`run:<run>`, `tag:<tag>:<period>` or `tenant:<tenant>:<period>`."""
    cap_usd: Decimal | None = None
    """None: what its workers' `orchestrator.toml` says, which this machine does not know."""
    spent_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    """What calls in flight may still cost."""
    waiting: int = 0
    """Calls that wait for its money."""
    used: bool = True
    """Whether a call has been counted on it, or its cap was changed."""

    @property
    def left_usd(self) -> Decimal | None:
        """What no call has spent or reserved."""
        return None if self.cap_usd is None else self.cap_usd - self.spent_usd - self.reserved_usd


def checked_tenant(tenant: str) -> str:
    """The name of a tenant; it becomes a part of keys.

    Raises:
        InputsInvalid: it has other characters than letters, digits, `_`, `.` and `-`, or more than 100.
    """
    if tenant and not _TENANT.fullmatch(tenant):
        raise InputsInvalid([f"tenant {tenant[:80]!r} is no name: write letters, digits, _, . and - only, at most 100"])
    return tenant


def run_budget(usd: Decimal | float | str | None, on_breach: str) -> RunBudget | None:
    """What a run may spend, from what a caller gave.

    Raises:
        InputsInvalid: that is no amount, or `on_breach` none of the words.
    """
    if on_breach not in list(OnBreach):
        raise InputsInvalid([f"on_breach {on_breach!r} is none of {', '.join(OnBreach)}"])
    return None if usd is None else RunBudget(usd=amount_of(usd), on_breach=OnBreach(on_breach))


def amount_of(usd: Decimal | float | str) -> Decimal:
    """An amount above zero, in US dollars.

    Raises:
        InputsInvalid: it is none.
    """
    try:
        amount = Decimal(str(usd).strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 < amount <= MOST_USD:
        raise InputsInvalid(
            [f"{str(usd)[:40]!r} is no budget: write US dollars above 0, such as 0.50, up to {MOST_USD:,}"]
        )
    return amount


def period_id(name: str, per: str, now_ms: int) -> str:
    """Id of a tag's or tenant's budget, `name` being `tag:<tag>` or `tenant:<tenant>`, in its present period."""
    return f"{name}:{datetime.fromtimestamp(now_ms / 1000, UTC).strftime(PERIODS[per])}"


class Budgets:
    """Finds, reads and changes budgets by the names that people use: a run's id, `tag:NAME` or `tenant:NAME`."""

    def __init__(self, store: MoneyStore, project: Project) -> None:
        self._store, self._project = store, project

    def of_run(self, record: RunRecord) -> BudgetView:
        """A run's budget; of one that another run's step started, that of the first run above it."""
        project = self._project.budgets.run
        cap = record.budget.usd if record.budget else project.usd if project else None
        return self._view(f"run:{record.root or record.run}", cap)

    def named(self, name: str, per: str | None = None) -> BudgetView:
        """A tag's or tenant's budget in its present period.

        The period is the one given, else the one that this machine's configuration states, else one in which a
        call was counted, else the month.

        Raises:
            InputsInvalid: the name has no such form.
        """
        section = self._section(name)
        now_ms = self._store.now_ms()
        periods = [per] if per else [section.per] if section else list(PERIODS)
        known = [each for each in periods if self._store.budget(period_id(name, each, now_ms)) is not None]
        chosen = known[0] if known else periods[0] if len(periods) == 1 else "month"
        return self._view(period_id(name, chosen, now_ms), section.usd if section and section.per == chosen else None)

    def view(self, identity: str, configured_usd: Decimal | None) -> BudgetView:
        """A budget by its id; `configured_usd` is its cap if nobody has changed it."""
        return self._view(identity, configured_usd)

    def change(self, view: BudgetView, usd: Decimal | float | str) -> int:
        """Raise or lower its cap; returns how many waiting calls are looked at again.

        Raises:
            InputsInvalid: that is no amount, or the run was submitted without a budget: none of its calls asks for it.
        """
        amount = amount_of(usd)
        if view.id.startswith("run:") and view.cap_usd is None and not view.used:
            run = view.id.removeprefix("run:")
            raise InputsInvalid(
                [f"run {run} has no budget to change: one is given when it is submitted, with --budget"]
            )
        return self._store.set_budget(view.id, int(amount * NANO))

    def _section(self, name: str) -> BudgetSection | None:
        kind, colon, rest = name.partition(":")
        if not colon or not rest or kind not in ("tag", "tenant"):
            raise InputsInvalid([f"{name!r} names no budget: write the id of a run, tag:NAME or tenant:NAME"])
        sections = self._project.budgets.tag if kind == "tag" else self._project.budgets.tenant
        return sections.get(rest)

    def _view(self, identity: str, configured_usd: Decimal | None) -> BudgetView:
        stored = self._store.budget(identity)
        if stored is None:
            return BudgetView(id=identity, cap_usd=configured_usd, used=False)
        return _of_stored(identity, stored, configured_usd)


def _of_stored(identity: str, stored: StoredBudget, configured_usd: Decimal | None) -> BudgetView:
    return BudgetView(
        id=identity,
        cap_usd=configured_usd if stored.cap is None else stored.cap / NANO,
        spent_usd=stored.spent / NANO,
        reserved_usd=stored.reserved / NANO,
        waiting=stored.waiting,
    )
