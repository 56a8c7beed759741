"""From the node of a whole file to its plan."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePath

from orchestrator_client.contract import caps
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.reading import NAMESPACES
from orchestrator_client.loader import (
    allowed,
    declarations,
    dialect,
    edges,
    ids,
    loops,
    model,
    policy,
    quality,
    recovery,
    rule_of_two,
    secrets,
    steps,
    uses,
)
from orchestrator_client.loader.children import Family
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.references import Scope, named
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, Sequence, kind_of, plain

SMALLEST = "steps: [{id: hello, tool: terminal, action: execute, parameters: {command: date}}]"
"""The smallest plan that does something."""


def read(root: Node | None, problems: Problems, family: Family | None = None, given: Collection[str] = ()) -> Plan:
    """The plan that a file describes.

    `family`: of a pipeline that another one runs, which gives it the inputs `given`.

    Raises:
        PlanInvalid: the file has errors, those found earlier included.
    """
    if root is None or (isinstance(root, Scalar) and root.value is None):
        problems.raise_if_any()
        problems.error(Code.EMPTY, "the plan is empty", remedy=f"the smallest valid one is: {SMALLEST}")
    elif not isinstance(root, Mapping):
        problems.error(Code.WRONG_TYPE, f"expected a mapping at the top, found {kind_of(root)}", root.place)
    else:
        return _plan(root, problems, family or Family.of(problems.file, read), given)
    problems.raise_if_any()
    raise AssertionError("a file without a mapping has a problem")


def _plan(root: Mapping, problems: Problems, family: Family, given: Collection[str]) -> Plan:
    """Read every section before anything is raised, so that one pass shows all that is wrong."""
    root = _unwrapped(root)
    _check_keys(root, problems)
    inputs = declarations.inputs(root, problems)
    nodes = _step_nodes(root, problems)
    spaces = declarations.namespaces(root, inputs, problems)
    bodies = dict(loops.bodies_of(nodes))
    known = ids.ids_of(nodes, problems)
    handlers = recovery.called(root) & (known.keys() | bodies.keys())
    scope = Scope(known, {*inputs, *given}, namespaces=spaces.keys(), bodies=bodies, handlers=handlers)
    _warn_of_hidden_inputs(scope, inputs, problems)
    defaults = _defaults(root, scope, len(nodes) + len(bodies), family, problems)
    plan = Plan(
        id=_id(root, problems),
        name=_text(root, "name", problems),
        description=_text(root, "description", problems),
        version=_text(root, "version", problems),
        inputs=inputs,
        steps=steps.read_all(nodes, scope, defaults, problems).steps,
        outputs=declarations.outputs(root, scope, problems),
        metadata={**_metadata(root, problems), **({NAMESPACES: spaces} if spaces else {})},
    )
    edges.check(plan, problems)
    children = family.plans if family.is_root else {}
    plan = allowed.read(root, plan.model_copy(update={"children": children}), problems)
    secrets.check_sections(root, problems)
    rule_of_two.check(plan, family.plans, problems)
    problems.raise_if_any()
    return plan


def _unwrapped(root: Mapping) -> Mapping:
    """The whole file, where all of it stands under `pipeline`."""
    inner = root.get("pipeline")
    if not isinstance(inner, Mapping) or "steps" in root.entries or "steps" not in inner.entries:
        return root
    outer = {key: entry for key, entry in root.entries.items() if key != "pipeline"}
    return Mapping(*root.place, {**outer, **inner.entries})


def _check_keys(root: Mapping, problems: Problems) -> None:
    """Refuse keys that are surely mistakes; warn of those that the dialect knows and this release ignores."""
    for key in root.entries:
        at = root.place_of(key)
        if key in dialect.TOP_KEYS:
            continue
        if key in dialect.TOP_INERT or dialect.TOP_INERT_PATTERN.fullmatch(key):
            problems.warn(Code.NO_EFFECT, f"{quoted(key)} has no effect", at, dialect.TOP_INERT.get(key, ""))
        else:
            remedy = problems.did_you_mean(key, dialect.TOP_KEYS)
            problems.error(Code.UNKNOWN_KEY, f"unknown key {quoted(key)}", at, remedy)


def _step_nodes(root: Mapping, problems: Problems) -> list[Node]:
    """The nodes of the steps; none where there are too many, because each would be read in vain."""
    node = root.get("steps")
    if isinstance(node, Sequence) and node.items:
        if len(node.items) > caps.STEPS:
            problems.error(Code.TOO_LARGE, f"{len(node.items):,} steps; {caps.STEPS:,} are allowed", node.place)
            return []
        if (within := sum(1 for _ in loops.bodies_of(node.items))) + len(node.items) > caps.STEPS:
            message = f"{within + len(node.items):,} steps with those in loops; {caps.STEPS:,} are allowed"
            problems.error(Code.TOO_LARGE, message, node.place)
            return []
        return node.items
    if node is None or isinstance(node, Sequence):
        problems.error(Code.NO_STEPS, "the plan has no steps", root.place_of("steps"), f"the smallest has: {SMALLEST}")
    else:
        problems.error(
            Code.WRONG_TYPE, f"steps must be a list, found {kind_of(node)}", node.place, "start each with '- id:'"
        )
    return []


def _defaults(root: Mapping, scope: Scope, count: int, family: Family, problems: Problems) -> steps.Defaults:
    """What every step inherits. Of the metadata, `default_timeout` and `prose_actions` have a meaning."""
    metadata = root.get("metadata")
    prose = metadata.get("prose_actions") if isinstance(metadata, Mapping) else None
    timeout = metadata.get("default_timeout") if isinstance(metadata, Mapping) else None
    return steps.Defaults(
        model=model.named(root.get("model"), problems),
        timeout_seconds=policy.timeout_seconds(timeout, problems),
        family=family,
        handlers=recovery.shared(root.get("global_error_handlers"), scope.steps, count, problems),
        prose=_prose(prose, problems),
        quality=_quality(root.get("quality"), scope, problems),
    )


def _quality(node: Node | None, scope: Scope, problems: Problems) -> quality.Common | None:
    """What all steps, or those that it names, are held to; it reads none of them, or every step would wait for it."""
    if node is not None and (read := named(quality.templates(node), scope, problems)):
        remedy = "set the rule on a step"
        problems.error(Code.WRONG_VALUE, f"a rule for several steps reads step {quoted(read[0])}", node.place, remedy)
    return quality.common(node, {*scope.steps, *scope.bodies}, problems)


def _prose(node: Node | None, problems: Problems) -> uses.Prose:
    """What becomes of actions that are words: a model is asked where the file says `prose_actions: model`."""
    if node is None:
        return uses.Prose.REFUSED
    if isinstance(node, Scalar) and node.text == "model":
        return uses.Prose.ASKED
    message = f"prose_actions must be model, found {kind_of(node)}"
    problems.error(Code.WRONG_VALUE, message, node.place, "write prose_actions: model, or remove it")
    return uses.Prose.REFUSED


def _warn_of_hidden_inputs(scope: Scope, inputs: Collection[str], problems: Problems) -> None:
    """A bare name means the step, so an input of that name needs its namespace."""
    for name in inputs:
        if name in scope.steps:
            at = scope.steps[name]
            remedy = f"read the input as inputs.{name}"
            problems.warn(Code.HIDDEN_INPUT, f"step {quoted(name)} hides the input of that name", at, remedy)


def _id(root: Mapping, problems: Problems) -> str:
    """The pipeline's id: as written, or made from its name, or from the file's."""
    node = root.get("id")
    if node is None:
        return ids.slug(_text(root, "name", problems) or PurePath(problems.file).stem)
    written = node.text if isinstance(node, Scalar) else kind_of(node)
    ids.check_id(written, node.place, "pipeline", problems)
    return written


def _text(root: Mapping, key: str, problems: Problems) -> str:
    """A label, as it stands in the file: version 1.10 is not 1.1."""
    node = root.get(key)
    if node is None or isinstance(node, Scalar):
        return node.text if isinstance(node, Scalar) else ""
    problems.error(Code.WRONG_TYPE, f"{key} must be text, found {kind_of(node)}", node.place)
    return ""


def _metadata(root: Mapping, problems: Problems) -> dict[str, Json]:
    """The metadata, which only ever is shown."""
    node = root.get("metadata")
    if isinstance(node, Mapping):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if node is not None:
        problems.error(Code.WRONG_TYPE, f"metadata must be a mapping, found {kind_of(node)}", node.place)
    return {}
