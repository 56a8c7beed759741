"""A failed step's handler that takes a step of its own: what is asked, and what comes of the answer.

The handler is rendered when it is asked, by the step that failed, with its error bound; what it is asked for is kept as
its memo, like that of a tool which a model asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from orchestrator_client.contract.errors import HandlerFailed, OrchestratorError, TemplateError
from orchestrator_client.contract.models import AUTO, AUTO_PROVIDER
from orchestrator_client.contract.names import model_queue
from orchestrator_client.contract.plan import Handler, Json, Step, StepKind
from orchestrator_client.contract.template import render, view_of
from orchestrator_worker.context.asked import AskedStep
from orchestrator_worker.context.places import HANDLERS, MODEL_HANDLERS, Place, bindings
from orchestrator_worker.context.sight import Sight, Unanswered
from orchestrator_worker.records import NOTHING_SENT, Asked
from orchestrator_worker.recovery import Recovery
from orchestrator_worker.steps.base import Fail, Output, Turn, Want

SHOWN_CHARACTERS = 20_000
"""Of a failed step's parameters, for a model that handles its failure; about 5,000 tokens."""

_PROMPT = """\
A step of a pipeline failed. Do what its author asks for in that case, and answer with nothing but the outcome, which \
takes the place of the step's.

Step: {step}, which does {uses}
Its parameters: {parameters}
Its error, of type {error_type}: {error}

What the author asks for: {instruction}"""


@dataclass(frozen=True, slots=True)
class Handling:
    """One failed instance, and the handler that has its turn."""

    sight: Sight
    """Of the instance that failed."""
    step: Step
    """The step that failed."""
    recovery: Recovery

    def want(self, memo: Json) -> Want | None:
        """What the instance wants next; None to be tried again. `memo` is its own, and is kept."""
        if self.recovery.falls_back:
            with self._failing("its fallback_value cannot be rendered"):
                return Output(render(self._handler.fallback_value, self._names(self.sight)))
        if not self._handler.asks:
            return None
        with self._failing(f"its handler '{self._handler.label}' cannot be asked"):
            place = self._place()
            instance = self._instance(place)
            left = self.sight.fetch([instance]).get(instance)
            if left is None:
                return Turn(memo, (self._asked(instance, place),), NOTHING_SENT, "handler")
        return self._verdict(left)

    @property
    def _handler(self) -> Handler:
        return self.step.handlers[self.recovery.handler]

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Turn an error of the handler's into its failure."""
        try:
            yield
        except HandlerFailed:
            raise
        except Unanswered:
            raise HandlerFailed(f"{what}: it leaves a value to a model") from None
        except OrchestratorError as error:
            raise HandlerFailed(f"{what}: {error}") from error

    def _place(self) -> Place | None:
        """Where the handler stands in the plan; None for an instruction."""
        return self.sight.place.neighbor(self._handler.step) if self._handler.step else None

    def _instance(self, place: Place | None) -> str:
        """The name of the handler's own instance: no two turns have one name."""
        is_model = place is None or (place.step is not None and place.step.kind is StepKind.MODEL)
        return f"{self.sight.place.instance}#{self._turn(is_model)}.1"

    def _turn(self, is_model: bool) -> int:
        return (MODEL_HANDLERS if is_model else HANDLERS) + self.recovery.turns

    def _verdict(self, left: Json) -> Want | None:
        """What comes of the handler's answer."""
        fields = left if isinstance(left, dict) else {}
        if not fields.get("success"):
            said = fields.get("error") or "it left nothing"
            return Fail(HandlerFailed(f"its handler '{self._handler.label}' failed: {said}"))
        if self._handler.retry and not self.recovery.fault.hopeless:
            return None
        return Output(left)

    def _asked(self, instance: str, place: Place | None) -> Asked:
        asked, queue = self._step(place) if place is not None else self._question()
        return Asked(instance, queue, asked.memo())

    def _step(self, place: Place) -> tuple[AskedStep, str]:
        """A step of the plan that handles the failure.

        Raises:
            HandlerFailed: its condition is false, or there is no such step.
            TemplateError: it cannot be rendered.
        """
        step = place.step
        if step is None:
            raise HandlerFailed(f"there is no step '{self._handler.step}'")
        values = self.sight.store.values(self.sight.run.run, list(place.reads().values()))
        sight = replace(self.sight, place=place, values=values)
        names = self._names(sight)
        if not sight.holds(step.condition, names):
            raise HandlerFailed(f"the condition of its handler '{step.id}' is false")
        arguments: dict[str, Json] = sight.rendered(step.parameters, names)
        if step.model is not None:
            arguments["model"] = render(step.model, names)
        timeout = self._handler.timeout_seconds or step.timeout_seconds
        turn = self._turn(step.kind is StepKind.MODEL)
        by = self.sight.place.instance
        return AskedStep(by, turn, 1, step.uses, arguments, step.kind, timeout, step.retry.attempts), step.queue

    def _question(self) -> tuple[AskedStep, str]:
        """A model, with what it needs to know of the failure."""
        names = self._names(self.sight)
        prompt = _PROMPT.format(
            step=self.step.id,
            uses=self.step.uses,
            parameters=self._parameters(),
            error_type=names["error_type"],
            error=names["error_message"],
            instruction=render(self._handler.action, names),
        )
        arguments: dict[str, Json] = {"prompt": prompt, "model": AUTO, "selection": {}}
        timeout = self._handler.timeout_seconds
        by = self.sight.place.instance
        asked = AskedStep(by, self._turn(True), 1, "generate", arguments, StepKind.MODEL, timeout)
        return asked, model_queue(AUTO_PROVIDER)

    def _parameters(self) -> str:
        """The failed step's parameters as it saw them; as they are written where they cannot be rendered."""
        shown = self._arguments() or self.step.parameters
        return json.dumps(shown, ensure_ascii=False, default=str)[:SHOWN_CHARACTERS]

    def _arguments(self) -> Mapping[str, Json]:
        """The failed step's parameters as it saw them; none where they cannot be rendered."""
        try:
            arguments: Mapping[str, Json] = self.sight.rendered(self.step.parameters, self.sight.names())
        except (TemplateError, Unanswered):
            return {}
        return arguments

    def _names(self, sight: Sight) -> Mapping[str, Any]:
        """What templates of a handler see: the error, and the failed step as it stands.

        Those in the handler itself see the parameters of the failed step too, where nothing else has their names.
        """
        fault, step = self.recovery.fault, self.step.id
        error = {"message": fault.message, "type": fault.names[0], "step": step}
        failed = {"status": "failed", "success": False, "error": fault.message}
        bound = {"error": view_of({**error, "result": fault.message}, self.sight.fetch), "failed_step": step}
        told = {"error_type": fault.names[0], "error_message": fault.message}
        # A handler that stands outside of a loop sees the item or pass in which the step has failed.
        around = bindings(self.sight.place, self.sight.scopes)
        arguments = self._arguments() if sight is self.sight else {}
        return {**arguments, **sight.names({step: failed}, around), **bound, **told}
