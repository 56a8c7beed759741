"""What is done about a step's failure: `on_error` in all its forms, fallback values, and handlers for every step."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from orchestrator_client.contract import template
from orchestrator_client.contract.plan import Handler, InputType, Json, OnFailure, coerce
from orchestrator_client.loader import dialect, policy, tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.text.nodes import Entry, Mapping, Node, Scalar, Sequence, kind_of, plain

KEYS = frozenset(
    {"error_types", "error_patterns", "error_codes", "handler_action", "handler_task_id", "retry_with_handler"}
    | {"max_handler_retries", "priority", "fallback_value", "continue_on_handler_failure", "timeout", "enabled"}
)
INERT = frozenset({"log_level", "capture_error_context", "name", "description"})
"""Keys of a handler that say nothing: every failure is logged, with its context."""

RETRY = "retry"
"""The action of a handler that does nothing but try again."""

_SECTIONS = ("on_error", "error_handlers")
_FALLBACKS = ("fallback_value", "fallback_data")
_LAST = 1_000_000
"""Priority of a step's own fallback value, behind every handler."""

_MOST = 50
"""Handlers of one step."""
_RETRIES = 100
_SHARED_BYTES = 16 * 1024 * 1024
"""Size of all copies of the handlers that stand at the top, one for each step."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """The handlers of a step in the order in which they are asked."""

    handlers: tuple[Handler, ...] = ()
    texts: tuple[Node, ...] = ()
    """What the worker renders when it handles a failure."""
    policy: OnFailure | None = None
    """Where `on_error` says what belongs to `on_failure`: its meaning is clear."""

    @property
    def saves(self) -> bool:
        """Whether a step that can only fail may end well all the same."""
        return any(handler.asks or handler.has_fallback for handler in self.handlers)


def read(step: Mapping, steps: Collection[str], also: tuple[Handler, ...], problems: Problems) -> Recovery:
    """What a step says about its failures, with the handlers that stand elsewhere."""
    found: list[Handler] = [*also]
    texts: list[Node] = []
    written = [key for key in _SECTIONS if step.get(key) is not None]
    if len(written) > 1:
        problems.warn(
            Code.TWO_SPELLINGS, "both on_error and error_handlers", step.place_of(written[1]), "on_error is used"
        )
    node = step.get(written[0]) if written else None
    word = node.text.strip().lower() if isinstance(node, Scalar) else ""
    policy_word = OnFailure(word) if word in frozenset(OnFailure) else None
    if node is not None and policy_word is None:
        found += _section(node, steps, texts, problems)
    found += _fallback(step, texts, problems)
    own = step.get("id")
    if isinstance(own, Scalar) and any(handler.step == own.text for handler in found):
        problems.error(Code.CYCLE, "the step handles its own failure", step.place_of("on_error"), "name another step")
    ordered = tuple(sorted(found, key=lambda handler: handler.priority))
    return Recovery(ordered, tuple(texts), policy_word)


def called(root: Node) -> frozenset[str]:
    """All words in a file that may name a step which handles failures."""
    return frozenset(_words(root))


def _words(node: Node) -> Iterator[str]:
    """The words below a node that stand where a handler may."""
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _words(item)
    elif isinstance(node, Mapping):
        for key, entry in node.entries.items():
            if key in (*_SECTIONS, "global_error_handlers"):
                yield from _handlers_in(entry.value)
            else:
                yield from _words(entry.value)


def _handlers_in(section: Node) -> Iterator[str]:
    """The steps that a section may name."""
    items: Iterable[Node] = section.items if isinstance(section, Sequence) else (section,)
    for item in items:
        named = (
            [item.get(key) for key in ("handler_task_id", "handler_action")] if isinstance(item, Mapping) else [item]
        )
        yield from (node.text.strip() for node in named if isinstance(node, Scalar))


def shared(node: Node | None, steps: Collection[str], copies: int, problems: Problems) -> tuple[Handler, ...]:
    """The handlers of every step, of which the plan will hold so many copies."""
    if node is None:
        return ()
    handlers = tuple(_section(node, steps, [], problems))
    size = sum(len(json.dumps(handler.model_dump(), default=str)) for handler in handlers)
    if size * copies > _SHARED_BYTES:
        message = f"global_error_handlers take {size:,} bytes in each of {copies:,} steps"
        problems.error(Code.TOO_LARGE, message, node.place, "set on_error on the steps that need it")
        return ()
    return handlers


def _section(node: Node, steps: Collection[str], texts: list[Node], problems: Problems) -> Iterator[Handler]:
    """The handlers of a text, a mapping or a list of both."""
    items = node.items if isinstance(node, Sequence) else [node]
    if len(items) > _MOST:
        problems.error(Code.TOO_LARGE, f"{len(items)} error handlers; {_MOST} are allowed", node.place)
        return
    for item in items:
        if (handler := _one(item, steps, texts, problems)) is not None:
            yield handler


def _one(node: Node, steps: Collection[str], texts: list[Node], problems: Problems) -> Handler | None:
    """One handler, or None where it is switched off or cannot be read."""
    if isinstance(node, Mapping):
        return _record(node, steps, texts, problems)
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
        message = f"an error handler must be a step's id, an instruction or a mapping, found {kind_of(node)}"
        problems.error(Code.WRONG_TYPE, message, node.place)
        return None
    text = node.value.strip()
    # A text alone says what is done instead of the step; only the long form speaks of doing the step again.
    if text in steps:
        return Handler(step=text, retry=False)
    action = _action(node, steps, texts, problems)
    return Handler(action=action, retry=action == RETRY)


def _action(node: Scalar, steps: Collection[str], texts: list[Node], problems: Problems) -> str:
    """`retry`, or what a model is told. One word that is no step's id hardly is an instruction."""
    text = str(node.value).strip()
    tags.check(node, problems)
    texts.append(node)
    if text.lower() == RETRY:
        return RETRY
    if dialect.ID.fullmatch(text) and (near := problems.nearest(text, steps)) is not None:
        problems.error(Code.UNKNOWN_STEP, f"no step {quoted(text)}", node.place, f"did you mean '{near}'?")
    return tags.prose(text)


def _record(node: Mapping, steps: Collection[str], texts: list[Node], problems: Problems) -> Handler | None:
    """A handler in its long form."""
    for key, entry in node.entries.items():
        if key in INERT:
            problems.warn(Code.NO_EFFECT, f"{quoted(key)} of an error handler has no effect", entry.key.place)
        elif key not in KEYS:
            remedy = problems.did_you_mean(key, KEYS)
            problems.error(Code.UNKNOWN_KEY, f"unknown key {quoted(key)} in an error handler", entry.key.place, remedy)
    values: dict[str, Json] = {
        **{key: policy.texts(listed, key, problems) for key in _LISTS if (listed := node.get(key)) is not None},
        **_what(node, steps, texts, problems),
        **_how(node, problems),
    }
    if not any(key in values for key in ("action", "step", "fallback_value")):
        message = "an error handler without handler_action, handler_task_id or fallback_value"
        problems.error(Code.NO_ACTION, message, node.place, "add one of them")
    enabled = _flag(node, "enabled", True, problems)
    return Handler(**{key: value for key, value in values.items() if value is not None}) if enabled else None


_LISTS = ("error_types", "error_patterns", "error_codes")


def _what(node: Mapping, steps: Collection[str], texts: list[Node], problems: Problems) -> dict[str, Json]:
    """What the handler does."""
    values: dict[str, Json] = {}
    action, task = node.get("handler_action"), node.get("handler_task_id")
    if isinstance(action, Scalar) and isinstance(action.value, str) and action.value.strip():
        text = action.value.strip()
        values |= {"step": text} if text in steps else {"action": _action(action, steps, texts, problems)}
    elif action is not None:
        message = f"handler_action must be retry or an instruction, found {kind_of(action)}"
        problems.error(Code.WRONG_TYPE, message, action.place)
    if task is not None:
        name = task.text.strip() if isinstance(task, Scalar) else kind_of(task)
        values["step"] = name
        if name not in steps:
            remedy = problems.did_you_mean(name, steps) or "add it, or write handler_action"
            problems.error(Code.UNKNOWN_STEP, f"no step {quoted(name)}", task.place, remedy)
    if "fallback_value" in node.entries:
        values |= _value(node.entries["fallback_value"], texts, problems)
    return values


def _how(node: Mapping, problems: Problems) -> dict[str, Json]:
    """How often and how long, and what comes after it."""
    values: dict[str, Json] = {
        "retry": _flag(node, "retry_with_handler", True, problems),
        "proceed": _flag(node, "continue_on_handler_failure", False, problems),
        "timeout_seconds": policy.timeout_seconds(node.get("timeout"), problems),
    }
    if (retries := node.get("max_handler_retries")) is not None:
        values["max_retries"] = policy.whole(retries, "max_handler_retries", "retries", 0, _RETRIES, problems)
    if (priority := node.get("priority")) is not None:
        values["priority"] = policy.whole(priority, "priority", "points", -_LAST, _LAST, problems)
    return values


def _fallback(step: Mapping, texts: list[Node], problems: Problems) -> Iterator[Handler]:
    """The value that stands for the step's own when nothing else has helped."""
    written = [key for key in _FALLBACKS if key in step.entries]
    if len(written) > 1:
        at = step.place_of(written[1])
        problems.warn(Code.TWO_SPELLINGS, f"both {written[0]} and {written[1]}", at, f"{written[0]} is used")
    if written:
        yield Handler(**_value(step.entries[written[0]], texts, problems), retry=False, priority=_LAST)


def _value(entry: Entry, texts: list[Node], problems: Problems) -> dict[str, Json]:
    """A value that takes the place of a result; null is one too."""
    tags.check(entry.value, problems)
    texts.append(entry.value)
    return {"fallback_value": plain(entry.value), "has_fallback": True}


def _flag(node: Mapping, key: str, default: bool, problems: Problems) -> bool:
    """A boolean of a handler, as written or spelled."""
    found = node.get(key)
    if found is None:
        return default
    try:
        return bool(coerce(plain(found), InputType.BOOLEAN))
    except ValueError:
        message = f"{key} must be true or false, found {kind_of(found)}"
        is_condition = isinstance(found, Scalar) and template.is_template(found.text)
        remedy = "name a step with that condition as handler_task_id" if is_condition else ""
        problems.error(Code.WRONG_TYPE, message, found.place, remedy)
        return default
