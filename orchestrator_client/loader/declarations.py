"""What a pipeline takes and gives: `parameters`, `inputs` and `outputs` at the top of the file."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from orchestrator_client.contract.plan import Input, InputType, Json, coerce
from orchestrator_client.loader import dialect, placeholders, tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.references import Scope, named
from orchestrator_client.loader.text.nodes import Entry, Mapping, Node, Scalar, Sequence, kind_of, plain

OUTPUTS_SHOWN = 12
"""Outputs of a cycle that a message spells out."""

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def inputs(root: Mapping, problems: Problems) -> dict[str, Input]:
    """The declared inputs: `parameters` and `inputs` are one namespace, in which the latter wins."""
    declared: dict[str, Input] = {}
    for section in ("parameters", "inputs"):
        node = root.get(section)
        if isinstance(node, Sequence):
            node = _from_list(section, node, problems)
        if isinstance(node, Mapping):
            for name in node.entries:
                declared[name] = _input(name, node, declared.get(name), problems)
        elif node is not None:
            message = f"{section} must be a mapping of names, found {kind_of(node)}"
            problems.error(Code.WRONG_TYPE, message, node.place)
    return declared


def _from_list(section: str, node: Sequence, problems: Problems) -> Mapping:
    """The mapping that a list of `{name: …, default: …}` or of `{name: {default: …}}` stands for."""
    problems.warn(Code.INPUTS_LIST, f"{section} is a list", node.place, "write a mapping of name: {default: …}")
    found = Mapping(*node.place)
    for item in node.items:
        entries = item.entries if isinstance(item, Mapping) else {}
        if "name" in entries and isinstance(name := entries["name"].value, Scalar):
            rest = {key: entry for key, entry in entries.items() if key != "name"}
            entries = {name.text: Entry(name, Mapping(*item.place, rest))}
        elif len(entries) != 1 or dialect.INPUT_KEYS & entries.keys():
            problems.error(Code.WRONG_TYPE, "an input in a list must be {name: …, default: …}", item.place)
            continue
        for twice in entries.keys() & found.entries.keys():
            message = f"input {quoted(twice)} stands in the list twice"
            problems.error(Code.DUPLICATE_KEY, message, item.place, "remove one of them")
        found.entries |= entries
    return found


def _input(name: str, section: Mapping, before: Input | None, problems: Problems) -> Input:
    """One input: its long form where any key of one is there, else a direct value.

    A direct value under `inputs` is a default for the declaration of that name under `parameters`.
    """
    node, at = section.entries[name].value, section.place_of(name)
    tags.refuse(node, "in the value of an input", problems)
    if not _NAME.fullmatch(name):
        remedy = f"read it as inputs[{quoted(name)}], or rename it"
        problems.warn(Code.INPUT_NAME, f"no template can read {{{{ {name[:40]} }}}}", at, remedy)
    if isinstance(node, Mapping) and dialect.INPUT_KEYS & node.entries.keys():
        return _declaration(name, node, problems)
    if before is not None:
        return before.model_copy(update={"default": _coerced(name, plain(node), before.type, node, problems)})
    return Input(default=plain(node))


def _declaration(name: str, node: Mapping, problems: Problems) -> Input:
    """An input in its long form."""
    for key in node.entries.keys() - dialect.INPUT_KEYS:
        if key in dialect.INPUT_INERT:
            problems.warn(Code.NO_EFFECT, f"{quoted(key)} of an input is not enforced", node.place_of(key))
        else:
            remedy = problems.did_you_mean(key, dialect.INPUT_KEYS)
            message = f"unknown key {quoted(key)} in input {quoted(name)}"
            problems.error(Code.UNKNOWN_KEY, message, node.place_of(key), remedy)
    kind = _type(node.get("type"), problems)
    choices = _choices(name, node, kind, problems)
    default = node.get("default")
    value = None if default is None else _coerced(name, plain(default), kind, default, problems)
    if default is not None and choices is not None and value not in choices:
        problems.error(Code.WRONG_VALUE, f"the default of {quoted(name)} is none of its choices", default.place)
    return Input(
        type=kind,
        default=value,
        required=_flag(node, "required", problems),
        choices=choices,
        description=_text(node.get("description")),
    )


def _type(node: Node | None, problems: Problems) -> InputType:
    """The declared type; `any` where none is written."""
    if node is None:
        return InputType.ANY
    written = node.text if isinstance(node, Scalar) else kind_of(node)
    if (name := dialect.INPUT_TYPES.get(written.strip().lower())) is not None:
        return InputType(name)
    remedy = problems.did_you_mean(written, dialect.INPUT_TYPES) or f"types: {', '.join(InputType)}"
    problems.error(Code.WRONG_VALUE, f"no input type {quoted(written)}", node.place, remedy)
    return InputType.ANY


def _choices(name: str, node: Mapping, kind: InputType, problems: Problems) -> tuple[Json, ...] | None:
    """The allowed values, coerced like a caller's would be; None where everything is allowed."""
    listed = node.get("choices") or node.get("enum")
    if listed is None:
        return None
    if not isinstance(listed, Sequence) or not listed.items:
        problems.error(
            Code.WRONG_TYPE, f"choices of {quoted(name)} must be a list, found {kind_of(listed)}", listed.place
        )
        return None
    return tuple(_coerced(name, plain(item), kind, item, problems) for item in listed.items)


def _coerced(name: str, value: Json, kind: InputType, node: Node, problems: Problems) -> Json:
    """The value as the declared type, by the same rules that bind a caller's inputs."""
    if value is None:
        return None
    try:
        return coerce(value, kind)
    except (ValueError, RecursionError):
        problems.error(Code.WRONG_TYPE, f"input {quoted(name)}: expected {kind}, found {kind_of(node)}", node.place)
        return value


def _flag(node: Mapping, key: str, problems: Problems) -> bool:
    """A boolean of the declaration, as written or spelled (`yes`, `"true"`)."""
    found = node.get(key)
    if found is None:
        return False
    try:
        return bool(coerce(plain(found), InputType.BOOLEAN))
    except ValueError:
        problems.error(Code.WRONG_TYPE, f"{key} must be true or false, found {kind_of(found)}", found.place)
        return False


def _text(node: Node | None) -> str:
    """A label as it stands in the file; empty where there is none."""
    return node.text if isinstance(node, Scalar) else ""


def namespaces(root: Mapping, inputs: Collection[str], problems: Problems) -> dict[str, Json]:
    """Sections that templates read by name, as they stand in the file; their own templates see the inputs."""
    found = {key: node for key in dialect.NAMESPACES if (node := root.get(key)) is not None}
    for key, node in found.items():
        tags.refuse(node, f"in {quoted(key)}", problems)
        scope = Scope({}, inputs, namespaces=found.keys())
        placeholders.plain([node], scope, problems)
        named(node, scope, problems)
    return {key: plain(node) for key, node in found.items()}


def outputs(root: Mapping, steps: Scope, problems: Problems) -> dict[str, Json]:
    """The outputs of a file."""
    return checked_outputs(_output_nodes(root.get("outputs"), problems), steps, problems)


def checked_outputs(nodes: dict[str, Node], steps: Scope, problems: Problems) -> dict[str, Json]:
    """The outputs, with every template in them checked."""
    scope, reads = replace(steps, outputs=nodes.keys()), {}
    for name, node in nodes.items():
        tags.refuse(node, "among the outputs", problems)
        placeholders.plain([node], scope, problems)
        reads[name] = named(node, scope, problems)
    _refuse_cycles(nodes, reads, problems)
    return {name: plain(node) for name, node in nodes.items()}


def _output_nodes(section: Node | None, problems: Problems) -> dict[str, Node]:
    """Name -> template of every output, whichever of its forms the section has."""
    match section:
        case None:
            return {}
        case Mapping():
            return {name: _output(name, entry.value, problems) for name, entry in section.entries.items()}
        case Sequence():
            problems.warn(Code.OUTPUTS_LIST, "outputs is a list", section.place, "write a mapping of name: template")
            return dict(_listed(item, problems) for item in section.items)
        case Scalar():
            message = f"outputs must be a mapping of names to templates, found {kind_of(section)}"
            problems.error(Code.WRONG_TYPE, message, section.place)
            return {}


def _listed(item: Node, problems: Problems) -> tuple[str, Node]:
    """Name and template of one item of a list of outputs."""
    name = item.get("name") if isinstance(item, Mapping) else None
    if isinstance(item, Mapping) and isinstance(name, Scalar):
        return name.text, _output(name.text, item, problems)
    if isinstance(item, Mapping) and len(item.entries) == 1 and not dialect.OUTPUT_KEYS & item.entries.keys():
        ((key, entry),) = item.entries.items()
        return key, _output(key, entry.value, problems)
    problems.error(Code.WRONG_TYPE, "an output in a list must be {name: …, value: …}", item.place)
    return "", item


def _output(name: str, node: Node, problems: Problems) -> Node:
    """The template of an output: the node itself, or its `value` or `source` in the long form."""
    if not isinstance(node, Mapping) or node.entries.keys() - dialect.OUTPUT_KEYS:
        return node
    long_form = [key for key in ("value", "source") if key in node.entries]
    if long_form:
        return node.entries[long_form[0]].value
    if "type" in node.entries or "location" in node.entries:
        problems.warn(Code.NO_EFFECT, f"output {quoted(name)} has no value", node.place, "add value: with a template")
    return node


def _refuse_cycles(nodes: dict[str, Node], reads: dict[str, list[str]], problems: Problems) -> None:
    """Outputs may read each other, but not themselves in the end."""
    try:
        TopologicalSorter(reads).prepare()
    except CycleError as error:
        # The sorter names what is read before what reads it, and the first of them twice.
        cycle = " → ".join(reversed(error.args[1][:OUTPUTS_SHOWN]))
        at = nodes[error.args[1][-1]].place
        problems.error(Code.CYCLE, f"outputs read each other in a circle: {cycle}", at, "break the cycle")
