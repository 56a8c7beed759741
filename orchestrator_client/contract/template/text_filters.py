"""Filters that write or read text: slugs, patterns, layout, dates and JSON.

Each is called by the guard of `filters`, which hands over the text of a step where it wants one, and pays for what
comes out; a filter itself pays for what it could make much larger than what it was given.
"""

from __future__ import annotations

import json
import posixpath
import re
from datetime import UTC, datetime
from typing import Any

from jinja2.environment import Environment
from jinja2.filters import FILTERS
from jinja2.runtime import Undefined

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import TemplateError, TemplateForbidden, TemplateTooLarge
from orchestrator_client.contract.template import guards, patterns
from orchestrator_client.contract.template.guards import BUDGET, Wrapped, paid, spend, text_bytes, within_width
from orchestrator_client.contract.template.views import Absent, Lenient, unwrapped

_INDENT = 16
"""Most blanks by which JSON may be indented."""

_PLAIN = Environment(autoescape=False)  # only asked for its policies and newline


def text(value: Any) -> str:
    """What a value writes: a step its text, a list or mapping what Python writes for it."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Absent) and not isinstance(value, Lenient):
        value.refuse()
    if isinstance(value, Wrapped):
        spend(guards.measure(value))
    elif not isinstance(value, bool | int | float | None | Undefined | guards.Method):
        value = paid(value if isinstance(value, dict | list | tuple) else list(value))
    return str(value)


# ---- texts


def slugify(value: str) -> str:
    """Lower case, only letters, digits, `_` and `-`; runs of blanks and `-` become one `-`."""
    kept = re.sub(r"[^\w\s-]", "", value.lower())
    return re.sub(r"[\s-]+", "-", kept).strip("-")


def truncate_words(value: str, n: int = 50, end: str = "...") -> str:
    """The first `n` words."""
    words = value.split(None, within_width(n))
    return value if len(words) <= n else " ".join(words[:n]) + end


def regex_search(value: str, pattern: str) -> Any:
    """The text that matches, or nothing, for which `default` stands in."""
    found = patterns.compiled(pattern, value).search(value)
    return found.group() if found else Absent(f"nothing matches the pattern {pattern!r}; add | default('…')")


def regex_replace(value: str, pattern: str, replacement: str = "") -> str:
    """The text with every match replaced; `\\1` and `\\g<name>` stand for groups."""
    compiled = patterns.compiled(pattern, value)
    inserted, size = replacement.count("\\"), text_bytes(value)
    # A group within a look-ahead may be longer than its match, and the same text be inserted at every place.
    for match in compiled.finditer(value):
        longest = max((end - start for start, end in map(match.span, range(compiled.groups + 1))), default=0)
        size += text_bytes(replacement) + 4 * inserted * longest
        if size > caps.RENDERED_BYTES:
            break
    spend(size)
    return compiled.sub(replacement, value)


def markdown_format(value: Any) -> str:
    """A list as bullets, a mapping with bold names, a text without trailing blanks and runs of empty lines."""
    value = unwrapped(value)
    if isinstance(value, dict):
        return "\n".join(f"- **{name}**: {text(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(f"- {text(item)}" for item in value)
    lines = "\n".join(line.rstrip() for line in _short(text(value)).splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def basename(value: str) -> str:
    """The last part of a path."""
    return posixpath.basename(value.rstrip("/"))


def split(value: str, separator: str | None = None, maxsplit: int = -1) -> list[str]:
    """The pieces between separators, or the words."""
    return guards.split("split")(value, separator, maxsplit)


def center(value: str, width: int = 80) -> str:
    """The text in the middle of `width` blanks."""
    return value.center(within_width(width))


def indent(value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Every line but the first moved to the right, by blanks or by a text."""
    spend(text_bytes(value) + (value.count("\n") + 1) * (within_width(width) if isinstance(width, int) else len(width)))
    laid_out: str = FILTERS["indent"](value, width, first, blank)
    return laid_out


def wordwrap(value: str, width: int = 79, break_long_words: bool = True, wrapstring: str = "\n") -> str:
    # A long word is cut piece by piece, each time copying what is left of it.
    """Lines of at most `width` characters, and not less than 8."""
    width = max(within_width(width), 8)
    spend(len(_short(value)) // 8 * text_bytes(wrapstring) + text_bytes(value))
    lines = (FILTERS["wordwrap"](_PLAIN, line, width, break_long_words, wrapstring) for line in value.splitlines())
    return wrapstring.join(lines)


def striptags(value: str) -> str:
    """The text without tags of HTML, and without comments."""
    stripped: str = FILTERS["striptags"](_short(value))
    return stripped


def _short(value: str) -> str:
    """A text on which more than linear work is allowed.

    Raises:
        TemplateTooLarge: it is longer than that.
    """
    if len(value) > patterns.TEXT_CHARACTERS:
        raise TemplateTooLarge(
            f"a text of {len(value):,} characters is too long for this filter ({patterns.TEXT_CHARACTERS:,})"
        )
    return value


def formatted(value: str, *args: Any, **kwargs: Any) -> str:
    """`%` formatting with the arguments."""
    if args and kwargs:
        raise TemplateError("format takes values by place or by name, not both")
    return guards.percent(value, kwargs or args)


def date(value: Any, form: str = "%Y-%m-%d") -> str:
    """An ISO text, or seconds since 1970, written by `strftime`; 'now' is the time at which the run started."""
    if not re.fullmatch(r"(?:[^%]|%-?[A-Za-z%]){0,200}", form):
        raise TemplateForbidden(f"not a form for a date: {form[:60]!r}; write for example '%Y-%m-%d'")
    return _moment(unwrapped(value)).strftime(form)


def _moment(value: Any) -> datetime:
    """The point in time that a number, a text or `now` stands for."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if text(value).strip().lower() == "now":
        execution = BUDGET.get().scope.get("execution")
        value = execution.get("timestamp") if isinstance(execution, dict) else None
        if value is None:
            return datetime.now(UTC)
    return datetime.fromisoformat(text(value).strip())


# ---- JSON


def to_json(value: Any, indent: int | None = 2, ensure_ascii: bool = False) -> str:
    """JSON, indented."""
    if indent is not None and not 0 <= indent <= _INDENT:
        raise TemplateTooLarge(f"JSON may be indented by 0 to {_INDENT}, not by {indent}")
    value = paid(
        list(value) if not isinstance(value, dict | list | tuple | str | int | float | None | Wrapped) else value
    )
    encoder = json.JSONEncoder(indent=indent, ensure_ascii=ensure_ascii, default=_jsonable)
    if indent is None:
        return encoder.encode(value)
    pieces, size = [], 0
    # Indentation may be a multiple of the value: its size is known only as it is written.
    for piece in encoder.iterencode(value):
        pieces.append(piece)
        size += len(piece)
        if size > caps.RENDERED_BYTES:
            spend(size)
    return "".join(pieces)


def tojson(value: Any, indent: int | None = None) -> str:
    """JSON on one line, without the HTML escapes of Jinja's own: what is rendered here is no page."""
    return to_json(value, indent)


def _jsonable(value: Any) -> Any:
    """What JSON does not know by itself: a step within a list stands for its result."""
    if isinstance(value, Wrapped):
        return value.json
    if isinstance(value, Absent):
        value.refuse()
    raise TypeError(f"{type(value).__name__} has no JSON")


def from_json(value: Any) -> Any:
    """The value that a text spells as JSON, with or without a Markdown fence around it; a value stays what it is."""
    if not isinstance(value, str):
        return value
    fenced = re.search(r"```[^\S\n]*\w*\n(.*?)```", _fence(value), re.DOTALL)
    try:
        return paid(json.loads(fenced.group(1) if fenced else value))
    except ValueError as error:
        shown = value.strip()[:60]
        raise TemplateError(f"from_json: the text is not JSON ({error}): {shown!r}") from None


def _fence(value: str) -> str:
    """The text where it can hold a fence: searching one in a text of thousands would take their square."""
    return value if value.count("```") <= 100 else ""
