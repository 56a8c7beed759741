"""AUTO tags where they ask a model for a value: whether each is whole, and what the worker is left to ask.

Tags stay in the plan as they were written, and are answered when the step starts, inner ones first. In the place of a
model a tag asks for the choice of one, see `selection`.
"""

from __future__ import annotations

import re

from orchestrator_client.contract import template
from orchestrator_client.loader import dialect
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.text.nodes import Node, Scalar, scalars_in

_LEVELS = 8
"""Tags within tags: each level is one more call of a model before the step starts."""

_MENTIONED = re.compile(r"<AUTO(?=[\s>]|$)")
_MARK = re.compile(r"<AUTO(?P<attributes>\s[^<>]*)?>|</AUTO>|<AUTO(?=[\s>]|$)")
_WHOLE = re.compile(r"<AUTO(?:\s[^<>]*)?>(.*)</AUTO>", re.DOTALL)
ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=]+))""")
"""A name, and its value in double quotes, in single quotes or without."""


def in_text(text: str) -> bool:
    """Whether the text has a tag, or the beginning of one."""
    return dialect.AUTO in text and _MENTIONED.search(text) is not None


def in_node(node: Node) -> bool:
    """Whether anything below a node has a tag."""
    return any(isinstance(scalar.value, str) and in_text(scalar.value) for scalar in scalars_in(node))


def is_vague(node: Node | None) -> bool:
    """Whether a tag below a node names nothing that it asks about: it is about whatever came before."""
    texts = (scalar.value for scalar in (scalars_in(node) if node is not None else ()) if isinstance(scalar.value, str))
    return any(in_text(text) and not template.is_template(text) for text in texts)


def prose(text: str) -> str:
    """What a text that is one tag asks; any other text whole, with the tags in it."""
    whole = _WHOLE.fullmatch(text.strip())
    # Two tags side by side would match as one.
    return whole[1].strip() if whole and _fault(whole[1], _LEVELS) is None else text.strip()


def check(node: Node | None, problems: Problems) -> None:
    """Add what is wrong with the tags below a node, which a worker could not answer."""
    for scalar in scalars_in(node) if node is not None else ():
        if isinstance(scalar.value, str) and in_text(scalar.value):
            fault = _fault(scalar.value, _LEVELS)
            if fault is not None:
                _add(scalar, fault, problems)


def refuse(node: Node, why: str, problems: Problems) -> None:
    """Refuse tags where a value is needed before any model can be asked."""
    for scalar in scalars_in(node):
        if isinstance(scalar.value, str) and in_text(scalar.value):
            line = scalar.value.count("\n", 0, scalar.value.find(dialect.AUTO)) + 1
            remedy = "write the value, or compute it in a step of its own"
            at = scalar.place_of_line(line)
            problems.error(Code.NOT_YET, f"an <AUTO> tag {why} is not in this release", at, remedy)


Fault = tuple[Code, str, str, int]
"""Code, message and remedy of what is wrong, and its offset in the text."""


def _fault(text: str, levels: int) -> Fault | None:
    """The first thing wrong with the tags of a text."""
    opened: list[re.Match[str]] = []
    for mark in _MARK.finditer(text):
        if mark[0] == "</AUTO>":
            if not opened:
                return Code.WRONG_VALUE, "</AUTO> closes no tag", "remove it", mark.start()
            if not text[opened.pop().end() : mark.start()].strip():
                return Code.WRONG_VALUE, "an <AUTO> tag that asks nothing", _ASK, mark.start()
            continue
        attributes = mark["attributes"] or ""
        if not mark[0].endswith(">") or ATTRIBUTE.sub("", attributes).strip():
            message = f"the attributes of {quoted(mark[0])} cannot be read"
            return Code.WRONG_VALUE, message, 'write <AUTO type="integer">…</AUTO>', mark.start()
        opened.append(mark)
        if len(opened) > levels:
            return Code.TOO_DEEP, f"<AUTO> tags nest deeper than {levels} levels", "", mark.start()
    if not opened:
        return None
    last = opened[-1]
    if not text[last.end() :].strip():
        return Code.WRONG_VALUE, "an <AUTO> tag that asks nothing", _ASK, last.start()
    return Code.WRONG_VALUE, "an <AUTO> tag that is never closed", "end it with </AUTO>", last.start()


_ASK = "write what is to be decided between <AUTO> and </AUTO>"


def _add(scalar: Scalar, fault: Fault, problems: Problems) -> None:
    """Add a fault, with its line in the file."""
    code, message, remedy, offset = fault
    problems.error(code, message, scalar.place_of_line(scalar.text.count("\n", 0, offset) + 1), remedy)
