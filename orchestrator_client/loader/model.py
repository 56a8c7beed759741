"""What a model step asks for: its model, and its parameters with those that stand at the step itself."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator_client.contract import template
from orchestrator_client.contract.models import AUTO, DEFAULT_PROVIDER, provider_of
from orchestrator_client.contract.plan import StepKind
from orchestrator_client.loader import dialect, generation, selection
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.references import has_template
from orchestrator_client.loader.text.nodes import Entry, Mapping, Node, Scalar, kind_of
from orchestrator_client.loader.uses import Use

_CHARACTERS = 200
"""Longest name of a model."""

_REQUIREMENT = "requires_model"
_SELECTION = "selection"


@dataclass(frozen=True, slots=True)
class Named:
    """A model as it was written, and how it is chosen where that is `AUTO`."""

    name: Scalar | None = None
    """None: nothing is written, or nothing that can be read."""
    asked: Mapping | None = None
    """What a tag in its place asks for."""

    @property
    def text(self) -> str | None:
        return self.name.text.strip() if self.name else None

    @property
    def provider(self) -> str:
        """Whose queue the step goes to. A template is known too late to choose one."""
        return DEFAULT_PROVIDER if self.text is None or template.is_template(self.text) else provider_of(self.text)

    @property
    def is_auto(self) -> bool:
        return self.text == AUTO


@dataclass(frozen=True, slots=True)
class Asked:
    """The model of a step, and the parameters without it."""

    model: Named
    settings: Mapping


NOBODY = Named()


def named(node: Node | None, problems: Problems) -> Named:
    """What the node says of a model: a name, a template of one, or `AUTO` in one of its forms."""
    if node is None:
        return NOBODY
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
        problems.error(Code.WRONG_TYPE, f"model must be a name, found {kind_of(node)}", node.place)
        return NOBODY
    if selection.is_auto(node.value):
        return Named(Scalar(*node.place, AUTO, AUTO), selection.of_auto(node, problems))
    if len(node.value) > _CHARACTERS and not template.is_template(node.value):
        problems.error(Code.WRONG_VALUE, f"no model has a name of {len(node.value):,} characters", node.place)
        return NOBODY
    return Named(node)


def read(step: Mapping, settings: Mapping, use: Use | None, default: Named, problems: Problems) -> Asked:
    """What the step asks a model; of any other step the parameters alone, and a warning of keys that only models have.

    `default` is the pipeline's model.
    """
    if use is None:
        return Asked(NOBODY, settings)
    if use.kind is not StepKind.MODEL:
        for key in dialect.STEP_MODEL_KEYS & step.entries.keys():
            message = f"{use.uses} uses no model: {quoted(key)} has no effect"
            problems.warn(Code.NO_EFFECT, message, step.place_of(key), "remove it")
        return Asked(NOBODY, settings)
    gathered = _gathered(step, settings, problems)
    written = settings.get("model") or step.get("model")
    model = default if written is None else named(written, problems)
    asked = _with_selection(gathered, model, written is None, problems)
    generation.check(asked.settings, asked.model.name, problems)
    return asked


def _gathered(step: Mapping, settings: Mapping, problems: Problems) -> Mapping:
    """The parameters with those at the step itself; a parameter wins over the key of the step."""
    gathered = Mapping(*settings.place, dict(settings.entries))
    for key in sorted(dialect.STEP_MODEL_KEYS & step.entries.keys() - {"model"}):
        if all(settings.get(name) is None for name in (key, f"{key}_")):
            gathered.entries[key] = step.entries[key]
        elif step.get(key) is not None:
            at = step.place_of(key)
            problems.warn(Code.TWO_SPELLINGS, f"both {key} and parameters.{key}", at, "the parameter is used")
    return gathered


def _with_selection(settings: Mapping, model: Named, is_inherited: bool, problems: Problems) -> Asked:
    """The parameters with one `selection` for all that asks for a model, and without the model.

    A requirement chooses the model of a step that names none: what is said at the step goes before the pipeline's.
    """
    requirement = selection.of_requirement(settings.get(_REQUIREMENT), problems)
    if requirement is not None and is_inherited and not model.is_auto:
        model = Named(Scalar(*requirement.place, AUTO, AUTO))
    chosen = selection.checked((settings.get(_SELECTION), model.asked, requirement), problems)
    kept = {key: entry for key, entry in settings.entries.items() if key not in ("model", _REQUIREMENT, _SELECTION)}
    if chosen is not None:
        kept[_SELECTION] = Entry(_key_of(settings, chosen), chosen)
        _warn_of_a_vain_selection(kept[_SELECTION], model, problems)
    return Asked(model, Mapping(*settings.place, kept))


def _key_of(settings: Mapping, chosen: Node) -> Scalar:
    """The key under which the selection was written; one in its place where it was not."""
    written = settings.entries.get(_SELECTION)
    return written.key if written else Scalar(*chosen.place, _SELECTION, _SELECTION)


def _warn_of_a_vain_selection(entry: Entry, model: Named, problems: Problems) -> None:
    """A step that names its model has chosen already."""
    if model.is_auto or (model.name is not None and has_template(model.name)):
        return
    named_already = f"the step's model is {quoted(model.text)}" if model.text else "the step does not say model: AUTO"
    problems.warn(Code.NO_EFFECT, f"nothing is selected: {named_already}", entry.key.place, "write model: AUTO")
