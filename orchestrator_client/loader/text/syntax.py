"""Says in plain words why a text is not YAML. Pipelines fail to parse in few ways; each has its own advice."""

from __future__ import annotations

import re

from ruamel.yaml.error import MarkedYAMLError

from orchestrator_client.loader import dialect
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems

_UNQUOTED_TEMPLATE = re.compile(r"\s*(- +)*([^\s:#'\"]+: +)?(- +)*\{\{")
_ADVICE = (
    (r"found character '\\t'", "tab used for indentation", "indent with spaces"),
    (
        r"found character '%'",
        "'{% … %}' outside quotes",
        "a template cannot write YAML: put it into quotes or a | block",
    ),
    (r"found character '([@`%])'", r"a value cannot start with \1", "quote it"),
    (
        r"mapping values are not allowed",
        "': ' inside a text without quotes, or a key indented wrongly",
        "quote the text",
    ),
    (r"while scanning a .*quoted scalar.*unexpected end", "this quote is never closed", "close it"),
    (r"unknown escape character", "unknown escape in a text in double quotes", "write \\\\, or use single quotes"),
    (r"could not find expected ':'", "a line that is neither 'key: value' nor '- item'", "check the indentation"),
    (r"flow (sequence|mapping).*expected ','", "this [ or { is never closed", "close it, or put a comma between items"),
    (r"expected <block end>", "indentation does not match the lines above", "line the keys of a mapping up"),
)
"""Pattern over the parser's words, ours, and what to do."""

_AT_START = ("never closed",)
"""Messages that are about where the construct starts, not where the parser gave up."""


def report(error: MarkedYAMLError, text: str, problems: Problems) -> None:
    """Add what the parser met; the rest of the file could not be read."""
    words = f"{error.context or ''} {error.problem or ''}"
    at, line = _place(error, at_start=False), _line(error, text)
    if dialect.AUTO in line:
        tag = Place(at.line, line.index(dialect.AUTO) + 1)
        problems.error(Code.YAML, "an <AUTO> tag that is never closed", tag, "end it with </AUTO>")
        return
    if _UNQUOTED_TEMPLATE.match(line):
        refuse_unquoted_template(Place(at.line, line.index("{{") + 1), problems)
        return
    for pattern, message, remedy in _ADVICE:
        if found := re.search(pattern, words):
            at = _place(error, at_start=any(part in message for part in _AT_START))
            problems.error(Code.YAML, found.expand(message) if "\\1" in message else message, at, remedy)
            return
    problems.error(Code.YAML, f"not YAML: {words.strip()}", at)


def refuse_unquoted_template(at: Place, problems: Problems) -> None:
    """YAML reads `{{ x }}` without quotes as a mapping in a mapping."""
    problems.error(Code.TEMPLATE_UNQUOTED, "a template that is not quoted", at, 'put quotes around it: "{{ … }}"')


def _place(error: MarkedYAMLError, at_start: bool) -> Place:
    """Where the parser gave up, or where the construct starts that it was in."""
    marks = (error.context_mark, error.problem_mark) if at_start else (error.problem_mark, error.context_mark)
    mark = next((mark for mark in marks if mark is not None), None)
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def _line(error: MarkedYAMLError, text: str) -> str:
    """The line of the file on which the parser gave up."""
    lines = text.split("\n", _place(error, at_start=False).line)
    return lines[_place(error, at_start=False).line - 1] if len(lines) >= _place(error, at_start=False).line else ""
