"""Schedules of a fleet: pipelines that are run at times which a cron expression names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from orchestrator_client.budgets import checked_tenant, run_budget
from orchestrator_client.client.pipelines import Pipeline, plan_of
from orchestrator_client.client.run import Run
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.run import Submission
from orchestrator_client.contract.schedule import NAME, Overlap, Schedule, next_after
from orchestrator_client.store import Stores


class Schedules:
    """The schedules of one fleet. Its workers fire them; each time once, however many workers there are."""

    def __init__(self, stores: Stores, begin: Callable[[Submission], Run]) -> None:
        self._stores, self._store, self._begin = stores, stores.schedules, begin

    def add(
        self,
        pipeline: Pipeline,
        cron: str,
        inputs: Mapping[str, Json] | None = None,
        *,
        name: str = "",
        tz: str = "UTC",
        overlap: str = "skip",
        tags: Sequence[str] = (),
        tenant: str = "",
        budget_usd: Decimal | float | str | None = None,
        on_breach: str = "fail",
        allow_tools: Sequence[str] | None = None,
        replace: bool = False,
    ) -> Schedule:
        """Have a pipeline run whenever a cron expression of five fields says so, by the clocks of a time zone.

        `name` is the pipeline's id without it; `overlap` is what becomes of a run that is due while the one before it
        has not ended: `skip`, `queue` or `allow`. The rest is as for `Client.submit`, of each run.

        Raises:
            PlanInvalid: the pipeline cannot run.
            InputsInvalid: the expression, zone, name or inputs cannot be used, or there is a schedule of that name and
                `replace` is not set.
        """
        plan = plan_of(pipeline)
        name = name or plan.id
        if not NAME.fullmatch(name):
            raise InputsInvalid([f"schedule {name[:100]!r}: write letters, digits, _, . and - only, at most 100"])
        if overlap not in list(Overlap):
            raise InputsInvalid([f"overlap {overlap!r} is none of {', '.join(Overlap)}"])
        schedule = Schedule(
            name=name,
            cron=" ".join(cron.split()),
            tz=tz,
            overlap=Overlap(overlap),
            pipeline=plan.id,
            plan_hash=plan.hash,
            tags=tuple(tags),
            tenant=checked_tenant(tenant),
            budget=run_budget(budget_usd, on_breach),
            allow_tools=None if allow_tools is None else tuple(allow_tools),
            next_ms=next_after(cron, tz, self._stores.runs.now_ms()),
        )
        if not self._store.set(schedule, plan, plan.bind(inputs or {}), replace=replace):
            raise InputsInvalid([f"there is a schedule {name!r} already; name this one, or replace that one"])
        return self._store.get(name)

    def list(self) -> Sequence[Schedule]:
        """All schedules, by name."""
        return self._store.all()

    def get(self, name: str) -> Schedule:
        """One schedule.

        Raises:
            InputsInvalid: there is none of the name.
        """
        return self._store.get(name)

    def pause(self, name: str) -> bool:
        """Fire a schedule no more until `resume`; False if it was paused before. Its runs go on.

        Raises:
            InputsInvalid: there is none of the name.
        """
        return self._store.wish(name, "pause")

    def resume(self, name: str) -> bool:
        """Let a schedule go on, from its next time on; False if it was not paused.

        Raises:
            InputsInvalid: there is none of the name.
        """
        schedule = self._store.get(name)
        return self._store.wish(name, "resume", next_after(schedule.cron, schedule.tz, self._stores.runs.now_ms()))

    def remove(self, name: str) -> None:
        """Remove a schedule. Its runs stay.

        Raises:
            InputsInvalid: there is none of the name.
        """
        self._store.wish(name, "rm")

    def run_now(self, name: str) -> Run:
        """Run what a schedule runs, beside its times and whatever runs.

        Raises:
            InputsInvalid: there is none of the name.
        """
        schedule, (plan, inputs) = self._store.get(name), self._store.contents(name)
        submission = Submission(
            run=names.new_run_id(plan.id),
            plan=plan,
            inputs=inputs,
            tags=(*schedule.tags, f"schedule:{name}"),
            tenant=schedule.tenant,
            budget=schedule.budget,
            allow_tools=schedule.allow_tools,
        )
        return self._begin(submission)
