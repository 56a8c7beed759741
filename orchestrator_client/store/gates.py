"""Gates in the store: what is known of providers' limits, who waits at them, and what a person sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator_client.contract import names
from orchestrator_client.gates import FIRST_WINDOW, Gate, Line
from orchestrator_client.store.connection import RETENTION_SECONDS, Store, clearly, now_ms, text_of


class GateStore(Store):
    """Reads gates, and changes what is a person's to change."""

    @clearly
    def scopes(self) -> list[str]:
        """Every scope of which something is known, in the order of their names."""
        return sorted(text_of(scope) for scope in self._redis.smembers(names.SCOPES))

    @clearly
    def gates(self, scopes: Iterable[str]) -> dict[str, Gate]:
        """The gates of these scopes, as they are now; a scope of which nothing is known has an empty one."""
        wanted = list(scopes)
        now = now_ms(self._redis)
        with self._redis.pipeline(transaction=False) as pipe:
            for scope in wanted:
                pipe.hmget(names.gate(scope), "state", "config", "set")
            found = pipe.execute()
        return {
            scope: Gate(json.loads(state or "{}"), json.loads(config or "{}"), json.loads(given or "{}"), now)
            for scope, (state, config, given) in zip(wanted, found, strict=True)
        }

    @clearly
    def line(self, scope: str) -> Line:
        """Who waits at a gate: how often tenants and runs were served, and how many calls each run has waiting."""
        key = names.waiting(scope)
        tenants = self._scored(key)
        runs = {tenant: self._scored(f"{key}|{tenant}") for tenant in tenants}
        with self._redis.pipeline(transaction=False) as pipe:
            for tenant in tenants:
                for run in runs[tenant]:
                    pipe.zcard(f"{key}|{tenant}|{run}")
            counts = iter(pipe.execute())
        return {
            tenant: (served, {run: (score, int(next(counts))) for run, score in runs[tenant].items()})
            for tenant, served in tenants.items()
        }

    @clearly
    def place(self, scope: str, tenant: str, run: str, instance: str) -> int | None:
        """Calls of the same run that came before this one and wait too; None if it does not wait there."""
        rank = self._redis.zrank(f"{names.waiting(scope)}|{tenant}|{run}", instance)
        return None if rank is None else int(rank)

    @clearly
    def set_limits(self, scope: str, limits: Mapping[str, int]) -> None:
        """Put a person's limits over all others, by dimension; 0 takes one away."""
        keys = [names.gate(scope), names.SCOPES, names.AGENDA]
        given = [part for limit in limits.items() for part in limit]
        audited = json.dumps({"scope": scope, "set": dict(limits)})
        self._run_script("set_limits", keys, RETENTION_SECONDS, scope, self._who, audited, *given)

    @clearly
    def learn_limits(self, scope: str) -> bool:
        """Forget a scope's limits and weather, but not the calls in flight; False if nothing is known of it."""
        keys = [names.gate(scope), names.AGENDA]
        audited = json.dumps({"scope": scope, "learn": True})
        arguments = (RETENTION_SECONDS, scope, FIRST_WINDOW, self._who, audited)
        return bool(self._run_script("learn_limits", keys, *arguments))

    def _scored(self, key: str) -> dict[str, float]:
        """A sorted set, in its order."""
        found: list[Any] = self._redis.zrange(key, 0, -1, withscores=True)
        return {text_of(member): float(score) for member, score in found}
