"""What an operator asks of a fleet and sets in it: limits, money, dead letters, who did what, and how it is."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from orchestrator_client.budgets import Budgets, BudgetView
from orchestrator_client.contract.audit import AuditEntry
from orchestrator_client.contract.dead import DeadLetter
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.project import load_project
from orchestrator_client.contract.worker import WorkerInfo
from orchestrator_client.costs import CostReport, days_since, of_ledger, of_receipts
from orchestrator_client.gates import GateView
from orchestrator_client.limits import checked_limits, checked_scope
from orchestrator_client.store import Stores

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from orchestrator_client.doctor import Finding
    from orchestrator_client.overview import Overview


class Operations:
    """The part of a client that looks after the fleet."""

    _stores: Stores

    def audit(self, run: str | None = None, *, act: str | None = None, limit: int = 100) -> list[AuditEntry]:
        """Who has done what, and when: of one run or of all, newest first. Entries stay for 400 days at most."""
        return self._stores.audit.entries(run, act, limit)

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Messages that no worker could take, newest first, each with the reason and how it begins."""
        return self._stores.dead.letters(limit)

    def dead_letter(self, letter: str) -> DeadLetter:
        """One of them, with its whole message if that was kept.

        Raises:
            InputsInvalid: there is none of that id.
        """
        return self._stores.dead.letter(letter)

    def requeue_dead_letter(self, letter: str) -> None:
        """Put it back into its queue, for workers that can take it now.

        Raises:
            InputsInvalid: there is none of that id, or it was too long to be kept.
        """
        self._stores.dead.requeue(letter)

    def drop_dead_letter(self, letter: str) -> None:
        """Throw it away.

        Raises:
            InputsInvalid: there is none of that id.
        """
        self._stores.dead.drop(letter)

    def limits(self) -> list[GateView]:
        """What is known of every provider's limits: those in force and whose word they are, what is used, who waits."""
        gates = self._stores.gates
        found = gates.gates(gates.scopes())
        return [gate.view(scope, gates.line(scope)) for scope, gate in found.items() if gate.is_known]

    def set_limits(self, scope: str, **limits: int | None) -> None:
        """Put limits over all that is configured, told and learned.

        `scope` is `provider/credential/model` or `provider/model`; limits are `requests`, `tokens`, `input_tokens` and
        `output_tokens` a minute, and `in_flight` calls at a time. None or 0 takes one away; others stay.

        Raises:
            InputsInvalid: there is no such limit, or the scope is none.
        """
        self._stores.gates.set_limits(checked_scope(scope), checked_limits(limits))

    def learn_limits(self, scope: str) -> None:
        """Forget what was set, told and learned of a scope, and its weather: it is learned anew.

        Raises:
            InputsInvalid: nothing is known of the scope.
        """
        known = checked_scope(scope)
        if not self._stores.gates.learn_limits(known):
            raise InputsInvalid([f"nothing is known of {known}; `orchestrator limits list` has the scopes there are"])

    def cost(
        self,
        run: str | None = None,
        *,
        tag: str | None = None,
        tenant: str | None = None,
        since: int | str | date | None = None,
        by: Literal["model", "day"] = "model",
    ) -> CostReport:
        """What model calls have cost: of one run by step, else of all runs, a tag's or a tenant's by model or day.

        `since` is a number of days up to today, or a date; 30 days without it. Days are UTC's.

        Raises:
            RunNotFound: the store has no such run.
            InputsInvalid: more than one of run, tag and tenant is given, or `since` is no time.
        """
        if run is not None:
            if (tag, tenant, since) != (None, None, None):
                raise InputsInvalid(["the cost of a run is whole: give no tag, tenant or time with it"])
            self._stores.runs.record(run)
            return of_receipts(self._stores.runs.receipts(run))
        if tag is not None and tenant is not None:
            raise InputsInvalid(["the ledger counts by tag or by tenant, not by both: give one"])
        kind, name = ("tag", tag) if tag is not None else ("tenant", tenant) if tenant is not None else ("all", "")
        ledger = self._stores.money.ledger(days_since(since, self._stores.money.now_ms()))
        return of_ledger(ledger, kind, name or "", by)

    def budget(self, name: str, per: str | None = None) -> BudgetView:
        """A budget: of a run by its id, or `tag:NAME` or `tenant:NAME` in its present period.

        `per` is `day`, `month` or `ever`; without it, what this machine's `orchestrator.toml` says, or what is in use.

        Raises:
            RunNotFound, InputsInvalid: the name stands for none.
        """
        budgets = Budgets(self._stores.money, load_project())
        return budgets.named(name, per) if ":" in name else budgets.of_run(self._stores.runs.record(name))

    def set_budget(self, name: str, usd: Decimal | float | str, per: str | None = None) -> int:
        """Raise or lower a budget's cap; returns how many waiting calls are looked at again. Names are `budget`'s.

        Raises:
            RunNotFound, InputsInvalid: the name stands for none, or `usd` is no amount.
        """
        return Budgets(self._stores.money, load_project()).change(self.budget(name, per), usd)

    def doctor(self) -> list[Finding]:
        """Whether the fleet is well: each thing that can be wrong with it, and what to do."""
        from orchestrator_client.client.examination import facts_of_fleet
        from orchestrator_client.doctor import examine

        return examine(facts_of_fleet(self._stores))

    def overview(self) -> Overview:
        """The fleet at a glance: workers, queues, what is open, limits, and the runs that go on."""
        from orchestrator_client.overview import overview_of

        return overview_of(self._stores)

    def workers(self) -> list[WorkerInfo]:
        """Workers that have reported within the last seconds, by name."""
        return self._stores.fleet.workers()

    def export_metrics(self, registry: CollectorRegistry | None = None) -> None:
        """Have a Prometheus registry export what is known of the fleet; without one, prometheus_client's own.

        Raises:
            ImportError: the extra `metrics` is not installed.
        """
        from orchestrator_client.metrics import register

        register(self._stores, registry)
