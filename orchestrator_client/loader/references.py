"""What the templates of a plan name: the steps that they wait for, and the names that nobody will provide."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from orchestrator_client.contract import template
from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.contract.quality import FEEDBACK
from orchestrator_client.loader import dialect, tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.text.nodes import Node, Scalar, scalars_in

_HYPHENATED = re.compile(r"[A-Za-z]\w*(?:-\w+)+")
_INCLUSION = re.compile(r"\{\{\s*file:[^}]*\{\{")


class Visible(Mapping[str, Place]):
    """The steps of a body before those around it. Made once for each body, so nothing is copied."""

    def __init__(self, own: Mapping[str, Place], around: Mapping[str, Place], hidden: Collection[str]) -> None:
        self._own, self._around, self._hidden = own, around, hidden

    def __getitem__(self, name: str) -> Place:
        if name in self._own:
            return self._own[name]
        if name in self._hidden:
            raise KeyError(name)
        return self._around[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in chain(self._own, self._around) if name in self)

    def __len__(self) -> int:
        """At most so many: a name that stands in both counts twice, because counting it once takes as long as all."""
        return len(self._own) + len(self._around)


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that a template may read. `outputs` is None everywhere but among the outputs themselves."""

    steps: Mapping[str, Place]
    inputs: Collection[str]
    outputs: Collection[str] | None = None
    state: bool = False
    """The inputs are the channels of a graph: `state.x` reads one, and a name beside them is a mistake."""
    namespaces: Collection[str] = ()
    """Sections of the file that templates read by name."""
    bodies: Mapping[str, str] = field(default_factory=dict)
    """Step in the body of a loop -> the loop: what to read instead where the step is not to be seen."""
    own: Mapping[str, Place] | None = None
    """The steps of the body that is read; None outside of all loops."""
    bound: frozenset[str] = frozenset()
    """Names that the loops around bind."""
    loops: tuple[str, ...] = ()
    """Names of the loops around, by which `loops` holds their bindings; the outermost first."""

    handlers: frozenset[str] = frozenset()
    """Steps that handle failures of others, wherever those stand."""
    repeats: bool = False
    """The body is that of a loop of passes, in which a step that names itself means the pass before."""

    def of_body(self, loop: str, names: tuple[str, str], own: Mapping[str, Place], repeats: bool) -> Scope:
        """What the body of a loop may read, and the loop's own conditions with it. `names`: its own, and its items'."""
        name, variable = names
        bound = self.bound | dialect.BINDINGS | {loop} | ({variable} if variable else set())
        steps = Visible(own, self.steps, bound)
        return replace(self, steps=steps, own=own, bound=bound, loops=(*self.loops, name), repeats=repeats)

    def is_own(self, step: str) -> bool:
        """Whether a step stands beside the one that is read, and not around the loop."""
        return self.own is None or step in self.own


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
    """The same for a condition, which may be an expression without braces, or a question to a model."""
    text = str(scalar.value)
    if tags.in_text(text):
        return named(scalar, scope, problems)
    try:
        found = template.references_of_condition(text)
    except TemplateError as error:
        problems.error(Code.TEMPLATE, f"condition {quoted(scalar.text)}: {error}", scalar.place_of_line(error.line))
        return []
    _refuse_vain(text, found, scalar, problems, condition=True)
    return list(dict.fromkeys(_resolved(found, scalar, scope, problems)))


def _refuse_vain(
    text: str, found: list[template.Reference], scalar: Scalar, problems: Problems, condition: bool = False
) -> None:
    """Add calls that can never work, and what a template that reads nothing fails with, whenever it is rendered."""
    vain = template.vain_calls(text, condition) if "(" in text else []
    if not found and not vain and problems.may_render():
        failure = template.constant_failure(text, condition)
        vain = [failure] if failure is not None else []
    for error in vain:
        problems.error(Code.TEMPLATE, _worded(error), scalar.place_of_line(error.line))


def has_template(node: Node) -> bool:
    """Whether anything below a node is only known at run time."""
    texts = (scalar.value for scalar in scalars_in(node) if isinstance(scalar.value, str))
    return any(template.is_template(text) or tags.in_text(text) for text in texts)


def _in_text(scalar: Scalar, scope: Scope, problems: Problems) -> Iterator[str]:
    """The targets of one template; its problems are added, with their lines in the file."""
    text = str(scalar.value)
    if not problems.may_check_template(scalar.place):
        return
    if inclusion := _INCLUSION.search(text):
        line = text.count("\n", 0, inclusion.start()) + 1
        remedy = "write the path out, or read the file in a step"
        message = "the path of an included file cannot be a template"
        problems.error(Code.INCLUSION, message, scalar.place_of_line(line), remedy)
        return
    try:
        found = template.references(text)
    except TemplateError:
        for error in template.check(text):
            problems.error(Code.TEMPLATE, _worded(error), scalar.place_of_line(error.line))
        return
    _refuse_vain(text, found, scalar, problems)
    yield from _resolved(found, scalar, scope, problems)


def _worded(error: TemplateError) -> str:
    """A template's error, which may or may not say already that it is about a template."""
    return str(error) if "template" in str(error)[:12] else f"template: {error}"


def _resolved(found: list[template.Reference], scalar: Scalar, scope: Scope, problems: Problems) -> Iterator[str]:
    """The targets of references, each name looked at once."""
    seen: set[tuple[str, str | None]] = set()
    for reference in found:
        by_field = reference.name in _NAMESPACES or reference.name in scope.bound
        key = (reference.name, reference.field if by_field else None)
        if key in seen:
            continue
        seen.add(key)
        target = _target(reference, scope)
        if target is not None and (reference.name == "outputs") == (scope.outputs is not None):
            yield target
        if target is None and not _is_known(reference, scope):
            _report(reference, scalar, scope, problems)


_NAMESPACES = frozenset({"steps", "parameters", "inputs", "outputs", "state", "loops"})


def _target(reference: template.Reference, scope: Scope) -> str | None:
    """The step or output that a reference means."""
    if reference.name == "outputs" and scope.outputs is not None:
        return reference.field if reference.field in scope.outputs else None
    name = reference.field if reference.name == "steps" else reference.name
    if name in scope.bound and reference.field in dialect.BINDINGS:
        # `refine.iteration` in a step that is a loop of itself: the loop's, not what its last pass left.
        return None
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
        case "loops" if scope.loops:
            return reference.field is None or reference.field in scope.loops
        case name:
            known = (scope.bound, scope.inputs, dialect.RUN_NAMES, scope.namespaces, (FEEDBACK,))
            return any(name in names for names in known)


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
            remedy = _beyond(reference.field or "", scope) or problems.did_you_mean(reference.field or "", scope.steps)
            add(Code.UNKNOWN_STEP, f"no step {quoted(reference.field or '')}", at, remedy)
        case "loops" if scope.loops:
            add(
                Code.UNKNOWN_STEP,
                f"no loop {quoted(reference.field or '')} around",
                at,
                f"loops: {', '.join(scope.loops)}",
            )
        case "parameters" | "inputs" | "state" if reference.field:
            _undeclared(reference.field, at, scope, problems)
        case "outputs" if scope.outputs is not None:
            remedy = problems.did_you_mean(reference.field or "", scope.outputs)
            add(Code.UNKNOWN_OUTPUT, f"no output {quoted(reference.field or '')}", at, remedy)
        case name if remedy := _beyond(name, scope):
            add(Code.UNKNOWN_STEP, f"{quoted(name)} runs within the loop {quoted(scope.bodies[name])}", at, remedy)
        case name if step := _hyphenated(name, str(scalar.value), scope):
            remedy = f"rename the step {step.replace('-', '_')}, or write steps['{step}']"
            add(Code.HYPHEN_IN_ID, f"in a template, {quoted(step)} is a subtraction", at, remedy)
        case name if (step := problems.nearest(name, scope.steps)) and name not in scope.inputs:
            add(Code.UNKNOWN_STEP, f"{quoted(name)} is neither a step nor an input", at, f"did you mean '{step}'?")
        case name:
            _undeclared(name, at, scope, problems)


def _beyond(name: str, scope: Scope) -> str:
    """What to read instead of a step that is hidden in a loop; nothing for any other name."""
    loop = scope.bodies.get(name)
    return f"read what the loop left, {{{{ {loop}.results }}}}" if loop is not None else ""


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
