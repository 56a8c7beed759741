"""The names that loops bind, and their older spelling: `$item` for `item`, `$outer.item` for `loops.outer.item`."""

from __future__ import annotations

import re
from collections.abc import Collection

from orchestrator_client.contract import template
from orchestrator_client.loader import dialect
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, scalars_in

_OPENING = re.compile(r"\{[{%#]")
_INSIDE = re.compile(r"""\}\}|%\}|"[^"]*"|'[^']*'|\$([A-Za-z_]\w*)""")
_OUTSIDE = re.compile(r"""\{\{|\}\}|"[^"]*"|'[^']*'|\$([A-Za-z_]\w*)""")
"""What may stand in a condition around its braces."""

_CONDITIONS = frozenset({"condition", "if", "while", "until", "while_condition", "loop_condition"})
"""Keys whose text is an expression even without braces."""

_OF_THE_BODY = frozenset({"steps", "action_loop", "create_parallel_queue", "parallel_queue"})
"""Keys that hold steps, which are read by themselves."""


def plain_names(step: Mapping, loops: Collection[str]) -> None:
    """Write every name of a step's templates as the worker knows it; `loops` are the names of the loops around."""
    for key, entry in step.entries.items():
        if key not in _OF_THE_BODY:
            _rewrite(entry.value, key in _CONDITIONS, loops)


def _rewrite(node: Node, is_condition: bool, loops: Collection[str]) -> None:
    """Change the values below a node; their text stays as it is in the file, for messages."""
    for scalar in scalars_in(node):
        if isinstance(scalar.value, str) and "$" in scalar.value:
            scalar.value = _plain(scalar, is_condition, loops)


def _plain(scalar: Scalar, is_condition: bool, loops: Collection[str]) -> str:
    text = str(scalar.value)
    if template.is_template(text):
        text = _in_template(text, loops)
    # A tag's prose may be about dollars.
    if is_condition and dialect.AUTO not in text:
        return _OUTSIDE.sub(lambda found: _name(found, loops), text)
    return text


def _in_template(text: str, loops: Collection[str]) -> str:
    """The text with the names within its braces rewritten; comments, and texts in quotes, stay."""
    pieces, at = [], 0
    while opening := _OPENING.search(text, at):
        pieces.append(text[at : opening.end()])
        at = opening.end()
        if opening[0] == "{#":
            end = text.find("#}", at)
            end = len(text) if end < 0 else end
            pieces.append(text[at:end])
            at = end
            continue
        while found := _INSIDE.search(text, at):
            pieces += [text[at : found.start()], _name(found, loops)]
            at = found.end()
            if found[0] in ("}}", "%}"):
                break
        else:
            break
    return "".join([*pieces, text[at:]])


def _name(found: re.Match[str], loops: Collection[str]) -> str:
    """What stands for a `$name`; anything else that was found as it is."""
    name = found[1]
    if name is None:
        return found[0]
    return f"loops.{name}" if name in loops and name not in dialect.BINDINGS else name
