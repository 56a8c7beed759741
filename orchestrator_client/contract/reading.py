"""Which names the templates of a plan read, beside those of steps. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.contract.plan import Json, Plan, Step
from orchestrator_client.contract.template import Reference, references, references_of_condition

EVERY = "*"
"""Stands for all names, where a template reads `inputs` as a whole."""

NAMESPACES = "namespaces"
"""Where a plan's metadata keeps what its file says under `config`, `variables`, `data` and `env`."""

_INPUTS = ("inputs", "parameters", "state")


def namespaces_of(plan: Plan) -> Mapping[str, Json]:
    """Sections of the file that templates read by name, as they stand there."""
    return plan.metadata.get(NAMESPACES) or {}


def names_read_by(step: Step, plan: Plan) -> tuple[str, ...]:
    """The names that a step's own templates may read, each once; those of steps and loops may be among them."""
    return _with_namespaces(plan, _named_in(step))


def names_of_outputs(plan: Plan) -> tuple[str, ...]:
    """The same of the plan's outputs."""
    return _with_namespaces(plan, names_in(plan.outputs))


def _with_namespaces(plan: Plan, found: Iterator[str]) -> tuple[str, ...]:
    """The names, and those that a section of the file reads where it is read itself."""
    names, spaces = dict.fromkeys(found), namespaces_of(plan)
    if not names.keys().isdisjoint(spaces):
        names |= dict.fromkeys(names_in(spaces))
    return (EVERY,) if EVERY in names else tuple(names)


def _named_in(step: Step) -> Iterator[str]:
    yield from names_in([step.parameters, step.model])
    yield from names_in([[handler.action, handler.fallback_value] for handler in step.handlers])
    yield from _named_in_condition(step.condition)
    if (loop := step.loop) is not None:
        yield from names_in([loop.items, loop.max_parallel, loop.max_iterations])
        yield from _named_in_condition(loop.condition)


def names_in(value: Json) -> Iterator[str]:
    """The names that the templates in a value read; some more than once."""
    if isinstance(value, str):
        try:
            yield from map(_name, references(value))
        except TemplateError:
            # It cannot be rendered either, and fails where that is tried.
            return
    elif isinstance(value, dict | list):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from names_in(part)


def _named_in_condition(condition: Json) -> Iterator[str]:
    if not isinstance(condition, str):
        return
    try:
        yield from map(_name, references_of_condition(condition))
    except TemplateError:
        # A question to a model is no condition, but may hold templates.
        yield from names_in(condition)


def _name(reference: Reference) -> str:
    """`topic` of `topic.length` and of `inputs.topic`."""
    if reference.name in _INPUTS:
        return EVERY if reference.field is None else reference.field
    return reference.name
