"""How often a loop runs: its items, its conditions, its numbers and its name, each as it may be written."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from orchestrator_client.contract import caps, template
from orchestrator_client.contract.plan import Json, LoopKind
from orchestrator_client.loader import dialect, policy, tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, Sequence, kind_of

_MOST_PARALLEL = 10_000


def check_items(items: Node, key: str, problems: Problems) -> None:
    """Items are there, or will be: a list, a mapping, JSON text, a template or a tag."""
    tags.check(items, problems)
    if isinstance(items, Sequence | Mapping):
        count = len(items.items if isinstance(items, Sequence) else items.entries)
        if count > caps.ITEMS:
            problems.error(Code.TOO_LARGE, f"{count:,} items; {caps.ITEMS:,} are allowed", items.place)
    else:
        text = items.value if isinstance(items.value, str) else ""
        if not (template.is_template(text) or tags.in_text(text) or text.lstrip()[:1] in ("[", "{")) or not text:
            remedy = 'write a list, or a template of one such as "{{ step.result }}"'
            problems.error(Code.WRONG_TYPE, f"{key} must be a list, found {kind_of(items)}", items.place, remedy)


def condition(step: Mapping, key: str, problems: Problems) -> Scalar | None:
    """A condition of a loop: an expression, a word, or a question to a model."""
    node = step.get(key)
    if node is None:
        return None
    if not isinstance(node, Scalar) or not isinstance(node.value, str | bool):
        problems.error(Code.WRONG_TYPE, f"{key} must be text or a boolean, found {kind_of(node)}", node.place)
        return None
    tags.check(node, problems)
    return node


def negated(condition: Scalar | None) -> Scalar | None:
    """The condition of another pass as that of the end: actions run before they are asked about."""
    return condition and replace(condition, value=f"not ({str(condition.value).strip()})")


def count(step: Mapping, keys: tuple[str, ...], default: int, unit: str, most: int, problems: Problems) -> Json:
    """A whole number, or a template of one."""
    written = [key for key in keys if step.get(key) is not None]
    if len(written) > 1:
        at = step.place_of(written[1])
        problems.warn(Code.TWO_SPELLINGS, f"both {written[0]} and {written[1]}", at, f"{written[0]} is used")
    node = step.get(written[0]) if written else None
    if node is None:
        return default
    if isinstance(node, Scalar) and isinstance(node.value, str) and template.is_template(node.value):
        return node.value
    return policy.whole(node, written[0], unit, 1, most, problems) or default


def parallel(step: Mapping, default: int, problems: Problems) -> Json:
    """Items under way at a time."""
    return count(step, ("max_parallel", "max_concurrent"), default, "items at a time", _MOST_PARALLEL, problems)


def passes(step: Mapping, default: int, problems: Problems) -> Json:
    """Passes, at most."""
    return count(step, ("max_iterations",), default, "passes", caps.PASSES, problems)


def variable(step: Mapping, kind: LoopKind, problems: Problems) -> str:
    """The name that a map's items have beside `item`: its `loop_var`, if it has one."""
    node = step.get("loop_var")
    if node is None:
        return ""
    written = node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
    word = written.removeprefix("$")
    if kind is not LoopKind.MAP:
        problems.warn(Code.NO_EFFECT, "loop_var of a loop without items has no effect", node.place, "remove it")
        return ""
    if not word.isidentifier() or not word.isascii() or word in dialect.RESERVED_IDS - dialect.BINDINGS:
        message = f"loop_var must be a name that no template has another use for, found {kind_of(node)}"
        problems.error(Code.BAD_ID, message, node.place, "write a word such as file")
        return ""
    return word


def refuse_shadow(step: Mapping, variable: str, steps: Container[str], problems: Problems) -> None:
    """Refuse a name for a map's items that means a step already."""
    if variable and variable in steps:
        message = f"loop_var {quoted(variable)} is the id of a step, which the loop could not read any more"
        problems.error(Code.SHADOWED, message, step.place_of("loop_var"), "call the items otherwise")


def name(step: Mapping, problems: Problems) -> str:
    """By which inner loops reach this one's bindings: its `loop_name`, or its id."""
    node = step.get("loop_name") or step.get("id")
    if isinstance(node, Scalar) and isinstance(node.value, str) and dialect.ID.fullmatch(node.value):
        return node.value
    if "loop_name" in step.entries:
        message = "loop_name must start with a letter, and have letters, digits and _ only"
        problems.error(Code.BAD_ID, message, step.place_of("loop_name"))
    return ""
