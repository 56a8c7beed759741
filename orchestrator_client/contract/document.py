"""The document of a run: all that is known of it, joined from its plan and its records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from orchestrator_client.contract.plan import Json, Plan, Record, Step
from orchestrator_client.contract.quality import Assessment
from orchestrator_client.contract.run import OpenInstance, Outcome, Receipt, RunRecord, asked_for, iso, status_word
from orchestrator_client.contract.usage import NO_USAGE, Usage


class StepDocument(Record):
    """One step in the result document. Field names are those that existing readers expect; times are ISO 8601, UTC."""

    id: str
    action: str
    status: str
    success: bool
    value: Json = None
    error: str | None = None
    error_type: str | None = None
    reason: str | None = None
    tool: str | None = None
    model: str | None = None
    provider: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    duration: float = 0.0
    retries: int = 0
    timed_out: bool = False
    worker: str | None = None
    usage: Usage | None = None
    kept_from: str | None = None
    """The run that has performed it, where this one keeps what that left."""
    inherited: Usage | None = None
    """What that run used for it: nothing was spent again."""
    dependencies: list[str] = Field(default_factory=list)
    quality: Assessment | None = None
    """Score, whether it is enough, and what each rule found; None where the plan holds the step to nothing."""


class RunDocument(Record):
    """All that is known of a run. It exists from submission on, in whatever state the run is, and is never lost."""

    pipeline_id: str
    execution_id: str
    status: str
    success: bool
    steps: dict[str, StepDocument]
    outputs: dict[str, Json] = Field(default_factory=dict)
    execution_order: list[str] = Field(default_factory=list)
    execution_levels: list[list[str]] = Field(default_factory=list)
    started_at: str | None = None
    completed_at: str | None = None
    duration: float = 0.0
    error: str | None = None
    error_type: str | None = None
    usage: Usage = NO_USAGE
    allow_tools: tuple[str, ...] | None = None
    """Patterns of the tools that this run may use, of those that its plan allows; None: all of them."""
    progress: float | None = None
    """Share of its work that is done, 0 to 1, see `RunRecord`."""
    estimated_end: str | None = None
    """About when it ends; None while nobody can tell or it is paused, and once it has ended."""
    forked_from: str | None = None
    """The run of which it keeps results."""
    forks: tuple[str, ...] = ()
    """Runs that keep results of it."""
    inherited: Usage = NO_USAGE
    """What the results that it keeps have cost there; not in `usage`."""
    delivery: str | None = None
    """What became of telling its webhook: `waiting`, `delivered`, or `dead` and why; None where nobody is told."""
    paused_at: str | None = None
    """Since when it is paused; None while it is not."""
    paused_by: str | None = None

    @classmethod
    def build(
        cls,
        plan: Plan,
        record: RunRecord,
        receipts: Mapping[str, Receipt],
        open_instances: Mapping[str, OpenInstance],
        values: Mapping[str, Json],
    ) -> RunDocument:
        """Join what the store holds of one run. Values may be left out; their steps then show none."""
        # Steps may end within one millisecond, and the store keeps receipts in no order.
        rank = {step: position for position, step in enumerate(plan.order)}
        finished = sorted(receipts, key=lambda i: (receipts[i].ended_ms, rank.get(i, len(rank)), i))
        usages = [receipt.usage for receipt in receipts.values() if receipt.usage]
        ended = record.ended_ms or (record.started_ms or 0)
        return cls(
            pipeline_id=record.pipeline,
            execution_id=record.run,
            status=status_word(record.state),
            success=record.success,
            steps={
                instance: _step_document(plan, instance, record, receipts, open_instances, values)
                for instance in dict.fromkeys([*plan.step_by_id, *finished, *open_instances])
            },
            outputs=record.outputs or {},
            execution_order=finished,
            execution_levels=[list(level) for level in plan.levels],
            started_at=iso(record.started_ms),
            completed_at=iso(record.ended_ms),
            duration=(ended - record.started_ms) / 1000 if record.started_ms else 0.0,
            error=record.error.message if record.error else None,
            error_type=record.error.type if record.error else None,
            usage=sum(usages, NO_USAGE),
            allow_tools=record.allow_tools,
            forked_from=record.forked_from or None,
            forks=record.forks,
            inherited=sum((each.inherited for each in receipts.values() if each.inherited), NO_USAGE),
            progress=record.progress,
            estimated_end=None if record.paused else iso(record.ends_ms),
            delivery=_delivery(record),
            paused_at=iso(record.paused_ms) if record.paused else None,
            paused_by=record.paused_by if record.paused else None,
        )


def _delivery(record: RunRecord) -> str | None:
    """`waiting after 2 attempts: it answered with 500`."""
    if not record.delivery:
        return None
    tried = f" after {record.delivery_attempts} attempts" if record.delivery_attempts else ""
    return f"{record.delivery}{tried}{f': {record.delivery_error}' if record.delivery_error else ''}"


def _step_document(
    plan: Plan,
    instance: str,
    record: RunRecord,
    receipts: Mapping[str, Receipt],
    open_instances: Mapping[str, OpenInstance],
    values: Mapping[str, Json],
) -> StepDocument:
    step = plan.step_at(instance) or asked_for(instance, receipts.get(instance))
    common: dict[str, Any] = {
        "id": instance,
        "action": step.uses.rpartition(".")[2] if step.kind == "tool" else step.uses,
        "tool": step.uses if step.kind == "tool" else None,
        "provider": step.provider if step.kind == "model" else None,
        "model": step.model,
        "dependencies": list(step.predecessors),
    }
    if (receipt := receipts.get(instance)) is not None:
        return StepDocument(**{**common, **_ended_fields(step, receipt), "value": values.get(instance)})
    if (waiting := open_instances.get(instance)) is not None:
        retries = waiting.attempt - 1 - waiting.excused
        return StepDocument(**common, status=waiting.state, success=False, retries=retries)
    if record.state.ended:
        reason = f"not reached: {record.halt} failed" if record.halt else "not reached before the run ended"
        return StepDocument(**common, status=Outcome.CANCELLED, success=False, reason=reason)
    return StepDocument(**common, status="pending", success=False)


def _ended_fields(step: Step, receipt: Receipt) -> dict[str, Any]:
    return {
        "status": status_word(receipt.outcome),
        "success": receipt.outcome is Outcome.SUCCEEDED,
        "error": receipt.error.message if receipt.error else None,
        "error_type": receipt.error.type if receipt.error else None,
        "reason": receipt.reason or None,
        "model": receipt.model or step.model,
        "started_at": iso(receipt.started_ms),
        "completed_at": iso(receipt.ended_ms),
        "duration": receipt.seconds,
        "retries": max(0, receipt.attempt - 1 - receipt.excused),
        "timed_out": bool(receipt.error and receipt.error.type == "StepTimeout"),
        "worker": receipt.worker or None,
        "usage": receipt.usage,
        "kept_from": receipt.kept_from or None,
        "inherited": receipt.inherited,
        "quality": receipt.quality,
    }
