"""What an attempt sees when it starts: its place, the values around it, and the names that its templates may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.models import AUTO, AUTO_PROVIDER
from orchestrator_client.contract.names import model_queue
from orchestrator_client.contract.plan import Json, StepKind
from orchestrator_client.contract.quality import FEEDBACK
from orchestrator_client.contract.template import evaluate, is_template, render, view_of
from orchestrator_worker.context.asked import AskedStep
from orchestrator_worker.context.auto import TURN, AutoTag, answered, protected
from orchestrator_worker.context.channels import fold
from orchestrator_worker.context.inspection import Inspection
from orchestrator_worker.context.places import Place, bindings, state_memo
from orchestrator_worker.context.scope import scope_of
from orchestrator_worker.context.ways import how_it_ended
from orchestrator_worker.records import Asked, OpenRun, Ready
from orchestrator_worker.steps.base import Call
from orchestrator_worker.store import Store


@dataclass(frozen=True, slots=True)
class Sight:
    """One instance's view of its run."""

    run: OpenRun
    place: Place
    store: Store
    values: Mapping[str, Json]
    """Of the instances that it reads."""
    scopes: Mapping[str, Json] = field(default_factory=dict)
    """What the scopes around it know."""
    variables: Mapping[str, Json] = field(default_factory=dict)
    """Names that were set while the run went on."""

    def names(
        self, extra: Mapping[str, Json] | None = None, also_bound: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The names that templates may use; `extra` are values of further steps, by id, and `also_bound` are names that
        hide those which the loops around bind."""
        seen = self.own_values()
        bound = self._state_names(seen) if self.place.channels is not None else bindings(self.place, self.scopes)
        bound |= also_bound or {}
        values = {**seen, **(extra or {})}
        return scope_of(self.run, self.place.graph.plan, values, self.fetch, bound, self.variables)

    def own_values(self) -> dict[str, Json]:
        """Values of the steps that it reads, by their ids."""
        return {name: self.values[at] for name, at in self.place.reads().items() if at in self.values}

    def state(self, values: Mapping[str, Json]) -> dict[str, Json]:
        """Of a graph: its state, with what the steps before it in the same pass left; `values` by their ids."""
        place = self.place
        base = self.scopes[state_memo(place.scopes[-1].instance)] if place.scopes else self.run.inputs()
        return fold(place.channels or {}, base, place.graph.order, values)

    def _state_names(self, values: Mapping[str, Json]) -> dict[str, Any]:
        """The channels, and `state`. For a node that was sent to, that is what it was sent, laid over the channels."""
        state: Json = self.state(values)
        names = dict(state)
        sent = self.scopes.get(self.place.scopes[-1].name) if self.place.scopes else None
        if sent is not None and "input" in sent["item"]:
            state = sent["item"]["input"]
            names |= state if isinstance(state, dict) else {}
        return {**names, "state": state}

    def fetch(self, instances: list[str]) -> Mapping[str, Json]:
        """Values that a loop left."""
        return self.store.values(self.run.run, instances)

    def call(self, ready: Ready, memo: Json = None, returned: Mapping[str, Json] | None = None) -> Call | None:
        """An attempt with its parameters rendered; None if its condition does not hold.

        Raises:
            TemplateError: a template cannot be rendered.
            Unanswered: a model is to be asked first.
        """
        step, names = self.place.step, self.names()
        if step is None or not self.holds(step.condition, names):
            return None
        inspection = Inspection.of(self.scopes.get(Inspection.kept_at(ready.instance)))
        names[FEEDBACK] = inspection.reason
        parameters = inspection.told(step.kind, step.parameters, self.rendered(step.parameters, names))
        if step.model is not None:
            parameters["model"] = render(step.model, names)
        return Call(self.run.run, ready.instance, ready.attempt, step, parameters, memo, returned or {})

    def holds(self, condition: Json, names: Mapping[str, Any]) -> bool:
        """Whether a step's condition lets it run."""
        if condition is None:
            return True
        asked = answered(protected(condition, self.tags), self.answers()) if self.tags else condition
        return evaluate(asked, names)

    def rendered(self, value: Json, names: Mapping[str, Any]) -> Any:
        """A value with its templates rendered, and answers where it leaves something to a model."""
        if not self.tags:
            return render(value, names)
        return answered(render(protected(value, self.tags), names), self.answers())

    @property
    def tags(self) -> tuple[AutoTag, ...]:
        """What the step leaves to a model."""
        return self.place.graph.tags.get(self.place.step.id, ()) if self.place.step else ()

    def answers(self) -> list[Json]:
        """What a model answered to each tag.

        Raises:
            Unanswered: it was not asked yet.
            ToolFailed: it gave no answer.
            ParametersInvalid: its answer is no value of the type that the tag asks for.
        """
        names = [f"{self.place.instance}#{TURN}.{number}" for number in range(1, len(self.tags) + 1)]
        left = self.store.values(self.run.run, names)
        if len(left) < len(names):
            raise Unanswered
        return [tag.value(_answer(left[name], tag)) for tag, name in zip(self.tags, names, strict=True)]

    def questions(self) -> tuple[Asked, ...]:
        """The steps that ask a model for what this one leaves to it."""
        instance, names = self.place.instance, self.names()
        asked = []
        for number, tag in enumerate(self.tags, 1):
            prompt = tag.prompt(f"{render(tag.question, names)}{self._around(tag)}")
            arguments = {"prompt": prompt, "model": AUTO, "selection": {}}
            question = AskedStep(instance, TURN, len(self.tags), "generate", arguments, StepKind.MODEL)
            asked.append(Asked(f"{instance}#{TURN}.{number}", model_queue(AUTO_PROVIDER), question.memo()))
        return tuple(asked)

    def _around(self, tag: AutoTag) -> str:
        """What the steps before left, for a tag that names nothing of what it asks about."""
        step, reads = self.place.step, self.place.reads()
        if step is None or is_template(tag.question):
            return ""
        left = [(name, self.values.get(reads.get(name, ""))) for name in step.after]
        return "".join(f"\n\n{name}:\n{view_of(value, self.fetch).text}" for name, value in left if value is not None)

    def jumped_over(self) -> str:
        """Why the run jumped over the step; empty if it did not."""
        step, reads = self.place.step, self.place.reads()
        for jump in step.jumps if step else ():
            value = self.values.get(reads.get(jump.source, ""))
            if how_it_ended(value) == jump.when:
                return f"step '{jump.source}' {_SAID[jump.when]}: the run went on at '{jump.target}'"
        return ""


class Unanswered(Exception):
    """A value of the step is left to a model, and no model has been asked yet."""


def _answer(value: Json, tag: AutoTag) -> str:
    fields = value if isinstance(value, dict) else {}
    if not fields.get("success"):
        raise ToolFailed(f"no model answered {tag.source[:60]!r}: {fields.get('error') or 'it left nothing'}", False)
    return str(fields["result"])


_SAID = {"skipped": "was skipped", "succeeded": "succeeded", "failed": "failed"}
