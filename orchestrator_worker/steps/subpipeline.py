"""A step that runs another pipeline: as a run of its own, with its own chord. The step is parked meanwhile. Pure.

Its memo says how often it has started one, and which. The run's id is made of the step's, so an attempt that takes the
place of one that died meets the same run; and whoever comes back too early parks again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from orchestrator_client.contract import caps, names
from orchestrator_client.contract.catalog.pipelines import SUB_PIPELINE, SubPipelineParameters
from orchestrator_client.contract.errors import InputsInvalid, ParametersInvalid, StepTimeout, ToolFailed
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.run import ErrorInfo, Parent, RunState, Submission, status_word
from orchestrator_client.contract.usage import NO_USAGE, Usage
from orchestrator_worker.records import ChildRun, OpenRun
from orchestrator_worker.steps.base import Again, Call, Descend, Fail, Output, Want
from orchestrator_worker.tools.parameters import validated


@dataclass(frozen=True, slots=True)
class Descent:
    """How far a step is that runs another pipeline: what its memo keeps."""

    number: int = 1
    """Runs, this one included."""
    child: str = ""
    """The run that it waits for; empty before it is started."""
    until_ms: int | None = None
    """When it waits no longer, by the run's clock, which stands while the run is paused."""
    usage: Usage = NO_USAGE
    """Of the runs before."""

    @classmethod
    def of(cls, memo: Json) -> Self:
        if not memo:
            return cls()
        return cls(memo["number"], memo["child"], memo["until_ms"], Usage.model_validate(memo["usage"]))

    def memo(self) -> dict[str, Json]:
        usage = self.usage.model_dump(mode="json")
        return {"number": self.number, "child": self.child, "until_ms": self.until_ms, "usage": usage}

    def next(self, usage: Usage) -> Self:
        """The next run, once this one has ended."""
        return type(self)(self.number + 1, usage=self.usage + usage)


def perform(run: OpenRun, plan: Plan, call: Call, child: ChildRun | None, now_ms: int) -> Want:
    """Start the pipeline; wait for it; say what it left. `child`: the run that the memo names. `now_ms`: by the
    clock of the run around it.

    Raises:
        ParametersInvalid: the parameters or the inputs of the pipeline do not fit, or pipelines nest too deep.
    """
    parameters = validated(SubPipelineParameters, call.parameters, SUB_PIPELINE)
    descent = Descent.of(call.memo)
    if not descent.child:
        return _descend(run, plan, call, parameters, descent, now_ms)
    if child is None:
        return Fail(ToolFailed(f"run {descent.child}, which it has started, is gone from the store", retryable=False))
    state = child.record.state
    if state is not RunState.SUCCEEDED and descent.until_ms is not None and now_ms >= descent.until_ms:
        late = StepTimeout(f"pipeline '{child.record.pipeline}' (run {child.record.run}) took longer than its timeout")
        usage = descent.usage + child.usage
        return Fail(late, usage=usage, memo=descent.next(child.usage).memo(), abandons=descent.child)
    if not state.ended:
        return Descend(descent.child, descent.memo(), wait_seconds=_left(descent, now_ms))
    if state is RunState.SUCCEEDED:
        return Output(_value(child, parameters), usage=descent.usage + child.usage)
    return _after_failure(child, parameters, descent)


def _descend(
    run: OpenRun, plan: Plan, call: Call, parameters: SubPipelineParameters, descent: Descent, now_ms: int
) -> Want:
    if run.depth >= caps.PIPELINE_DEPTH:
        raise ParametersInvalid(
            f"pipeline '{plan.id}' would be below {run.depth + 1} others; {caps.PIPELINE_DEPTH} levels are allowed"
        )
    child = names.child_run_id(plan.id, run.run, call.instance, descent.number)
    try:
        inputs = plan.bind(_inputs(run, plan, parameters))
    except InputsInvalid as error:
        raise ParametersInvalid(f"pipeline '{plan.id}': {'; '.join(error.problems)}") from None
    submission = Submission(
        run=child,
        plan=plan,
        inputs=inputs,
        tags=run.tags,
        tenant=run.tenant,
        budget=run.budget,
        answers=run.answers,
        allow_tools=run.allow_tools,
        parent=Parent(run=run.run, instance=call.instance, attempt=call.attempt, depth=run.depth + 1, root=run.root),
    )
    if not parameters.wait_for_completion:
        left: dict[str, Json] = {"run": child, "pipeline_id": plan.id, "outputs": {}, "status": "submitted"}
        started = Output({"result": {**left, "recursion_depth": run.depth + 1}, "success": True, "error": None})
        return Descend(child, descent.memo(), submission, then=started)
    until_ms = now_ms + round(parameters.timeout * 1000) if parameters.timeout else None
    waiting = replace(descent, child=child, until_ms=until_ms)
    return Descend(child, waiting.memo(), submission, wait_seconds=_left(waiting, now_ms))


def _inputs(run: OpenRun, plan: Plan, parameters: SubPipelineParameters) -> dict[str, Json]:
    """What the pipeline is given: what the step says, and the inputs around it where it says nothing."""
    if not parameters.inherit_context:
        return parameters.inputs
    inherited = run.inputs()
    if isinstance(path := inherited.get("output_path"), str):
        # Its files stand beside those of the pipeline around, not over them.
        inherited["output_path"] = f"{path}/sub_pipelines/{plan.id}"
    return {**inherited, **parameters.inputs}


def _left(descent: Descent, now_ms: int) -> float:
    return 0.0 if descent.until_ms is None else (descent.until_ms - now_ms) / 1000


def _after_failure(child: ChildRun, parameters: SubPipelineParameters, descent: Descent) -> Want:
    record = child.record
    why = record.error.message if record.error else f"it was {record.state}"
    error = ToolFailed(f"pipeline '{record.pipeline}' (run {record.run}) failed: {why}")
    if parameters.error_handling == "retry" and descent.number <= parameters.retry_count:
        seconds = min(parameters.retry_delay * 2 ** (descent.number - 1), 86_400.0)
        return Again(descent.next(child.usage).memo(), seconds, ErrorInfo.of(error))
    usage = descent.usage + child.usage
    value = {**_value(child, parameters), "success": False, "error": str(error)}
    if parameters.error_handling == "continue":
        return Output(value, usage=usage, warnings=(str(error),))
    return Fail(error, value, usage=usage, memo=descent.next(child.usage).memo())


def _value(child: ChildRun, parameters: SubPipelineParameters) -> dict[str, Json]:
    """What the step leaves of a run that has ended."""
    record, given = child.record, child.record.outputs or {}
    mapped = {to: given[name] for name, to in parameters.output_mapping.items() if name in given}
    took = (record.ended_ms - record.started_ms) / 1000 if record.ended_ms and record.started_ms else 0.0
    result = {
        "outputs": mapped if parameters.output_mapping else given,
        "success": record.success,
        "execution_time": took,
        "steps_executed": child.steps,
        "recursion_depth": record.depth,
        "pipeline_id": record.pipeline,
        "run": record.run,
        "status": status_word(record.state),
    }
    return {"result": result, "success": record.success, "error": None}
