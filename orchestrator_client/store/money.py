"""Money in the store: budgets, the ledger, and what steps used in the past."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator_client.contract import names
from orchestrator_client.store.connection import RETENTION_SECONDS, Store, clearly, now_ms, texts_of

BUDGET_SECONDS = 400 * 86400
"""Life of a tag's or tenant's budget after its cap was changed."""


@dataclass(frozen=True, slots=True)
class StoredBudget:
    """A budget as the store has it, in billionths of a dollar."""

    cap: int | None
    """None: nobody changed it."""
    spent: int
    reserved: int
    waiting: int
    """Calls that wait for its money."""


class MoneyStore(Store):
    """Reads what was spent, and changes what may be."""

    @clearly
    def now_ms(self) -> int:
        """Redis's time, milliseconds since 1970."""
        return now_ms(self._redis)

    @clearly
    def budget(self, identity: str) -> StoredBudget | None:
        """One budget; None if no call has asked for its money and nobody has changed its cap."""
        stored = texts_of(self._redis.hgetall(names.budget(identity)))
        waiting = int(self._redis.zcard(names.short(identity)))
        if not stored and not waiting:
            return None
        cap = stored.get("cap")
        spent, reserved = (int(float(stored.get(part) or 0)) for part in ("spent", "reserved"))
        return StoredBudget(None if cap is None else int(float(cap)), spent, reserved, waiting)

    @clearly
    def set_budget(self, identity: str, cap: int) -> int:
        """Change what a budget may spend, in billionths of a dollar; returns how many calls are looked at again."""
        lives = RETENTION_SECONDS if identity.startswith("run:") else BUDGET_SECONDS
        keys = [names.budget(identity), names.short(identity), names.AGAIN]
        audited = json.dumps({"budget": identity, "usd": cap / 1_000_000_000})
        run = identity.removeprefix("run:") if identity.startswith("run:") else ""
        return int(self._run_script("set_budget", keys, lives, cap, RETENTION_SECONDS, self._who, audited, run))

    @clearly
    def ledger(self, days: Iterable[int]) -> dict[int, dict[str, int]]:
        """Day, counted from 1970 -> `kind|name|model|what` -> sum. Days without a call are left out."""
        wanted = list(days)
        with self._redis.pipeline(transaction=False) as pipe:
            for day in wanted:
                pipe.hgetall(names.ledger(day))
            found = pipe.execute()
        return {
            day: {field: int(float(amount)) for field, amount in texts_of(stored).items()}
            for day, stored in zip(wanted, found, strict=True)
            if stored
        }

    @clearly
    def histories(self, pipeline: str, steps: Iterable[str]) -> dict[str, dict[str, float]]:
        """Step -> what its model calls used in earlier runs; steps without any are left out."""
        wanted = list(steps)
        with self._redis.pipeline(transaction=False) as pipe:
            for step in wanted:
                pipe.hgetall(names.history(pipeline, step))
            found = pipe.execute()
        return {
            step: {field: float(amount) for field, amount in texts_of(stored).items()}
            for step, stored in zip(wanted, found, strict=True)
            if stored
        }
