"""What a ready model step asks its gate, before its message is sent: so that a message is a call that may be made."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from orchestrator_client.contract.plan import Json, Step, StepKind
from orchestrator_client.contract.template import evaluate, render
from orchestrator_worker.compiler import Graph
from orchestrator_worker.context.asked import AskedStep
from orchestrator_worker.context.scope import scope_of
from orchestrator_worker.limits import Asking
from orchestrator_worker.records import OpenRun, Ready
from orchestrator_worker.steps.base import Call
from orchestrator_worker.steps.conversation import Memo
from orchestrator_worker.steps.model import ModelStep
from orchestrator_worker.store import Store

logger = logging.getLogger(__name__)

WAIT, STALE = "wait", "stale"
"""Answers of `admit.lua` that are no queue."""


class Admission:
    """Lets ready steps through to their queues; those of models through their gates."""

    def __init__(self, store: Store, model_step: ModelStep, asking: Asking) -> None:
        self._store, self._model_step, self._asking = store, model_step, asking

    def let_through(self, run: OpenRun, graph: Graph, ready: Sequence[Ready]) -> list[tuple[Ready, str]]:
        """Those of the ready whose messages are to be sent now, each with its queue. The others wait in Redis."""
        calls = self._calls(run, graph, [one for one in ready if is_model(graph, one.instance)])
        answers = dict(zip(calls, self._store.admit(run.run, list(calls.items())), strict=True)) if calls else {}
        queues = [(one, answers.get(one) or queue_of(graph, one.instance)) for one in ready]
        return [(one, queue) for one, queue in queues if queue not in (WAIT, STALE)]

    def let_one_through(self, run: OpenRun, ready: Ready, call: str) -> list[tuple[Ready, str]]:
        """The same for a call that has been described."""
        [answer] = self._store.admit(run.run, [(ready, call)])
        return [] if answer in (WAIT, STALE) else [(ready, answer)]

    def _calls(self, run: OpenRun, graph: Graph, models: Sequence[Ready]) -> dict[Ready, str]:
        """The calls that these steps will make, as JSON. A step that makes none, or cannot, is not in the answer: its
        message goes out all the same, and whoever takes it finds out."""
        steps = {one: graph.steps[one.instance] for one in models}
        values = self._store.values(
            run.run, list(dict.fromkeys(read for step in steps.values() for read in step.reads))
        )
        begun = [one.instance for one in models if one.attempt > 1]
        memos = self._store.memos(run.run, begun) if begun else {}
        returned = self._store.values(run.run, [name for memo in memos.values() for name in Memo.of(memo).asked])
        calls = {}
        for one, step in steps.items():
            read = {name: value for name, value in values.items() if name in step.reads}
            try:
                call = call_of(run, graph, step, one, read, memos.get(one.instance), returned)
                if call is not None:
                    calls[one] = self._asking.describe(self._model_step.prepare(call), run, graph.plan, step)
            except Exception as error:  # noqa: BLE001 - one step's fault must not keep the others from being sent
                # The attempt meets the same error, and fails with it where a failure is recorded.
                logger.debug("%s: its call cannot be described: %s", one.instance, error)
        return calls


def call_of(
    run: OpenRun,
    graph: Graph,
    step: Step,
    ready: Ready,
    values: Mapping[str, Json],
    memo: Json = None,
    returned: Mapping[str, Json] | None = None,
) -> Call | None:
    """One attempt at a step of the plan with its parameters rendered; None if its condition does not hold.

    Raises:
        TemplateError: a template cannot be rendered.
    """
    scope = scope_of(run, graph.plan, values)
    if step.condition is not None and not evaluate(step.condition, scope):
        return None
    parameters = render(step.parameters, scope)
    if step.model is not None:
        parameters["model"] = render(step.model, scope)
    return Call(run.run, ready.instance, ready.attempt, step, parameters, memo, returned or {})


def queue_of(graph: Graph, instance: str) -> str:
    """The queue of an instance that asks no gate."""
    return step_of(graph, instance).queue


def step_of(graph: Graph, instance: str, memo: Json = None) -> Step:
    """The step of an instance: the plan's, or what its memo says a model asked for."""
    if instance in graph.steps:
        return graph.steps[instance]
    if memo is None:
        return Step(id=instance, kind=StepKind.TOOL, uses="of a model")
    return AskedStep.of_memo(memo).step(instance)


def is_model(graph: Graph, instance: str) -> bool:
    """Whether the instance's step calls a model."""
    return instance in graph.steps and graph.steps[instance].kind is StepKind.MODEL
