"""Which steps are loops, and of what: every spelling of a loop taken apart into the same few pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator_client.contract.plan import Json, LoopKind
from orchestrator_client.loader import bounds, dialect, policy, tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.text.nodes import Entry, Mapping, Node, Scalar, Sequence, kind_of

LEVELS = 8
"""Loops within loops."""


_IN_PARALLEL = 10
"""Items under way at a time where the file says only that they are in parallel."""
_PASSES = 10
_PASSES_OF_ACTIONS = 100

_QUEUE_BODY = "actions"
"""Id of the one step in the body of a parallel queue."""

_MAPS = ("for_each", "foreach", "create_parallel_queue", "parallel_queue")
_WHILES = ("while", "loop_condition", "while_condition")
_OF_THE_LOOP = frozenset(
    dialect.STEP_LOOP_KEYS
    | dialect.STEP_JUMP_KEYS.keys()
    | {"id", "name", "description", "metadata", "dependencies", "depends_on", "condition", "if"}
)
"""Keys of a step written as a loop of itself that belong to the loop; the others say what is done each time."""
_QUEUE_KEYS = frozenset(
    {"on", "tool", "task", "action_loop", "until", "while_condition", "max_parallel", "max_iterations"}
)
_TASK_KEYS = frozenset({"action_loop", "until", "while_condition", "max_iterations", "tool"})


@dataclass(frozen=True, slots=True)
class Shape:
    """A loop as it was written."""

    kind: LoopKind
    step: Mapping
    """The step without its body."""
    body: list[Node]
    """The steps that run each time."""
    items: Node | None = None
    condition: Scalar | None = None
    max_parallel: Json = 1
    max_iterations: Json = _PASSES
    name: str = ""
    variable: str = ""
    inline: bool = False
    in_order: bool = False
    """Each step of the body waits for the one before it."""
    timeout_seconds: float | None = None
    """Of each step of the body that has none of its own."""

    @property
    def uses(self) -> str:
        return "map" if self.kind is LoopKind.MAP else "loop"


def bodies_of(nodes: list[Node]) -> Iterator[tuple[str, str]]:
    """Every step in the body of a loop, with the loop that it is to be read through from outside: the outermost."""
    for node in nodes:
        if isinstance(node, Mapping) and isinstance(loop := node.get("id"), Scalar):
            yield from ((step, loop.text) for step in _inside(node))


def _inside(node: Mapping) -> Iterator[str]:
    """The ids of all steps within a step."""
    queue = next((inner for key in _MAPS[2:] if isinstance(inner := node.get(key), Mapping)), None)
    task = queue.get("task") if queue else None
    for holder in (node, queue, task):
        for key in ("steps", "action_loop"):
            listed = holder.get(key) if isinstance(holder, Mapping) else None
            for item in listed.items if isinstance(listed, Sequence) else ():
                if isinstance(item, Mapping):
                    if isinstance(written := item.get("id"), Scalar):
                        yield written.text
                    yield from _inside(item)


def over(step: Mapping) -> Iterator[Node]:
    """What the keys of a loop say that it runs over, and how often."""
    for key in ("for_each", "foreach", "items", "max_parallel", "max_concurrent", "max_iterations"):
        if (node := step.get(key)) is not None:
            yield node
    for key in _MAPS[2:]:
        if isinstance(queue := step.get(key), Mapping) and (node := queue.get("on")) is not None:
            yield node


def is_loop(step: Mapping) -> bool:
    """Whether a step says that it is a loop."""
    return bool(_said(step))


def names_of(step: Mapping) -> tuple[str, ...]:
    """Names by which the templates of a loop may mean it."""
    return tuple(node.text for key in ("id", "loop_name") if isinstance(node := step.get(key), Scalar))


def shape_of(step: Mapping, problems: Problems) -> Shape | None:
    """The pieces of a loop, or None where too few are there; what is wrong with its own keys is added."""
    said = _said(step)
    if len(said) > 1 and set(said) != {"while", "until"}:
        message = f"the step is a loop in {len(said)} ways: {', '.join(said)}"
        problems.error(Code.WRONG_VALUE, message, step.place_of(said[1]), "make it two steps, one within the other")
    shape = _shape(said[0], step, problems)
    if shape is None:
        return None
    name, variable = bounds.name(step, problems), bounds.variable(step, shape.kind, problems)
    return replace(shape, name=name, variable=variable, timeout_seconds=_timeout(step, problems))


def _said(step: Mapping) -> list[str]:
    """The keys that make a step a loop; the one that decides comes first."""
    present = step.entries.keys()
    kind = step.get("type")
    by_type = {"loop": "loop_condition", "parallel_map": "items"}.get(kind.text if isinstance(kind, Scalar) else "")
    said = [key for key in _MAPS if key in present]
    if by_type == "items" and not said:
        said.append("items")
    if "action_loop" in present:
        return [*said, "action_loop"]
    said += [key for key in _WHILES if key in present]
    if "until" in present:
        said.append("until")
    return said or ([by_type] if by_type else [])


def refuse_companions(step: Mapping, problems: Problems) -> None:
    """Refuse keys that only qualify a loop, in a step that is none."""
    for key in step.entries:
        if key == "steps":
            remedy = "write for_each, while or until beside them"
            problems.error(
                Code.NOT_YET, "steps in a step that is no loop are not in this release", step.place_of(key), remedy
            )
        elif key in dialect.STEP_LOOP_KEYS and key != "type":
            remedy = "it belongs to for_each, while, until or action_loop"
            problems.error(Code.WRONG_VALUE, f"{quoted(key)} in a step that is no loop", step.place_of(key), remedy)


def _shape(key: str, step: Mapping, problems: Problems) -> Shape | None:
    """The pieces of a loop, by the key that makes it one."""
    match key:
        case "for_each" | "foreach" | "items":
            return _map(step, key, problems)
        case "create_parallel_queue" | "parallel_queue":
            return _queue(step, key, problems)
        case "action_loop":
            return _actions(step, problems)
        case _:
            return _passes(step, key, problems)


def _map(step: Mapping, key: str, problems: Problems) -> Shape | None:
    """A body for each item."""
    items = step.get(key)
    if items is None:
        problems.error(Code.MISSING_PARAMETER, f"{key} has no items", step.place_of(key), "write a list or a template")
        return None
    bounds.check_items(items, key, problems)
    kept, body, inline = _body(step, problems)
    default = 1 if key == "for_each" else _IN_PARALLEL if _is_parallel(step, key, problems) else 1
    most = bounds.parallel(step, default, problems)
    if (parallel := step.get("parallel")) is not None and isinstance(parallel, Scalar) and parallel.value is False:
        most = 1
    return Shape(LoopKind.MAP, kept, body, items=items, max_parallel=most, inline=inline)


def _is_parallel(step: Mapping, key: str, problems: Problems) -> bool:
    """Whether several items may be under way where nothing says how many."""
    node = step.get("parallel")
    if node is None:
        return key == "items"
    if not isinstance(node, Scalar) or not isinstance(node.value, bool):
        problems.error(Code.WRONG_TYPE, f"parallel must be true or false, found {kind_of(node)}", node.place)
        return False
    return node.value


def _passes(step: Mapping, key: str, problems: Problems) -> Shape | None:
    """A body, again and again: `while` is asked before each pass, `until` after it."""
    condition, until = bounds.condition(step, key, problems), bounds.condition(step, "until", problems)
    kind = LoopKind.UNTIL if key == "until" else LoopKind.WHILE
    if condition is not None and until is not None and kind is LoopKind.WHILE:
        if condition.text.strip().lower() == "true":
            kind, condition = LoopKind.UNTIL, until
        else:
            problems.warn(Code.NO_EFFECT, "until beside while has no effect", step.place_of("until"), "remove one")
    if condition is None and not any(step.get(key) is not None for key in (*_WHILES, "until")):
        remedy = "write while, until or loop_condition"
        problems.error(Code.MISSING_PARAMETER, "the loop has no condition", step.place_of(key), remedy)
    kept, body, inline = _body(step, problems)
    most = bounds.passes(step, _PASSES, problems)
    return Shape(kind, kept, body, condition=condition, max_iterations=most, inline=inline)


def _actions(step: Mapping, problems: Problems) -> Shape | None:
    """Actions in their order, again and again."""
    listed = step.get("action_loop")
    body = _listed_actions(listed, step.get("tool"), step.place_of("action_loop"), problems)
    until, going_on = bounds.condition(step, "until", problems), bounds.condition(step, "while_condition", problems)
    if until is not None and going_on is not None:
        at = step.place_of("while_condition")
        problems.warn(Code.TWO_SPELLINGS, "both until and while_condition", at, "until is used")
    elif until is None and going_on is None and step.get("until") is None:
        remedy = 'add until, such as "iteration >= 3"'
        problems.error(Code.MISSING_PARAMETER, "the action_loop has no until", step.place_of("action_loop"), remedy)
    kept = Mapping(*step.place, {key: entry for key, entry in step.entries.items() if key not in _WORK})
    asked_before = until is None and going_on is not None and tags.in_text(going_on.text)
    return Shape(
        LoopKind.WHILE if asked_before else LoopKind.UNTIL,
        kept,
        [_unbroken(action, step, problems) for action in body],
        condition=until or (going_on if asked_before else bounds.negated(going_on)),
        max_iterations=bounds.passes(step, _PASSES_OF_ACTIONS, problems),
        in_order=True,
    )


_WORK = frozenset({"tool", "action"})


def _unbroken(action: Node, step: Mapping, problems: Problems) -> Node:
    """An action after which the others go on even if it fails, where `break_on_error: false` says so."""
    own = action.entries.get("break_on_error") if isinstance(action, Mapping) else None
    said = own or step.entries.get("break_on_error")
    if said is None or not isinstance(action, Mapping):
        return action
    if not isinstance(said.value, Scalar) or not isinstance(said.value.value, bool):
        message = f"break_on_error must be true or false, found {kind_of(said.value)}"
        problems.error(Code.WRONG_TYPE, message, said.key.place)
        return action
    kept = {key: entry for key, entry in action.entries.items() if key != "break_on_error"}
    if not said.value.value and "on_failure" not in kept:
        kept["on_failure"] = _entry("on_failure", "continue", said.key.place)
    return Mapping(*action.place, kept)


def _listed_actions(node: Node | None, tool: Node | None, at: Place, problems: Problems) -> list[Node]:
    """The actions of a list as steps: each with an id, and with the tool of all of them if it has none."""
    if not isinstance(node, Sequence) or not node.items:
        found = kind_of(node) if node is not None and not isinstance(node, Sequence) else "none"
        problems.error(Code.NO_STEPS, f"action_loop must be a list of actions, found {found}", at, "write - action: …")
        return []
    taken = {written.text for item in node.items if (written := _id_of(item)) is not None}
    steps: list[Node] = []
    for number, item in enumerate(node.items, 1):
        if not isinstance(item, Mapping) and not (isinstance(item, Scalar) and isinstance(item.value, str)):
            problems.error(Code.WRONG_TYPE, f"an action must be a mapping or a text, found {kind_of(item)}", item.place)
            continue
        entries = dict(item.entries) if isinstance(item, Mapping) else {"action": Entry(item, item)}
        if "id" not in entries:
            name = next(n for n in (f"action_{number}{'_' * i}" for i in range(len(taken) + 1)) if n not in taken)
            entries = {"id": _entry("id", name, item.place), **entries}
        if tool is not None and "tool" not in entries:
            entries["tool"] = Entry(Scalar(*tool.place, "tool", "tool"), tool)
        steps.append(Mapping(*item.place, entries))
    return steps


def _id_of(item: Node) -> Scalar | None:
    """The id of an action, if it has one."""
    written = item.get("id") if isinstance(item, Mapping) else None
    return written if isinstance(written, Scalar) else None


def _entry(key: str, value: str, at: Place) -> Entry:
    """An entry that the file leaves to be understood."""
    return Entry(Scalar(*at, key, key), Scalar(*at, value, value))


def _queue(step: Mapping, key: str, problems: Problems) -> Shape | None:
    """A parallel queue: a map whose body is one loop of actions."""
    queue = step.get(key)
    task = queue.get("task") if isinstance(queue, Mapping) else None
    if not isinstance(queue, Mapping) or not isinstance(task, Mapping | None):
        found = kind_of(queue) if not isinstance(queue, Mapping) and queue else "a task that is no mapping"
        problems.error(Code.WRONG_TYPE, f"{key} must be a mapping with on and task, found {found}", step.place_of(key))
        return None
    _check_keys(queue, _QUEUE_KEYS, key, problems)
    if task is not None:
        _check_keys(task, _TASK_KEYS, "task", problems)
    items = queue.get("on")
    if items is None:
        problems.error(Code.MISSING_PARAMETER, f"{key} has no items", step.place_of(key), "add on: with a list")
    else:
        bounds.check_items(items, "on", problems)
    inner = {**queue.entries, **(task.entries if task else {})}
    loop = {name: entry for name, entry in inner.items() if name in _TASK_KEYS}
    if not {"until", "while_condition"} & loop.keys():
        # Without an end of its own the list runs once for each item.
        loop["until"] = _entry("until", "true", queue.place)
    body = Mapping(*queue.place, {"id": _entry("id", _QUEUE_BODY, queue.place), **loop})
    where = queue if "max_parallel" in queue.entries else step
    most = bounds.parallel(where, _IN_PARALLEL, problems)
    kept = Mapping(*step.place, {key: entry for key, entry in step.entries.items() if key not in _WORK})
    return Shape(LoopKind.MAP, kept, [body], items=items, max_parallel=most)


def _check_keys(node: Mapping, known: frozenset[str], what: str, problems: Problems) -> None:
    """Refuse keys that a part of a queue does not have."""
    for key in node.entries.keys() - known:
        remedy = problems.did_you_mean(key, known)
        problems.error(Code.UNKNOWN_KEY, f"unknown key {quoted(key)} in {what}", node.place_of(key), remedy)


def _body(step: Mapping, problems: Problems) -> tuple[Mapping, list[Node], bool]:
    """The step as a loop, the steps of its body, and whether the body is the step itself."""
    listed = step.get("steps")
    works = [key for key in ("tool", "action") if key in step.entries]
    if "steps" not in step.entries and works:
        return _inline(step)
    if works:
        message = f"both steps and {quoted(works[0])} in a loop"
        problems.error(Code.WRONG_VALUE, message, step.place_of(works[0]), f"make {works[0]} a step of its own")
    if isinstance(listed, Sequence) and listed.items:
        return step, listed.items, False
    if listed is not None and not isinstance(listed, Sequence):
        problems.error(Code.WRONG_TYPE, f"steps must be a list, found {kind_of(listed)}", listed.place)
    else:
        remedy = "add steps, or a tool or action"
        problems.error(Code.NO_STEPS, "the loop has nothing to do", step.place_of("steps"), remedy)
    return step, [], False


def _inline(step: Mapping) -> tuple[Mapping, list[Node], bool]:
    """A step that is a loop of itself, taken apart. A jump is the loop's; so is a condition that no item decides."""
    own = set(_OF_THE_LOOP)
    for key in ("condition", "if"):
        node = step.get(key)
        if isinstance(node, Scalar) and _mentions_bindings(node.text):
            own.discard(key)
    failure = step.get("on_failure")
    if isinstance(failure, Scalar) and failure.text.strip().lower() not in dialect.POLICIES:
        own.add("on_failure")
    loop = {
        key: entry for key, entry in step.entries.items() if key in own or key in ("on_failure", "continue_on_error")
    }
    body = {key: entry for key, entry in step.entries.items() if key not in own or key == "id"}
    return Mapping(*step.place, loop), [Mapping(*step.place, body)], True


def _mentions_bindings(text: str) -> bool:
    """Whether a condition is about the item or the pass."""
    words = text.replace("$", " ").replace(".", " ").replace("(", " ").replace(")", " ").replace("[", " ").split()
    return any(word.strip("{}'\",:=<>!") in dialect.BINDINGS for word in words)


def _timeout(step: Mapping, problems: Problems) -> float | None:
    """Seconds for each step of an action_loop."""
    return policy.timeout_seconds(step.get("iteration_timeout"), problems)
