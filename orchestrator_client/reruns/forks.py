"""Have a run begin with results of one that has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Json, Plan, Record
from orchestrator_client.contract.run import Receipt, RunRecord, RunState, Submission
from orchestrator_client.contract.usage import NO_USAGE, Usage
from orchestrator_client.estimate import StepEstimate
from orchestrator_client.reruns.diff import Diff, Ended, diff
from orchestrator_client.store import Stores


class Rerun(Record):
    """What a run would keep of one that has ended, and what it would do again."""

    run: str
    """The run that has ended."""
    kept: tuple[str, ...]
    """Instances whose results it would keep, those of runs below it as `step: instance`."""
    inherited: Usage = NO_USAGE
    """What these have cost: it would not be spent again."""
    again: dict[str, str] = Field(default_factory=dict)
    """Instance, or step that was not reached -> why it would be done (again)."""
    priced: tuple[StepEstimate, ...] = ()
    """What its model steps that would be done again may use and cost; those in loops are not among them."""


@dataclass(frozen=True, slots=True)
class _Level:
    """One run, and what the new one keeps of it."""

    run: str
    place: str
    """Where in the run that a client submitted it stands; empty for that one itself."""
    into: str
    """The run that keeps its results."""
    receipts: Mapping[str, Receipt]
    diff: Diff


class Forks:
    """Looks at runs that have ended, and prepares those that keep results of them."""

    def __init__(self, stores: Stores) -> None:
        self._stores, self._runs = stores, stores.runs

    def preview(self, run: str, plan: Plan, inputs: Mapping[str, Json], steps: Sequence[str]) -> Rerun:
        """What would be kept and what done again; changes nothing.

        Raises:
            RunNotFound: the store has no such run.
            InputsInvalid: it has not ended, or has no such step.
        """
        levels = self._levels(self._ended(run), "", "", plan, inputs, steps)
        return self._rerun(run, levels)

    def prepare(
        self, run: str, into: str, plan: Plan, inputs: Mapping[str, Json], steps: Sequence[str]
    ) -> tuple[Submission, Rerun]:
        """Put what is kept where the run `into` will find it; returns what is to be submitted.

        Raises:
            RunNotFound: the store has no such run.
            InputsInvalid: it has not ended, or has no such step.
        """
        record = self._ended(run)
        levels = self._levels(record, "", into, plan, inputs, steps)
        for level in levels:
            lost = self._runs.keep(level.run, level.into, level.diff.kept)
            if lost:
                raise InputsInvalid([f"run {level.run}: the value of {lost[0]} is not in the store any more"])
        submission = Submission(
            run=into,
            plan=plan,
            inputs=dict(inputs),
            tags=record.tags,
            tenant=record.tenant,
            budget=record.budget,
            answers=self._runs.given_answers(run),
            allow_tools=record.allow_tools,
            forked_from=run,
            variables=self._stores.variables.copy(run, into),
        )
        return submission, self._rerun(run, levels)

    def _ended(self, run: str) -> RunRecord:
        record = self._runs.record(run)
        if not record.state.ended:
            raise InputsInvalid([f"run {run} has not ended: wait for it, or `orchestrator cancel {run}`"])
        if record.parent:
            raise InputsInvalid([f"run {run} was started by a step of {record.parent}: name that one"])
        return record

    def _levels(
        self,
        record: RunRecord,
        place: str,
        into: str,
        plan: Plan,
        inputs: Mapping[str, Json],
        steps: Sequence[str],
    ) -> list[_Level]:
        """The run, and those below it that are gone through again."""
        run = record.run
        ended = Ended(self._runs.plan(run), self._stores.variables.inputs(run), self._runs.receipts(run))
        _check_steps(run, plan, ended.receipts, steps)
        found = diff(ended, plan, inputs, steps)
        levels = [_Level(run, place, into, ended.receipts, found)]
        children = {child.parent_instance: child for child in self._runs.children(run)}
        for instance in found.descents:
            step, child = plan.step_at(instance), children.get(instance)
            if step is None or child is None:
                continue
            below = plan.child(step.child)
            next_run = names.child_run_id(below.id, into, instance, 1)
            given = self._stores.variables.inputs(child.run)
            levels += self._levels(child, f"{place}{instance}: ", next_run, below, given, ())
        return levels

    @staticmethod
    def _rerun(run: str, levels: Sequence[_Level]) -> Rerun:
        usages = [
            used
            for level in levels
            for name in level.diff.kept
            if (used := level.receipts[name].usage or level.receipts[name].inherited)
        ]
        return Rerun(
            run=run,
            kept=tuple(f"{level.place}{name}" for level in levels for name in level.diff.kept),
            inherited=sum(usages, NO_USAGE),
            again={f"{level.place}{name}": why for level in levels for name, why in level.diff.again.items()},
        )


def check_retriable(record: RunRecord, steps: Sequence[str]) -> None:
    """Refuse to try a run again of which nothing failed, and no step is named.

    Raises:
        InputsInvalid: that is so.
    """
    if record.state is RunState.SUCCEEDED and not steps:
        said = f"run {record.run} has succeeded: there is nothing to try again; name a step, or fork it"
        raise InputsInvalid([said])


def _check_steps(run: str, plan: Plan, receipts: Mapping[str, Receipt], steps: Sequence[str]) -> None:
    known = {step.id for step in plan.all_steps()}
    unknown = [step for step in steps if step not in known and (plan.step_at(step) is None or step not in receipts)]
    if unknown:
        listed = f"`orchestrator show {run}` lists them"
        raise InputsInvalid([f"run {run} has no step {step!r}; {listed}" for step in unknown])
