"""`${name}`: another spelling of `{{ name }}`, where the plan knows the name; everywhere else it is text.

A shell has the same spelling, so nothing is taken that the plan does not declare: `${HOME}` stays as it is, and so does
what a backslash or a second dollar stands before. It is read once, when the file is: values are never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from orchestrator_client.loader import hyphens
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.references import Scope
from orchestrator_client.loader.text.nodes import Node, Scalar, scalars_in

_PLACEHOLDER = re.compile(
    r"(?P<brace>\{?)(?<![\\$])\$\{(?P<path>(?P<name>[A-Za-z_]\w*)(?P<fields>(?:\.[A-Za-z_]\w*|\[\d+\])*))\}", re.ASCII
)
_OPENING = re.compile(r"\{(?P<mark>[{#%])(?P<raw>(?<=%)[-+]?\s*raw\s*[-+]?%\})?")
_INSIDE = re.compile(r"""\}\}|%\}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
_ENDRAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_ENDCOMMENT = re.compile("#}")
"""What templates within a text begin and end with; quotes within them hide an end."""

_ROOMS = frozenset({"inputs", "parameters", "state", "steps", "outputs"})
"""Names under which others stand."""


def plain(nodes: Iterable[Node | None], scope: Scope, problems: Problems) -> None:
    """Write every placeholder below some nodes as a template, and steps with a hyphen as templates can read them.

    Their text stays as it is in the file, for messages.
    """
    for scalar in (scalar for node in nodes if node is not None for scalar in scalars_in(node)):
        if isinstance(scalar.value, str) and ("${" in scalar.value or ("{" in scalar.value and "-" in scalar.value)):
            scalar.value = "".join(_pieces(scalar, scope, problems))


def _pieces(scalar: Scalar, scope: Scope, problems: Problems) -> Iterator[str]:
    """The text with its placeholders written as templates, but for those within templates."""
    text = str(scalar.value)
    if "#}" not in text:
        # A shell's length of a variable, and no comment.
        text = text.replace("${#", "${{ '{#' }}")
    for piece, is_text in _parts(text):
        if is_text:
            yield _PLACEHOLDER.sub(lambda found: _written(found, scalar, scope, problems), piece)
        else:
            yield hyphens.spelled(piece, scope) if _is_read(piece) else piece


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a text, and whether each is text that a template writes as it stands."""
    at = 0
    while opening := _OPENING.search(text, at):
        yield text[at : opening.start()], True
        at = _end_of(text, opening)
        yield text[opening.start() : at], False
    yield text[at:], True


def _is_read(piece: str) -> bool:
    """Whether what stands within braces is read at all: a comment is not, and no more is what `raw` keeps."""
    opening = _OPENING.match(piece)
    return opening is not None and opening["mark"] != "#" and opening["raw"] is None


def _end_of(text: str, opening: re.Match[str]) -> int:
    """Where what was opened ends; what is never closed does not, and whoever checks the templates says so."""
    if opening["raw"] or opening["mark"] == "#":
        ending = (_ENDRAW if opening["raw"] else _ENDCOMMENT).search(text, opening.end())
        return ending.end() if ending else len(text)
    close = "}}" if opening["mark"] == "{" else "%}"
    found = next((found for found in _INSIDE.finditer(text, opening.end()) if found[0] == close), None)
    return found.end() if found else len(text)


def _written(found: re.Match[str], scalar: Scalar, scope: Scope, problems: Problems) -> str:
    """What stands for one placeholder."""
    if not _is_known(found["name"], found["fields"], scope):
        _warn(found, scalar, scope, problems)
        return found[0]
    # Beside a brace, the two would be read as the beginning of something else.
    brace = "{{ '{' }}" if found["brace"] else ""
    return f"{brace}{{{{ {found['path']} }}}}"


def _is_known(name: str, fields: str, scope: Scope) -> bool:
    """Whether the plan declares it: a step, an input, a section of the file, or what a loop around binds."""
    first = re.match(r"\.(\w+)", fields)
    if name in _ROOMS and name not in scope.inputs:
        field = first[1] if first else ""
        rooms = {"steps": scope.steps, "outputs": scope.outputs or ()}
        return field in rooms.get(name, scope.inputs)
    return any(name in known for known in (scope.steps, scope.inputs, scope.namespaces, scope.bound))


def _warn(found: re.Match[str], scalar: Scalar, scope: Scope, problems: Problems) -> None:
    """Say so where a name was surely meant."""
    near = problems.nearest(found["name"], [*scope.inputs, *scope.steps])
    if near is not None:
        line = str(scalar.value).count("\n", 0, found.start()) + 1
        at = scalar.place_of_line(line)
        problems.warn(Code.UNRESOLVED_NAME, f"{quoted(found[0])} stays as it is", at, f"did you mean '${{{near}}}'?")
