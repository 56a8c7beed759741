"""The keys of a step: which are refused, unknown or without effect, and which may not hold a question to a model."""

from __future__ import annotations

from orchestrator_client.loader import dialect, tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.text.nodes import Mapping, Scalar

_LABELS = frozenset({"description", "name", "metadata"})
"""Keys that nothing ever renders."""
_ASKING = frozenset(
    {"model", "parameters", "inputs", "condition", "if", "action", "tool", "on_error", "error_handlers"}
    | {"fallback_value", "fallback_data", "for_each", "foreach", "items", "create_parallel_queue", "parallel_queue"}
    | {"while", "while_condition", "loop_condition", "until", "action_loop", "steps"}
    | dialect.STEP_JUMP_KEYS.keys()
    | dialect.STEP_INERT
)
"""Keys in which a tag may stand, or which see to their tags themselves."""
_UNDERSTOOD = dialect.STEP_KEYS | dialect.STEP_LOOP_KEYS | dialect.STEP_INERT | dialect.STEP_LATER.keys()


def check(step: Mapping, problems: Problems) -> bool:
    """Whether the step is refused for a key that comes in a later release."""
    later = [key for key in step.entries if key in dialect.STEP_LATER]
    for key in later:
        message = f"{quoted(key)} ({dialect.STEP_LATER[key]}) in a step is not in this release"
        problems.error(Code.NOT_YET, message, step.place_of(key))
    for key in step.entries.keys() - _LABELS:
        if key not in _ASKING:
            tags.refuse(step.entries[key].value, f"in {quoted(key)}", problems)
        if key not in _UNDERSTOOD:
            remedy = problems.did_you_mean(key, _UNDERSTOOD)
            problems.error(Code.UNKNOWN_KEY, f"unknown key {quoted(key)} in a step", step.place_of(key), remedy)
        elif key in dialect.STEP_INERT or (key == "type" and not is_type(step, dialect.STEP_TYPES)):
            problems.warn(Code.NO_EFFECT, f"{quoted(key)} of a step has no effect", step.place_of(key))
    return bool(later)


def is_type(step: Mapping, types: frozenset[str]) -> bool:
    """Whether `type` says one of these."""
    node = step.get("type")
    return isinstance(node, Scalar) and node.text in types
