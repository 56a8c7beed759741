"""What a client does to its run: it submits, pauses, cancels, answers and pays, and insists where the store is away."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import NoQuestion, StoreUnavailable
from orchestrator_client.contract.plan import Plan
from tests.simulation.seam import Operation, ask
from tests.simulation.watch import Watch
from tests.simulation.world import World


class SimClient:
    """One of them, with one run."""

    def __init__(self, world: World, watch: Watch, plan: Plan, cap_nano_usd: int | None, on_breach: str) -> None:
        self._world, self._watch, self._plan = world, watch, plan
        self._cap, self._on_breach = cap_nano_usd, on_breach
        self.run = ""

    def submit(self) -> None:
        """Submit again and again, until it is known that the run is recorded."""
        usd = None if self._cap is None else Decimal(self._cap) / 10**9
        options = {"idempotency_key": "one", "tenant": "t", "budget_usd": usd, "on_breach": self._on_breach}
        self.run = _insist(partial(self._world.client.submit, self._plan, **options)).id
        if self._cap is not None:
            self._watch.budgets[f"run:{self.run}"] = self._cap

    def cancel(self) -> None:
        _insist(self._world.client._run(self.run).cancel)

    def pause(self) -> None:
        _insist(self._world.client._run(self.run).pause)

    def resume(self) -> None:
        _insist(self._world.client._run(self.run).resume)

    def answer(self) -> None:
        """Answer every question that stands."""
        for run in [self._world.client._run(name) for name in self._watch.runs]:
            for asked in _insist(run.questions) or ():
                _insist(partial(run.answer, asked.instance, "yes", "me"))

    def pay(self) -> None:
        """Raise the budget."""
        _insist(partial(self._world.client.set_budget, self.run, "1"))

    def is_asked(self) -> bool:
        return any(self._world.wire.ask("EXISTS", names.RunKeys(run).questions) for run in self._watch.runs)

    def waits_for_money(self) -> bool:
        return self._cap is not None and self._on_breach == "pause"


def _insist(act: Callable[[], Any]) -> Any:
    while True:
        try:
            return act()
        except StoreUnavailable:
            ask(Operation("pause", "retry", lambda: None))
        except NoQuestion:
            return None
