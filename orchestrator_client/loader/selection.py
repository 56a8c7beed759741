"""How a step chooses among models: `AUTO`, an `<AUTO …>` tag in the place of a model, `selection`, `requires_model`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

from pydantic import ValidationError

from orchestrator_client.contract.models import AUTO, TASKS, Expertise, Selection, Strategy, task_of
from orchestrator_client.loader import dialect
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.references import has_template
from orchestrator_client.loader.tags import ATTRIBUTE
from orchestrator_client.loader.text import nodes
from orchestrator_client.loader.text.nodes import Entry, Mapping, Node, Scalar, kind_of, plain

NO_REQUIREMENT = "none"
"""What existing files write for a `requires_model` that requires nothing."""

_TAG = re.compile(r"<AUTO((?:\s[^<>]*)?)>(?:(.*)</AUTO>|((?:(?!</AUTO>).)*))", re.DOTALL)
"""A tag that is the whole text: its attributes, and its prose if it is closed or left open."""

_OTHER_NAMES = {"min_size": "min_size_billions"}
_WORDS: dict[str, type[StrEnum]] = {"strategy": Strategy, "expertise": Expertise}
"""Entries that take one of a few words."""


def is_auto(text: str) -> bool:
    """Whether a model's name leaves the choice to the worker."""
    return text.strip() == AUTO or text.lstrip().startswith(dialect.AUTO)


def of_auto(node: Scalar, problems: Problems) -> Mapping:
    """What the tag in the place of a model asks for; empty for plain `AUTO`. What cannot be read is added."""
    asked = Mapping(*node.place)
    if node.text.strip() == AUTO:
        return asked
    tag = _TAG.fullmatch(node.text.strip())
    if tag is None or ATTRIBUTE.sub("", tag[1]).strip():
        remedy = 'write model: AUTO, or <AUTO task="analysis">…</AUTO>'
        problems.error(Code.WRONG_VALUE, f"model {quoted(node.text)} is no whole <AUTO> tag", node.place, remedy)
        return asked
    for name, *values in ATTRIBUTE.findall(tag[1]):
        text = next(filter(None, values), "")
        asked.entries[name] = Entry(Scalar(*node.place, name, name), Scalar(*node.place, text, text))
    # The prose is for people, but for a word that says what a tag without the attribute leaves out.
    if "task" not in asked.entries and (task := task_of(tag[2] or tag[3] or "")) in TASKS.values():
        asked.entries["task"] = Entry(Scalar(*node.place, "task", "task"), Scalar(*node.place, task, task))
    return _known(asked, "an <AUTO> tag", problems)


def of_requirement(node: Node | None, problems: Problems) -> Mapping | None:
    """What `requires_model` asks for; None where it is absent or says that there is no requirement."""
    if node is None or (isinstance(node, Scalar) and node.text.strip().lower() == NO_REQUIREMENT):
        return None
    if not isinstance(node, Mapping):
        remedy = 'write {min_size: "7B", expertise: high}, or name a model with model:'
        problems.error(Code.WRONG_TYPE, f"requires_model must be a mapping, found {kind_of(node)}", node.place, remedy)
        return None
    return _known(node, "requires_model", problems)


def checked(sources: Iterable[Node | None], problems: Problems) -> Node | None:
    """The `selection` of a step, from what asks for it: an earlier source wins, entry by entry.

    A source that is a template is known too late to be put together with others, and stands alone.
    """
    given = [source for source in sources if source is not None]
    if not given or not isinstance(given[0], Mapping):
        return given[0] if given else None
    merged = Mapping(*given[0].place)
    for source in given:
        if isinstance(source, Mapping):
            merged.entries = {**source.entries, **merged.entries}
    merged.entries = {key: _entry(key, entry, problems) for key, entry in merged.entries.items()}
    return merged if merged.entries else None


def _known(node: Mapping, what: str, problems: Problems) -> Mapping:
    """The entries under the names of `Selection`; the others have no effect."""
    known = Mapping(*node.place)
    for key, entry in node.entries.items():
        name = _OTHER_NAMES.get(key, key)
        if name in Selection.model_fields:
            known.entries[name] = entry
        else:
            remedy = problems.did_you_mean(key, Selection.model_fields.keys())
            problems.warn(Code.NO_EFFECT, f"{quoted(key)} of {what} has no effect", entry.key.place, remedy)
    return known


def _entry(key: str, entry: Entry, problems: Problems) -> Entry:
    """One entry as the worker compares it; what is wrong with it is added. A template is left for later."""
    if has_template(entry.value):
        return entry
    if key not in Selection.model_fields:
        remedy = problems.did_you_mean(key, Selection.model_fields.keys())
        problems.warn(Code.UNKNOWN_PARAMETER, f"selection ignores {quoted(key)}", entry.key.place, remedy)
        return entry
    try:
        value = Selection.model_validate({key: plain(entry.value)}).model_dump(mode="json")[key]
    except ValidationError as error:
        _refuse(key, entry, error.errors()[0]["msg"], problems)
        return entry
    return Entry(entry.key, _constant(value, entry.value.place))


def _refuse(key: str, entry: Entry, reason: str, problems: Problems) -> None:
    """Say what an entry may be: which words, else what the record wants."""
    if key in _WORDS:
        written = entry.value.text if isinstance(entry.value, Scalar) else kind_of(entry.value)
        words = list(_WORDS[key])
        remedy = problems.did_you_mean(written.lower(), words) or f"write one of {', '.join(words)}"
        problems.error(Code.WRONG_VALUE, f"no {key} {quoted(written)}", entry.value.place, remedy)
        return
    wanted = reason.removeprefix("Input should be ")
    message = f"{key} of a selection should be {wanted}, found {kind_of(entry.value)}"
    problems.error(Code.WRONG_TYPE, message, entry.value.place)


def _constant(value: object, at: Place) -> Node:
    """A value as a node that stands where the written one does."""
    node = nodes.of(sorted(value) if isinstance(value, list) else value)
    node.line, node.column = at
    return node
