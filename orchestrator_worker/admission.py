"""What a ready model step asks its gate, before its message is sent: so that a message is a call that may be made."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from orchestrator_client.contract.models import AUTO_PROVIDER
from orchestrator_client.contract.plan import Json, Step, StepKind
from orchestrator_worker.compiler import Graph
from orchestrator_worker.context.asked import AskedStep
from orchestrator_worker.context.inspection import Inspection
from orchestrator_worker.context.places import Place, asks_model, place_of
from orchestrator_worker.context.sight import Sight
from orchestrator_worker.limits import Asking
from orchestrator_worker.records import OpenRun, Ready
from orchestrator_worker.recovery import Recovery
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
        models = [one for one in ready if is_model(graph, one.instance)]
        calls = self._calls(run, graph, models) if models else {}
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
        places = {one: place_of(graph, one.instance) for one in models}
        wanted = (instance for place in places.values() for instance in place.reads().values())
        values, is_set = self._store.values_before(run.run, list(dict.fromkeys(wanted)))
        begun = {one.instance for one in models if one.attempt > 1}
        kept = (
            begun
            | {Recovery.kept_at(instance) for instance in begun}
            | {Inspection.kept_at(instance) for instance in begun}
            | {scope.name for place in places.values() for scope in place.scopes}
        )
        kept |= {AskedStep.kept_at(one.instance) for one, place in places.items() if place.step is None}
        memos = self._store.memos(run.run, sorted(kept)) if kept else {}
        turns = [name for instance in begun & memos.keys() for name in Memo.of(memos[instance]).asked]
        returned = self._store.values(run.run, turns)
        calls = {}
        for one, place in places.items():
            try:
                variables = self._variables(run, place) if is_set else {}
                call = _call(Sight(run, place, self._store, values, memos, variables), one, memos, returned)
                if call is not None:
                    calls[one] = self._asking.describe(self._model_step.prepare(call), run, graph.plan, call.step)
            except Exception as error:  # noqa: BLE001 - one step's fault must not keep the others from being sent
                # The attempt meets the same error, and fails with it where a failure is recorded.
                logger.debug("%s: its call cannot be described: %s", one.instance, error)
        return calls

    def _variables(self, run: OpenRun, place: Place) -> Mapping[str, Json]:
        """The names that the step's templates read, of those that were set."""
        return self._store.see(run.run, place.instance, place.graph.names(place.step)) if place.step else {}


def _call(sight: Sight, ready: Ready, memos: Mapping[str, Json], returned: Mapping[str, Json]) -> Call | None:
    """The attempt that is to be sent; None if it makes no call."""
    memo = memos.get(ready.instance)
    if sight.place.step is None:
        return AskedStep.of_memo(memos[AskedStep.kept_at(ready.instance)]).call(sight.run.run, ready, memo, returned)
    if sight.place.step.on_call or _is_handled(sight.place.step, memos.get(Recovery.kept_at(ready.instance))):
        return None
    if Inspection.of(memos.get(Inspection.kept_at(ready.instance))).held is not None:
        return None
    return None if sight.jumped_over() else sight.call(ready, memo, returned)


def _is_handled(step: Step, stored: Json) -> bool:
    """Whether the attempt first looks after what handles a failure; it asks its gate itself if it comes to a call."""
    recovery = Recovery.of(stored)
    return recovery is not None and (recovery.falls_back or step.handlers[recovery.handler].asks)


def queue_of(graph: Graph, instance: str) -> str:
    """The queue of an instance that asks no gate."""
    return step_of(graph, instance).queue


def step_of(graph: Graph, instance: str) -> Step:
    """The step of an instance, as far as the plan knows it."""
    place = place_of(graph, instance)
    if place.step is not None:
        return place.step
    kind = StepKind.MODEL if asks_model(instance) else StepKind.TOOL
    return Step(id=instance, kind=kind, uses="asked for", provider=AUTO_PROVIDER)


def is_model(graph: Graph, instance: str) -> bool:
    """Whether the instance's step calls a model."""
    return step_of(graph, instance).kind is StepKind.MODEL
