"""What the templates of a plan name: the steps that they wait for, and the names that nobody will provide."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from orchestrator_client.contract import template
from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.loader import dialect
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.text.nodes import Node, Scalar, scalars_in

_HYPHENATED = re.compile(r"[A-Za-z]\w*(?:-\w+)+")
_INCLUSION = re.compile(r"\{\{\s*file:")


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that a template may read. `outputs` is None everywhere but among the outputs themselves."""

    steps: Mapping[str, Place]
    inputs: Collection[str]
    outputs: Collection[str] | None = None
    state: bool = False
    """The inputs are the channels of a graph: `state.x` reads one, and a name beside them is a mistake."""


def named(node: Node | None, scope: Scope, problems: Problems) -> list[str]:
    """Steps that the templates below a node read, in order and once each; what is wrong with them is added.

    In the scope of the outputs, it is the outputs that they read.
    """
    names: dict[str, None] = {}
    for scalar in scalars_in(node, keys=True) if node is not None else ():
        if isinstance(scalar.value, str) and template.is_template(scalar.value):
            names.update(dict.fromkeys(_in_text(scalar, scope, problems)))
    return list(names)


def named_in_condition(scalar: Scalar, scope: Scope, problems: Problems) -> list[str]:
    """The same for a condition, which may be an expression without braces."""
    try:
        found = template.references_of_condition(scalar.text)
    except TemplateError as error:
        problems.error(Code.TEMPLATE, f"condition {quoted(scalar.text)}: {error}", scalar.place_of_line(error.line))
        return []
    return list(dict.fromkeys(_resolved(found, scalar, scope, problems)))


def has_template(node: Node) -> bool:
    """Whether anything below a node is only known at run time."""
    return any(isinstance(scalar.value, str) and template.is_template(scalar.value) for scalar in scalars_in(node))


def refuse_auto(node: Node, problems: Problems) -> None:
    """Refuse the tags that ask a model to fill in a value."""
    for scalar in scalars_in(node):
        if isinstance(scalar.value, str) and (offset := scalar.value.find(dialect.AUTO)) >= 0:
            at = scalar.place_of_line(scalar.value.count("\n", 0, offset) + 1)
            dialect.not_yet(problems, dialect.AUTO_NAME, at, "write the value, or compute it in a step of its own")


def _in_text(scalar: Scalar, scope: Scope, problems: Problems) -> Iterator[str]:
    """The targets of one template; its problems are added, with their lines in the file."""
    if dialect.AUTO in scalar.text or not problems.may_check_template(scalar.place):
        return
    if inclusion := _INCLUSION.search(scalar.text):
        line = scalar.text.count("\n", 0, inclusion.start()) + 1
        dialect.not_yet(problems, "including a file in a template", scalar.place_of_line(line), "read it in a step")
        return
    try:
        found = template.references(scalar.text)
    except TemplateError:
        for error in template.check(scalar.text):
            problems.error(Code.TEMPLATE, _worded(error), scalar.place_of_line(error.line))
        return
    yield from _resolved(found, scalar, scope, problems)


def _worded(error: TemplateError) -> str:
    """A template's error, which may or may not say already that it is about a template."""
    return str(error) if "template" in str(error)[:12] else f"template: {error}"


def _resolved(found: list[template.Reference], scalar: Scalar, scope: Scope, problems: Problems) -> Iterator[str]:
    """The targets of references, each name looked at once."""
    seen: set[tuple[str, str | None]] = set()
    for reference in found:
        key = (reference.name, reference.field if reference.name in _NAMESPACES else None)
        if key in seen:
            continue
        seen.add(key)
        target = _target(reference, scope)
        if target is not None and (reference.name == "outputs") == (scope.outputs is not None):
            yield target
        if target is None and not _is_known(reference, scope):
            _report(reference, scalar, scope, problems)


_NAMESPACES = frozenset({"steps", "parameters", "inputs", "outputs", "state"})


def _target(reference: template.Reference, scope: Scope) -> str | None:
    """The step or output that a reference means."""
    if reference.name == "outputs" and scope.outputs is not None:
        return reference.field if reference.field in scope.outputs else None
    name = reference.field if reference.name == "steps" else reference.name
    return name if name in scope.steps else None


def _is_known(reference: template.Reference, scope: Scope) -> bool:
    """Whether the run provides the name, or the file declares it."""
    match reference.name:
        case "steps":
            return False
        case "state" if scope.state:
            return reference.field is None or reference.field in scope.inputs
        case "parameters" | "inputs":
            return reference.field is None or reference.field in scope.inputs or reference.field == "output_path"
        case "outputs" if scope.outputs is not None:
            return reference.field is None
        case name:
            return name in scope.inputs or name in dialect.RUN_NAMES


def _report(reference: template.Reference, scalar: Scalar, scope: Scope, problems: Problems) -> None:
    """Say what is wrong with a name that nothing provides: an error where it surely is a mistake, else a warning."""
    at = scalar.place_of_line(reference.line)
    add = problems.warn if reference.guarded else problems.error
    match reference.name:
        case "steps" if reference.field is None:
            add(
                Code.UNRESOLVED_NAME,
                "'steps' alone cannot be read",
                at,
                "name the step, as in {{ steps.fetch.result }}",
            )
        case "steps":
            remedy = problems.did_you_mean(reference.field or "", scope.steps)
            add(Code.UNKNOWN_STEP, f"no step {quoted(reference.field or '')}", at, remedy)
        case "parameters" | "inputs" | "state" if reference.field:
            _undeclared(reference.field, at, scope, problems)
        case "outputs" if scope.outputs is not None:
            remedy = problems.did_you_mean(reference.field or "", scope.outputs)
            add(Code.UNKNOWN_OUTPUT, f"no output {quoted(reference.field or '')}", at, remedy)
        case name if step := _hyphenated(name, scalar.text, scope):
            remedy = f"rename the step {step.replace('-', '_')}, or write steps['{step}']"
            add(Code.HYPHEN_IN_ID, f"in a template, {quoted(step)} is a subtraction", at, remedy)
        case name if (step := problems.nearest(name, scope.steps)) and name not in scope.inputs:
            add(Code.UNKNOWN_STEP, f"{quoted(name)} is neither a step nor an input", at, f"did you mean '{step}'?")
        case name:
            _undeclared(name, at, scope, problems)


def _hyphenated(name: str, text: str, scope: Scope) -> str | None:
    """The hyphenated step that a subtraction in the text was meant for."""
    words = _HYPHENATED.findall(text)
    return next((word for word in words if word in scope.steps and name in word.split("-")), None)


def _undeclared(name: str, at: Place, scope: Scope, problems: Problems) -> None:
    """A name that the caller may still give, because existing pipelines take inputs that they do not declare."""
    hint = problems.did_you_mean(name, scope.inputs)
    if scope.state:
        remedy = hint or f"channels: {', '.join(sorted(scope.inputs))[:200]}"
        problems.error(Code.UNRESOLVED_NAME, f"{quoted(name)} is no channel of the state", at, remedy)
        return
    remedy = hint or f"declare it under parameters, or give it with -i {name[:40]}=…"
    problems.warn(Code.UNRESOLVED_NAME, f"{quoted(name)} is neither a step nor a declared input", at, remedy)
