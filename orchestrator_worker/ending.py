"""How a run ends: its outputs, and why it failed."""

from __future__ import annotations

from functools import partial

from orchestrator_client.contract.errors import TemplateError, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.reading import names_of_outputs
from orchestrator_client.contract.run import ErrorInfo, RunRecord, Wish
from orchestrator_client.contract.template import references, render
from orchestrator_worker.compiler import Graph
from orchestrator_worker.context.channels import fold
from orchestrator_worker.context.scope import in_order_of_reference, scope_of
from orchestrator_worker.records import OpenRun
from orchestrator_worker.store import Store


def outputs_of(store: Store, run: OpenRun, graph: Graph, record: RunRecord) -> tuple[dict[str, Json], ErrorInfo | None]:
    """The plan's outputs, each rendered by itself; the first that cannot be is the problem."""
    declared = graph.plan.outputs
    named = {reference.name for reference in references(declared)}
    reads = [step.id for step in graph.plan.steps if step.id in named or graph.plan.channels is not None]
    outputs: dict[str, Json] = {}
    problem: ErrorInfo | None = None
    try:
        fetch = partial(store.values, run.run)
        values = fetch(reads)
        channels = graph.plan.channels
        state = None if channels is None else fold(channels, run.inputs(), graph.order, values)
        bound = None if state is None else {**state, "state": state}
        variables = store.see(run.run, "", names_of_outputs(graph.plan)) if record.variables else {}
        scope = scope_of(run, graph.plan, values, fetch, bound, variables)
    except ToolFailed as error:
        return outputs, ErrorInfo.of(error)
    for name in in_order_of_reference(declared):
        try:
            outputs[name] = render(declared[name], {**scope, "outputs": outputs})
        except TemplateError as error:
            outputs[name] = None
            problem = problem or ErrorInfo(type=type(error).__name__, message=f"output '{name}': {error}")
    return {name: outputs[name] for name in declared}, problem


def error_of(store: Store, record: RunRecord, problem: ErrorInfo | None) -> ErrorInfo | None:
    """Why the run failed: the step that halted it, else the output that could not be rendered."""
    if record.wish is Wish.CANCEL and not record.halt:
        return None
    if not record.halt:
        failed = ErrorInfo(type="StepError", message=f"{record.failed} of its steps failed; the plan went on without")
        return failed if record.failed else problem
    receipt = store.receipt(record.run, record.halt)
    cause = receipt.error if receipt and receipt.error else ErrorInfo(type="StepError", message="it failed")
    return ErrorInfo(type=cause.type, message=f"step '{record.halt}' failed: {cause.message}")
