"""From text to nodes: YAML 1.2 as far as JSON goes, every node with its place in the file.

The parser's events are taken one by one, so a file is refused at the first thing that is too much of anything, and no
alias is ever expanded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml import events as yaml
from ruamel.yaml.error import MarkedYAMLError

from orchestrator_client.contract import caps
from orchestrator_client.contract.plan import Json
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.text import auto, scalars, syntax


@dataclass(slots=True)
class Scalar:
    """A single value. `text` is what stands in the file, without quotes; `literal` marks a block that starts with |."""

    line: int
    column: int
    text: str
    value: Json
    literal: bool = False

    @property
    def place(self) -> Place:
        return Place(self.line, self.column)

    def place_of_line(self, line: int) -> Place:
        """Where a line of the text (from 1) stands in the file; exact for a literal block, else where it starts."""
        return Place(self.line + line, 1) if self.literal and line else self.place


@dataclass(slots=True)
class Sequence:
    """A list."""

    line: int
    column: int
    items: list[Node] = field(default_factory=list)

    @property
    def place(self) -> Place:
        return Place(self.line, self.column)


class Entry(NamedTuple):
    """A key and its value."""

    key: Scalar
    value: Node


@dataclass(slots=True)
class Mapping:
    """A mapping; keys are unique, and in the order of the file."""

    line: int
    column: int
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        return Place(self.line, self.column)

    def get(self, key: str) -> Node | None:
        """The value of a key. A key without a value, or with `null`, counts as absent."""
        entry = self.entries.get(key)
        return None if entry is None or is_null(entry.value) else entry.value

    def place_of(self, key: str) -> Place:
        """Where a key stands; where the mapping starts if it has no such key."""
        return self.entries[key].key.place if key in self.entries else self.place


Node = Scalar | Sequence | Mapping


def is_null(node: Node) -> bool:
    """Whether the file says `null`, or nothing."""
    return isinstance(node, Scalar) and node.value is None


def plain(node: Node) -> Json:
    """The JSON that a node stands for."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(entry.value) for key, entry in node.entries.items()}


def kind_of(node: Node) -> str:
    """What a person would call the node."""
    match node:
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=bool()):
            return f"the boolean {node.text}"
        case Scalar(value=str()):
            return f"the text {quoted(node.text)}"
        case Scalar():
            return f"the number {quoted(node.text)[1:-1]}"


def scalars_in(node: Node, keys: bool = False) -> Iterator[Scalar]:
    """Every scalar below a node, in the order of the file; with `keys`, those of mappings too."""
    match node:
        case Scalar():
            yield node
        case Sequence():
            for item in node.items:
                yield from scalars_in(item, keys)
        case Mapping():
            for entry in node.entries.values():
                if keys:
                    yield entry.key
                yield from scalars_in(entry.value, keys)


def of(value: Json, path: str = "", depth: int = 0) -> Node:
    """The node of a value that was built in Python; it has no place.

    Raises:
        ValueError: something in it is not JSON; the message names it by its path.
    """
    if depth > caps.PLAN_DEPTH:
        raise ValueError(f"{path[:80]} is nested deeper than {caps.PLAN_DEPTH} levels")
    match value:
        case dict():
            if odd := [key for key in value if not isinstance(key, str)]:
                raise ValueError(f"key {odd[0]!r} of {path or 'the value'} is not text")
            entries = {
                key: Entry(Scalar(0, 0, key, key), of(inner, f"{path}.{key}", depth + 1))
                for key, inner in value.items()
            }
            return Mapping(0, 0, entries)
        case list() | tuple():
            return Sequence(0, 0, [of(inner, f"{path}[{i}]", depth + 1) for i, inner in enumerate(value)])
        case float() if not math.isfinite(value):
            raise ValueError(f"{path} is not a finite number: {value}")
        case str() | bool() | int() | float() | None:
            return Scalar(0, 0, value if isinstance(value, str) else str(value), value)
    raise ValueError(f"{path} is a {type(value).__name__}, which JSON cannot say")


def compose(text: str, problems: Problems) -> Node | None:
    """The document of a file, or None where there is none or it cannot be read; `problems` says which."""
    if (tags := text.count("<AUTO")) > caps.PLAN_TAGS:
        problems.error(Code.TOO_LARGE, f"{tags:,} <AUTO> tags; at most {caps.PLAN_TAGS:,} are read", Place(1, 1))
        return None
    protected = auto.protect(text)
    composer = _Composer(problems, protected)
    parser: Any = YAML(typ="safe", pure=True)
    try:
        for event in parser.parse(protected.text):
            composer.take(event)
    except MarkedYAMLError as error:
        syntax.report(error, protected.text, problems)
        return None
    except _TooMuchError:
        return None
    return composer.root


class _TooMuchError(Exception):
    """The rest of the file is not worth reading; the reason is in the problems."""


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come. `key`: of a mapping, the key whose value comes next."""

    node: Sequence | Mapping
    key: Scalar | None = None


_NO_KEY = Scalar(0, 0, "", "")
"""Stands for a key that was refused; its value is read and dropped."""


class _Composer:
    """Builds nodes from events with a stack of its own, so that depth costs no recursion."""

    def __init__(self, problems: Problems, protected: auto.Protected) -> None:
        self.root: Node | None = None
        self._problems = problems
        self._protected = protected
        self._open: list[_Open] = []
        self._nodes = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Add one event to what is open.

        Raises:
            _TooMuchError: the file passed a cap, or has more errors than are kept.
        """
        match event:
            case yaml.ScalarEvent():
                self._add(self._scalar(event), event)
            case yaml.MappingStartEvent():
                self._start(Mapping(*_place(event)), event)
            case yaml.SequenceStartEvent():
                self._start(Sequence(*_place(event)), event)
            case yaml.CollectionEndEvent():
                self._open.pop()
            case yaml.AliasEvent():
                self._refuse(event, Code.ALIAS, f"alias {quoted(event.anchor)}", "write the value out")
                self._add(Scalar(*_place(event), "", ""), event)
            case yaml.DocumentStartEvent():
                self._start_document(event)

    def _start_document(self, event: Any) -> None:
        """One plan a file: which of two would run is nobody's guess."""
        self._documents += 1
        if self._documents > 1:
            self._stop(Code.DOCUMENTS, "a second document starts here", _place(event), "put each plan in its own file")

    def _start(self, node: Sequence | Mapping, event: Any) -> None:
        """Open a collection, in its parent at once, so that what is in it needs no second visit."""
        self._check_tag(event, scalars.COLLECTION_TAGS)
        self._add(node, event)
        self._open.append(_Open(node))
        if len(self._open) > caps.PLAN_DEPTH:
            self._stop(Code.TOO_DEEP, f"nested deeper than {caps.PLAN_DEPTH} levels", node.place)

    def _scalar(self, event: Any) -> Scalar:
        """The value of a scalar; one that stands for something else keeps the text it has in the file."""
        self._check_tag(event, scalars.SCALAR_TAGS)
        at = _place(event)
        text = self._protected.restored(event.value)
        is_plain = event.style is None or event.style == ""
        value = scalars.resolve(text, event.tag, is_plain, at, self._problems)
        return Scalar(*at, value if isinstance(value, str) else text, value, literal=event.style == "|")

    def _add(self, node: Node, event: Any) -> None:
        """Put a node where it belongs: an item, a key, the value of a key, or the root."""
        self._nodes += 1
        if self._nodes > caps.PLAN_NODES:
            self._stop(Code.TOO_LARGE, f"more than {caps.PLAN_NODES:,} keys and values", node.place)
        if self._problems.full:
            raise _TooMuchError
        if event.anchor is not None and not isinstance(event, yaml.AliasEvent):
            self._refuse(
                event, Code.ANCHOR, f"anchor {quoted(event.anchor)}", "remove it; plans are written out in full"
            )
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = self._key(node, parent.node)
        else:
            self._enter(parent.node, parent.key, node)
            parent.key = None

    def _key(self, node: Node, owner: Mapping) -> Scalar:
        """The key that a node is, or a stand-in for one that was refused."""
        if not isinstance(node, Scalar):
            self._refuse_key(node, owner)
            return _NO_KEY
        if node.text == "<<" and node.value == "<<":
            self._problems.error(Code.MERGE_KEY, "merge key <<", node.place, "write the merged keys out")
            return _NO_KEY
        if not isinstance(node.value, str):
            self._problems.error(
                Code.KEY_NOT_TEXT, f"keys must be text, found {kind_of(node)}", node.place, f'quote it: "{node.text}"'
            )
        return node

    def _refuse_key(self, node: Node, owner: Mapping) -> None:
        """A collection as key: nearly always a template without quotes, which YAML reads as two mappings."""
        if isinstance(node, Mapping) and node.place == (owner.line, owner.column + 1):
            syntax.refuse_unquoted_template(owner.place, self._problems)
            self._replace(owner, Scalar(*owner.place, "", "{{ '' }}"))
        else:
            self._problems.error(Code.KEY_NOT_TEXT, f"keys must be text, found {kind_of(node)}", node.place)

    def _replace(self, old: Node, new: Scalar) -> None:
        """Put `new` where `old`, the innermost open collection, stands, so that it causes no further problems."""
        if len(self._open) < 2:
            return
        parent = self._open[-2].node
        if isinstance(parent, Sequence):
            parent.items[-1] = new
            return
        for key, entry in reversed(parent.entries.items()):
            if entry.value is old:
                parent.entries[key] = Entry(entry.key, new)
                return

    def _enter(self, mapping: Mapping, key: Scalar, value: Node) -> None:
        """Set a key once. Only of a step's parameters does the later of two values count: existing files have such."""
        if key is _NO_KEY:
            return
        if (first := mapping.entries.get(key.text)) is not None:
            message = f"key {quoted(key.text)} stands here and on line {first.key.line}"
            of_one_kind = isinstance(first.value, Scalar) and isinstance(value, Scalar)
            if not (of_one_kind and self._are_parameters(mapping)):
                self._problems.error(Code.DUPLICATE_KEY, message, key.place, "remove one of them")
                return
            self._problems.warn(Code.DUPLICATE_KEY, f"{message}, and this one counts", key.place, "remove the other")
        mapping.entries[key.text] = Entry(key, value)

    def _are_parameters(self, mapping: Mapping) -> bool:
        """Whether the innermost open mapping is a step's `parameters`; those at the top declare inputs."""
        outer = self._open[-2].node if len(self._open) > 2 else None
        entry = outer.entries.get("parameters") if isinstance(outer, Mapping) else None
        return entry is not None and entry.value is mapping

    def _check_tag(self, event: Any, allowed: frozenset[str]) -> None:
        """Refuse tags that build anything but JSON."""
        if event.tag is not None and event.tag not in allowed:
            self._refuse(event, Code.TAG, f"tag {quoted(event.tag)}", "remove it; a plan holds what JSON can say")

    def _refuse(self, event: Any, code: Code, what: str, remedy: str) -> None:
        """Add what YAML allows and a plan does not."""
        self._problems.error(code, f"{what} is not allowed in a plan", _place(event), remedy)

    def _stop(self, code: Code, message: str, at: Place, remedy: str = "") -> None:
        """Refuse the file, and read no more of it."""
        self._problems.error(code, message, at, remedy)
        raise _TooMuchError


def _place(event: Any) -> Place:
    """Where an event starts; the parser counts from 0."""
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
