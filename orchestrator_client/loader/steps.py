"""From the node of a step to the step of the plan: alone, as a loop, and with all the steps beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from orchestrator_client.contract import caps
from orchestrator_client.contract.catalog.pipelines import SUB_PIPELINE
from orchestrator_client.contract.plan import Handler, Loop, LoopKind, Step, StepKind
from orchestrator_client.loader import (
    bindings,
    bounds,
    children,
    dialect,
    ids,
    jumps,
    keys,
    loops,
    model,
    parameters,
    placeholders,
    policy,
    quality,
    recovery,
    secrets,
    siblings,
    tags,
    uses,
)
from orchestrator_client.loader.children import Family
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.ids import check_id
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.references import Scope, named, named_in_condition
from orchestrator_client.loader.text.nodes import Entry, Mapping, Node, Scalar, Sequence, kind_of, plain

__all__ = ["Defaults", "Level", "check_id", "read", "read_all"]

_ERRORS = frozenset({"error", "error_type", "error_message", "failed_step"})
"""Names that what handles a failure may read."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What steps inherit from the top of the file, and from the loop around them."""

    model: model.Named = model.NOBODY
    timeout_seconds: float | None = None
    handlers: tuple[Handler, ...] = ()
    family: Family | None = None
    """The file, and the pipelines that it runs; None outside of files."""
    prose: uses.Prose = uses.Prose.REFUSED
    """What becomes of actions in words."""
    quality: quality.Common | None = None


@dataclass(slots=True)
class Level:
    """Steps that stand beside each other, and what they need of those around their loop."""

    steps: tuple[Step, ...] = ()
    waits: list[str] = field(default_factory=list)
    """Steps around that have to have ended first."""
    reads: list[str] = field(default_factory=list)
    """Those of them whose values are read."""


@dataclass(slots=True)
class _Found:
    """One step, its jumps, and what it needs of the steps around its loop."""

    step: Step
    wishes: list[jumps.Wish]
    waits: list[str]
    reads: list[str]


def read(node: Node, scope: Scope, defaults: Defaults, problems: Problems) -> Step | None:
    """The step that a node describes, or None where it has no id; what is wrong with it is added.

    It stands alone, as in a graph, whose edges say what loops and jumps say in a file.
    """
    found = _found(node, scope, defaults, problems)
    if found is not None and (found.wishes or found.step.loop is not None):
        remedy = "use a router, or load the steps from a file"
        problems.within(found.step.id).error(
            Code.NOT_YET, "a loop or jump in a graph's node is not in this release", remedy=remedy
        )
    return found.step if found else None


def read_all(
    nodes: Iterable[Node], scope: Scope, defaults: Defaults, problems: Problems, in_order: bool = False
) -> Level:
    """The steps that could be read, with the jumps between them; of two with one id, the first.

    `in_order`: each waits for the one before it.
    """
    found, silent = dict[str, _Found](), dict[str, Place]()
    for node in nodes:
        if (one := _found(node, scope, defaults, problems)) is not None:
            found.setdefault(one.step.id, one)
            if isinstance(node, Mapping) and siblings.POLICIES.isdisjoint(node.entries):
                silent.setdefault(one.step.id, node.place)
    steps = [one.step for one in found.values()]
    if in_order:
        steps = steps[:1] + [siblings.behind(before, step) for before, step in pairwise(steps)]
    wishes = [wish for one in found.values() for wish in one.wishes]
    led_to = {wish.target for wish in wishes}
    steps = [siblings.on_call(step) if step.id in scope.handlers - led_to else step for step in steps]
    steps = siblings.watched(steps, {} if defaults.handlers else silent, problems)
    waits = dict.fromkeys(name for one in found.values() for name in one.waits)
    reads = dict.fromkeys(name for one in found.values() for name in one.reads)
    return Level(jumps.compiled(tuple(steps), wishes, problems), list(waits), list(reads))


def _found(node: Node, scope: Scope, defaults: Defaults, problems: Problems) -> _Found | None:
    """One step, whether it is a loop or not; None where it has no id."""
    if not isinstance(node, Mapping) or not isinstance(written := node.get("id"), Scalar):
        return None
    problems = problems.within(written.text[: caps.ID_CHARACTERS])
    is_loop = loops.is_loop(node)
    bindings.plain_names(node, (*scope.loops, *loops.names_of(node)) if is_loop else scope.loops)
    refused = keys.check(node, problems)
    if written.text in scope.handlers:
        scope = replace(scope, bound=scope.bound | _ERRORS)
        if is_loop:
            message, remedy = "a loop cannot handle a failure", "name a step that is none in on_error"
            problems.error(Code.NOT_YET, f"{message} in this release", written.place, remedy)
    if not is_loop:
        loops.refuse_companions(node, problems)
        return _Reader(node, scope, problems).work(defaults, refused)
    placeholders.plain(loops.over(node), scope, problems)
    shape = loops.shape_of(node, problems)
    reader = _Reader(node if shape is None else shape.step, scope, problems)
    return reader.refused() if shape is None else reader.loop(shape, defaults)


class _Reader:
    """Reads one step."""

    def __init__(self, node: Mapping, scope: Scope, problems: Problems) -> None:
        self._node, self._scope, self._problems = node, scope, problems
        written = node.get("id")
        self._id = written.text if isinstance(written, Scalar) else ""

    def work(self, defaults: Defaults, is_refused: bool) -> _Found:
        """A step that does something. One that is refused is there all the same, so that others may name it."""
        settings = parameters.written(self._node, self._problems)
        texts = [settings, *map(self._node.get, (*dialect.STEP_MODEL_KEYS, "action"))]
        placeholders.plain(texts, self._scope, self._problems)
        handled = self._handled(defaults)
        lacks_use = is_refused and not {"tool", "action"} & self._node.entries.keys()
        prose = defaults.prose
        if prose is uses.Prose.REFUSED and handled.saves:
            prose = uses.Prose.FAILS
        if keys.is_type(self._node, dialect.STEP_TYPES_OF_PIPELINES):
            use: uses.Use | None = uses.Use(StepKind.CONTROL, SUB_PIPELINE)
            settings = children.settings_of(self._node)
        else:
            use = None if lacks_use else uses.of(self._node, settings, prose, self._problems)
            children.refuse_beside_tool(self._node, self._problems)
        if use is not None and (action := self._node.get("action")) is not None:
            settings = _with_task(settings, action, use)
        child = ""
        if use is not None and use.uses == SUB_PIPELINE:
            settings, child = children.taken(settings, defaults.family, self._scope.inputs, self._problems)
        _check_tags(settings, use, self._problems)
        if self._id in self._scope.handlers:
            tags.refuse(settings, "in a step that handles failures", self._problems)
        secrets.check(settings, use.kind if use else StepKind.TOOL, self._problems)
        asked = model.read(self._node, settings, use, defaults.model, self._problems)
        if use is not None and not is_refused and isinstance(self._node.get("parameters"), Mapping | None):
            parameters.check(asked.settings, use, self._problems)
        reads = named(asked.settings, self._scope, self._problems)
        reads += named(asked.model.name, self._scope, self._problems)
        step = Step(
            id=self._id,
            kind=use.kind if use else StepKind.CONTROL,
            uses=use.uses if use else "",
            parameters={key: plain(entry.value) for key, entry in asked.settings.entries.items()},
            model=asked.model.text,
            provider=asked.model.provider,
            child=child,
            line=self._node.line,
        )
        asking = [entry.value for key, entry in settings.entries.items() if key != "model"]
        return self._finished(step, reads, Level(), asking, defaults, handled)

    def refused(self) -> _Found:
        """A step of which nothing can be said but that it is there."""
        return _Found(Step(id=self._id, kind=StepKind.CONTROL, uses="", line=self._node.line), [], [], [])

    def loop(self, shape: loops.Shape, defaults: Defaults) -> _Found:
        """A step that runs a body."""
        self._warn_of_vain_keys(shape)
        names = (shape.name, shape.variable)
        bounds.refuse_shadow(self._node, shape.variable, self._scope.steps, self._problems)
        inner = self._scope.of_body(self._id, names, self._ids(shape), shape.kind is not LoopKind.MAP)
        inherited = replace(defaults, timeout_seconds=shape.timeout_seconds or defaults.timeout_seconds)
        is_too_deep = len(self._scope.loops) >= loops.LEVELS
        if is_too_deep:
            message = f"loops nest deeper than {loops.LEVELS} levels"
            self._problems.error(Code.TOO_DEEP, message, self._node.place, "make the inner loops steps of another file")
        body = read_all([] if is_too_deep else shape.body, inner, inherited, self._problems, shape.in_order)
        most = [entry.value for key in _COUNTS if (entry := self._node.entries.get(key)) is not None]
        reads = named(Sequence(0, 0, [*most, *([shape.items] if shape.items else [])]), self._scope, self._problems)
        placeholders.plain([shape.condition], inner, self._problems)
        if shape.condition is not None and isinstance(shape.condition.value, str):
            asked = named_in_condition(shape.condition, inner, self._problems)
            # What the body left is in the loop's own hands; what is around has to be there before it starts.
            body.waits += [name for name in asked if not inner.is_own(name)]
            body.reads += [name for name in asked if not inner.is_own(name)]
        loop = Loop(
            kind=shape.kind,
            steps=body.steps,
            items=plain(shape.items) if shape.items else None,
            condition=shape.condition.value if shape.condition else None,
            max_parallel=shape.max_parallel,
            max_iterations=shape.max_iterations,
            name=shape.name,
            variable=shape.variable,
            inline=shape.inline,
        )
        step = Step(id=self._id, kind=StepKind.CONTROL, uses=shape.uses, loop=loop, line=self._node.line)
        asking = [node for node in (shape.items, shape.condition) if node is not None]
        return self._finished(step, reads, body, asking, defaults, self._handled(defaults))

    def _handled(self, defaults: Defaults) -> recovery.Recovery:
        """What is done about the step's failures."""
        also = tuple(handler for handler in defaults.handlers if handler.step != self._id)
        return recovery.read(self._node, self._scope.steps, also, self._problems)

    def _finished(
        self,
        step: Step,
        reads: list[str],
        body: Level,
        asking: list[Node],
        defaults: Defaults,
        handled: recovery.Recovery,
    ) -> _Found:
        """The step with all that any step may say, and with its edges. `asking` is where tags may stand in it."""
        node, scope, problems = self._node, self._scope, self._problems
        condition = _condition(node, problems)
        placeholders.plain([condition], scope, problems)
        if condition is not None and isinstance(condition.value, str):
            reads += named_in_condition(condition, scope, problems)
            asking = [*asking, condition]
        held = quality.templates(node.get("quality"))
        reads += [name for name in named(held, scope, problems) if name != self._id]
        failing = replace(scope, bound=scope.bound | _ERRORS | step.parameters.keys())
        reads += [name for text in handled.texts for name in named(text, failing, problems) if name != self._id]
        on_failure, jump = policy.on_failure(node, scope.own or scope.steps, problems)
        if handled.policy is not None and node.get("on_failure") is None:
            on_failure = handled.policy
        declared = _declared(node, scope, problems)
        if step.uses and any(map(tags.is_vague, asking)):
            reads += [name for name in declared if name != self._id]
        # A step of a loop that names itself means its last pass.
        needed = [name for name in (*declared, *reads, *body.waits) if name != self._id or not scope.repeats]
        read_here = [*reads, *(name for name in body.reads if scope.is_own(name))]
        finished = step.model_copy(
            update={
                "name": _label(node),
                "after": tuple(dict.fromkeys(name for name in needed if scope.is_own(name))),
                "reads": tuple(dict.fromkeys(read_here)),
                "condition": condition.value if condition else None,
                "timeout_seconds": policy.timeout_seconds(node.get("timeout"), problems)
                or (None if step.loop else defaults.timeout_seconds),
                "retry": policy.retry(node, problems),
                "on_failure": on_failure,
                "on_lost": policy.on_lost(node, problems),
                "accepts": policy.accepts(node, problems),
                "level": policy.level(node, step.uses, problems) if step.kind is StepKind.TOOL else None,
                "handlers": handled.handlers,
                "quality": quality.of_step(node, step, defaults.quality, problems),
            }
        )
        wishes = jumps.read(self._id, node, jump, scope, problems)
        around = [name for name in (*reads, *body.reads) if not scope.is_own(name)]
        return _Found(finished, wishes, [name for name in needed if not scope.is_own(name)], around)

    def _ids(self, shape: loops.Shape) -> dict[str, Place]:
        """The steps of a body. A loop of itself is one step, which only another pass can name."""
        if shape.inline:
            return {} if shape.kind is LoopKind.MAP else {self._id: self._node.place}
        found = ids.ids_of(shape.body, self._problems)
        around = self._scope.bound | dialect.BINDINGS | {self._id, shape.variable}
        for name, at in found.items():
            if name in around - dialect.RESERVED_IDS:
                is_bound = name in dialect.BINDINGS or name == shape.variable
                what = "a name that the loop binds" if is_bound else "the id of a loop around it"
                remedy = f"rename it, for example {name}_step"
                self._problems.error(Code.RESERVED_ID, f"step id {quoted(name)} is {what}", at, remedy)
        return found

    def _warn_of_vain_keys(self, shape: loops.Shape) -> None:
        """A loop does nothing itself, so it has no parameters and asks no model."""
        for key in ("parameters", "inputs", *sorted(dialect.STEP_MODEL_KEYS)):
            if key in self._node.entries and not shape.inline:
                message = f"{quoted(key)} of a loop has no effect"
                self._problems.warn(
                    Code.NO_EFFECT, message, self._node.place_of(key), "set it on the steps of its body"
                )


_COUNTS = ("max_parallel", "max_concurrent", "max_iterations")


def _with_task(settings: Mapping, action: Node, use: uses.Use) -> Mapping:
    """The parameters with what an action in words, or an AUTO tag in its place, asks for."""
    at = action.place
    if use.words is not None:
        name, words = use.words
        return Mapping(
            *settings.place, {name: Entry(Scalar(*at, name, name), Scalar(*at, words, words)), **settings.entries}
        )
    if not isinstance(action, Scalar) or not use.asks:
        return settings
    task = tags.prose(str(action.value))
    entries = {
        **settings.entries,
        "prompt": Entry(Scalar(*at, "prompt", "prompt"), replace(action, text=task, value=task)),
    }
    if use.offers and "tools" not in entries:
        offered: list[Node] = [Scalar(*at, name, name) for name in use.offers]
        entries["tools"] = Entry(Scalar(*at, "tools", "tools"), Sequence(*at, offered))
    return Mapping(*settings.place, entries)


def _check_tags(settings: Mapping, use: uses.Use | None, problems: Problems) -> None:
    """Tags among the parameters are answered when the step starts: too late for what decides where a call goes."""
    asks_model = use is None or use.kind is StepKind.MODEL
    for key, entry in settings.entries.items():
        if asks_model and key == "model":
            continue
        if asks_model and key in dialect.STEP_MODEL_KEYS:
            tags.refuse(entry.value, f"in {quoted(key)}", problems)
        else:
            tags.check(entry.value, problems)


def _condition(step: Mapping, problems: Problems) -> Scalar | None:
    """The condition; `if` is its other spelling."""
    if step.get("condition") is not None and step.get("if") is not None:
        problems.warn(Code.TWO_SPELLINGS, "both condition and if", step.place_of("if"), "condition is used")
    node = step.get("condition") or step.get("if")
    if node is None:
        return None
    if not isinstance(node, Scalar) or not isinstance(node.value, str | bool):
        problems.error(Code.WRONG_TYPE, f"condition must be text or a boolean, found {kind_of(node)}", node.place)
        return None
    tags.check(node, problems)
    return node


def _declared(step: Mapping, scope: Scope, problems: Problems) -> list[str]:
    """The dependencies that the step names, which must exist."""
    if step.get("dependencies") is not None and step.get("depends_on") is not None:
        at = step.place_of("depends_on")
        problems.warn(Code.TWO_SPELLINGS, "both dependencies and depends_on", at, "dependencies is used")
    key = "dependencies" if step.get("dependencies") is not None else "depends_on"
    node, declared = step.get(key), []
    for name, at in _names(node, key, problems) if node is not None else ():
        if name in scope.steps:
            declared.append(name)
        elif not tags.in_text(name):
            loop = scope.bodies.get(name)
            remedy = f"depend on the loop '{loop}'" if loop else problems.did_you_mean(name, scope.steps)
            problems.error(Code.UNKNOWN_STEP, f"no step {quoted(name)}", at, remedy or "add it, or remove it here")
    return declared


def _names(node: Node, key: str, problems: Problems) -> Iterator[tuple[str, Place]]:
    """The steps that a list or a comma-separated text names, each with its place."""
    match node:
        case Scalar(value=str() as text):
            names = [text] if tags.in_text(text) else text.split(",")
            yield from ((name.strip(), node.place) for name in names if name.strip())
        case Sequence():
            for item in node.items:
                if isinstance(item, Scalar) and isinstance(item.value, str):
                    yield item.value.strip(), item.place
                else:
                    problems.error(Code.WRONG_TYPE, f"{key} must name steps, found {kind_of(item)}", item.place)
        case _:
            problems.error(Code.WRONG_TYPE, f"{key} must be a list of steps, found {kind_of(node)}", node.place)


def _label(step: Mapping) -> str:
    """The name for people, never rendered."""
    node = step.get("name")
    return node.text if isinstance(node, Scalar) else ""
