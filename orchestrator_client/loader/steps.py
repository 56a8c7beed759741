"""From the node of a step to the step of the plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator_client.contract import caps
from orchestrator_client.contract.plan import Step, StepKind
from orchestrator_client.loader import dialect, model, parameters, policy, uses
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.references import Scope, named, named_in_condition, refuse_auto
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, Sequence, kind_of, plain

_LABELS = frozenset({"description", "name", "metadata"})
"""Keys that nothing ever renders."""
_READ_LATER = frozenset({"model", "parameters"})
"""Keys in which a tag may be in its place; whether it is depends on what the step uses."""
_REFUSED_WHOLE = frozenset({"steps"})
"""Keys whose value is not looked at: it is refused, and some of it would not be."""

_UNDERSTOOD = dialect.STEP_KEYS | dialect.STEP_INERT | dialect.STEP_LATER.keys() | dialect.STEP_COMPANIONS


@dataclass(frozen=True, slots=True)
class Defaults:
    """What steps inherit from the top of the file."""

    model: model.Named = model.NOBODY
    timeout_seconds: float | None = None


def ids_of(nodes: list[Node], problems: Problems) -> dict[str, Place]:
    """The ids of all steps, with their places; what is wrong with them is added."""
    ids: dict[str, Place] = {}
    by_folded: dict[str, str] = {}
    for node in nodes:
        step_id = _id(node, problems)
        if step_id is None:
            continue
        at = _place_of_id(node)
        if step_id in ids:
            message = f"step id {quoted(step_id)} stands here and on line {ids[step_id].line}"
            problems.error(Code.DUPLICATE_ID, message, at, "give each step an id of its own")
        elif (twin := by_folded.setdefault(step_id.lower(), step_id)) != step_id:
            problems.warn(Code.SIMILAR_ID, f"step ids {quoted(step_id)} and {quoted(twin)} differ by case only", at)
        ids.setdefault(step_id, at)
    return ids


def read(node: Node, scope: Scope, defaults: Defaults, problems: Problems) -> Step | None:
    """The step that a node describes, or None where it has no id; what is wrong with it is added."""
    if not isinstance(node, Mapping) or not isinstance(written := node.get("id"), Scalar):
        return None
    return _Reader(node, scope, problems.within(written.text[: caps.ID_CHARACTERS])).step(written.text, defaults)


class _Reader:
    """Reads one step."""

    def __init__(self, node: Mapping, scope: Scope, problems: Problems) -> None:
        self._node, self._scope, self._problems = node, scope, problems
        self._refused = _check_keys(node, problems)
        self._settings = _parameters(node, problems)

    def step(self, step_id: str, defaults: Defaults) -> Step:
        """The step of the plan. One that was refused is there all the same, so that others may name it."""
        use = self._use()
        asked = model.read(self._node, self._settings, use, defaults.model, self._problems)
        self._check_parameters(asked.settings, use)
        condition = _condition(self._node, self._problems)
        reads = self._reads(asked, condition)
        after = tuple(dict.fromkeys([*_declared(self._node, self._scope, self._problems), *reads]))
        return Step(
            id=step_id,
            kind=use.kind if use else StepKind.CONTROL,
            uses=use.uses if use else "",
            parameters={key: plain(entry.value) for key, entry in asked.settings.entries.items()},
            name=_label(self._node),
            model=asked.model.text,
            provider=asked.model.provider,
            after=after,
            reads=tuple(reads),
            condition=condition.value if condition else None,
            timeout_seconds=policy.timeout_seconds(self._node.get("timeout"), self._problems)
            or defaults.timeout_seconds,
            retry=policy.retry(self._node, self._problems),
            on_failure=policy.on_failure(self._node, self._scope.steps, self._problems),
            line=self._node.line,
        )

    def _use(self) -> uses.Use | None:
        """What performs the step. A refused step may lack it."""
        if self._refused and not {"tool", "action"} & self._node.entries.keys():
            return None
        return uses.of(self._node, self._settings, self._problems)

    def _check_parameters(self, settings: Mapping, use: uses.Use | None) -> None:
        """Check what is passed on; not of a refused step, whose parameters may name what is not there yet."""
        is_tool = use is not None and use.kind is StepKind.TOOL
        for key, entry in self._settings.entries.items():
            # In the place of a model, a tag asks for the choice of one, which there is.
            if key != "model" or is_tool:
                refuse_auto(entry.value, self._problems)
        if use is not None and not self._refused and isinstance(self._node.get("parameters"), Mapping | None):
            parameters.check(settings, use, self._problems)

    def _reads(self, asked: model.Asked, condition: Scalar | None) -> list[str]:
        """Steps that the templates name; none of a refused step, whose loop has names of its own."""
        if self._refused:
            return []
        reads = [
            *named(asked.settings, self._scope, self._problems),
            *named(asked.model.name, self._scope, self._problems),
        ]
        if condition is not None and isinstance(condition.value, str) and dialect.AUTO not in condition.text:
            reads += named_in_condition(condition, self._scope, self._problems)
        return list(dict.fromkeys(reads))


def _id(node: Node, problems: Problems) -> str | None:
    """The id of a step as written, checked; None where there is none to speak of."""
    if not isinstance(node, Mapping):
        problems.error(Code.WRONG_TYPE, f"a step must be a mapping, found {kind_of(node)}", node.place)
        return None
    written = node.get("id")
    if written is None:
        problems.error(Code.NO_ID, "the step has no id", node.place, "add id: some_name")
        return None
    if not isinstance(written, Scalar) or not isinstance(written.value, str):
        message = f"a step's id must be text, found {kind_of(written)}"
        problems.error(Code.WRONG_TYPE, message, written.place, "start it with a letter")
        return None
    check_id(written.value, written.place, "step", problems)
    return written.value


def check_id(text: str, at: Place, what: str, problems: Problems) -> None:
    """Refuse an id that is too long, has other characters than the grammar's, or means something in a template."""
    if len(text) > caps.ID_CHARACTERS:
        message = f"{what} id of {len(text):,} characters; {caps.ID_CHARACTERS} are allowed: {quoted(text[:20])}"
        problems.error(Code.BAD_ID, message, at)
    elif not dialect.ID.fullmatch(text):
        odd = next((character for character in text if not character.isascii()), "")
        found = f" has {quoted(odd)} (U+{ord(odd):04X})" if odd else " is not an id"
        remedy = f"letters, digits, _ and -, a letter first: {slug(text)}"
        problems.error(Code.BAD_ID, f"{what} id {quoted(text)}{found}", at, remedy)
    elif what == "step" and text.lower() in dialect.RESERVED_IDS:
        remedy = f"rename it, for example {text}_step"
        problems.error(Code.RESERVED_ID, f"step id {quoted(text)} means something else in a template", at, remedy)


def slug(text: str) -> str:
    """The nearest id to a text, or `pipeline` where nothing of it is left."""
    kept = "".join(character if character.isascii() and character.isalnum() else "_" for character in text)
    kept = "_".join(part for part in kept.split("_") if part)[: caps.ID_CHARACTERS].strip("_")
    return kept if kept[:1].isalpha() else f"p_{kept}"[: caps.ID_CHARACTERS] if kept else "pipeline"


def _place_of_id(node: Node) -> Place:
    """Where the id stands, for messages about it."""
    return node.entries["id"].value.place if isinstance(node, Mapping) else node.place


def _check_keys(step: Mapping, problems: Problems) -> bool:
    """Whether the step is refused for a key that comes in a later release."""
    later = [key for key in step.entries if key in dialect.STEP_LATER and (key != "type" or _is_later_type(step))]
    later = later or [key for key in step.entries if key in dialect.STEP_COMPANIONS]
    for key in later:
        meaning = f" ({dialect.STEP_LATER[key]})" if key in dialect.STEP_LATER else ""
        dialect.not_yet(problems, f"{quoted(key)}{meaning} in a step", step.place_of(key))
    for key in step.entries.keys() - _LABELS:
        if key not in _READ_LATER | _REFUSED_WHOLE:
            refuse_auto(step.entries[key].value, problems)
        if key not in _UNDERSTOOD:
            remedy = problems.did_you_mean(key, _UNDERSTOOD)
            problems.error(Code.UNKNOWN_KEY, f"unknown key {quoted(key)} in a step", step.place_of(key), remedy)
        elif key in dialect.STEP_INERT or (key == "type" and key not in later):
            problems.warn(Code.NO_EFFECT, f"{quoted(key)} of a step has no effect", step.place_of(key))
    return bool(later)


def _is_later_type(step: Mapping) -> bool:
    """Whether `type` names a kind of step that comes later; other types say nothing."""
    node = step.get("type")
    return isinstance(node, Scalar) and node.text in dialect.STEP_TYPES_LATER


def _parameters(step: Mapping, problems: Problems) -> Mapping:
    """The parameters; none where they are no mapping."""
    node = step.get("parameters")
    if isinstance(node, Mapping):
        return node
    if node is not None:
        problems.error(Code.WRONG_TYPE, f"parameters must be a mapping, found {kind_of(node)}", node.place)
    return Mapping(*step.place_of("parameters"))


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
        elif dialect.AUTO not in name:
            remedy = problems.did_you_mean(name, scope.steps)
            problems.error(Code.UNKNOWN_STEP, f"no step {quoted(name)}", at, remedy or "add it, or remove it here")
    return declared


def _names(node: Node, key: str, problems: Problems) -> Iterator[tuple[str, Place]]:
    """The steps that a list or a comma-separated text names, each with its place."""
    match node:
        case Scalar(value=str() as text):
            yield from ((name.strip(), node.place) for name in text.split(",") if name.strip())
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
