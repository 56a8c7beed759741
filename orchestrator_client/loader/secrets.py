"""Where a plan may ask for a secret: in a parameter of a tool, in a text without templates."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator_client.contract.plan import StepKind
from orchestrator_client.contract.secret import PATTERN
from orchestrator_client.contract.template import is_template
from orchestrator_client.loader import dialect
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, Sequence

_SECTIONS = ("parameters", "inputs", "outputs", *dialect.NAMESPACES)


def check(settings: Mapping, kind: StepKind, problems: Problems) -> None:
    """Refuse a secret that the step could not be given, or that would go where it must not."""
    for text, name in _asked_for(settings):
        if kind is not StepKind.TOOL:
            remedy = "give it to a tool"
            problems.error(Code.SECRET, f"secret {quoted(name)} would be sent to a model", text.place, remedy)
        elif is_template(str(text.value)):
            remedy = "write it in a parameter of its own, such as a header or a variable of the environment"
            problems.error(Code.SECRET, f"secret {quoted(name)} stands beside a template", text.place, remedy)


def check_sections(root: Mapping, problems: Problems) -> None:
    """Refuse secrets where values are kept for everybody to read."""
    for key in _SECTIONS:
        for text, name in _asked_for(root.get(key)):
            message = f"secret {quoted(name)} in {key} stays the text that it is"
            problems.error(
                Code.SECRET, message, text.place, "write secret://… in the parameter of the tool that needs it"
            )


def _asked_for(node: Node | None) -> Iterator[tuple[Scalar, str]]:
    """Each text that asks for a secret, and the secret's name."""
    match node:
        case Scalar():
            if isinstance(node.value, str) and (found := PATTERN.search(node.value)):
                yield node, found[1]
        case Sequence():
            for item in node.items:
                yield from _asked_for(item)
        case Mapping():
            for entry in node.entries.values():
                yield from _asked_for(entry.value)
