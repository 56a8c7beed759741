"""The filters and tests of templates: Jinja's own, bounded, and those that existing pipelines use."""

from __future__ import annotations

import functools
import html
import json
import operator
import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import pass_environment
from jinja2.environment import Environment
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.runtime import Undefined
from jinja2.tests import TESTS

from orchestrator_client.contract import caps, guards, patterns
from orchestrator_client.contract.errors import TemplateError, TemplateForbidden, TemplateTooLarge
from orchestrator_client.contract.guards import BUDGET, Wrapped, paid, spend, text_bytes, within_width
from orchestrator_client.contract.views import Absent, Lenient, StepView, is_absent, unwrapped

Filter = Callable[..., Any]

_INDENT = 16
"""Most blanks by which JSON may be indented."""


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
    compiled, size = patterns.compiled(pattern, value), 0
    pieces: list[str] = []
    end = 0
    for match in compiled.finditer(value):
        pieces += (value[end : match.start()], match.expand(replacement))
        size += text_bytes(pieces[-1])
        end = match.end()
        if size > caps.RENDERED_BYTES:
            spend(size)
    return guards.concat([*pieces, value[end:]])


def markdown_format(value: Any) -> str:
    """A list as bullets, a mapping as bullets with bold names, a text without trailing blanks and runs of empty lines."""
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


def _center(value: str, width: int = 80) -> str:
    return value.center(within_width(width))


def _indent(value: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    spend(text_bytes(value) + (value.count("\n") + 1) * (within_width(width) if isinstance(width, int) else len(width)))
    indented: str = FILTERS["indent"](value, width, first, blank)
    return indented


def _wordwrap(value: str, width: int = 79, break_long_words: bool = True, wrapstring: str = "\n") -> str:
    # A long word is cut piece by piece, each time copying what is left of it.
    width = max(within_width(width), 8)
    spend(len(_short(value)) // 8 * text_bytes(wrapstring) + text_bytes(value))
    lines = (FILTERS["wordwrap"](_PLAIN, line, width, break_long_words, wrapstring) for line in value.splitlines())
    return wrapstring.join(lines)


def _striptags(value: str) -> str:
    stripped: str = FILTERS["striptags"](_short(value))
    return stripped


def _short(value: str) -> str:
    if len(value) > patterns.TEXT_CHARACTERS:
        raise TemplateTooLarge(
            f"a text of {len(value):,} characters is too long for this filter ({patterns.TEXT_CHARACTERS:,})"
        )
    return value


def _formatted(value: str, *args: Any, **kwargs: Any) -> str:
    if args and kwargs:
        raise TemplateError("format takes values by place or by name, not both")
    return guards.percent(value, kwargs or args)


def date(value: Any, form: str = "%Y-%m-%d") -> str:
    """An ISO text, or seconds since 1970, written by `strftime`; 'now' is the time at which the run started."""
    if not re.fullmatch(r"(?:[^%]|%-?[A-Za-z%]){0,200}", form):
        raise TemplateForbidden(f"not a form for a date: {form[:60]!r}; write for example '%Y-%m-%d'")
    return _moment(unwrapped(value)).strftime(form)


def _moment(value: Any) -> datetime:
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


# ---- numbers and lists


def round_number(value: Any, precision: int = 0, method: str = "common") -> float | int:
    """The number, or the text that spells one, rounded; without a precision still a float, as in Jinja."""
    number = float(value)
    if method not in ("common", "ceil", "floor"):
        raise TemplateError(f"round: the method is common, ceil or floor, not {method!r}")
    if not -300 <= precision <= 300:
        raise TemplateTooLarge(f"round: a precision of {precision} is too large")
    rounded: float = FILTERS["round"](number, precision, method)
    return rounded


def length(value: Any) -> int:
    """Items, or characters; 0 for null, and the digits of a number."""
    if value is None:
        return 0
    if isinstance(value, bool | int | float):
        return len(str(value))
    return len(value) if hasattr(value, "__len__") else sum(1 for _ in value)


def last(value: Any) -> Any:
    """The last item or character."""
    items = value if isinstance(value, Sequence) else list(value)
    return items[-1] if items else Absent("there is no last item: the list is empty; add | default('…')")


def default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """What stands in where the value is missing, null, or of a step that was skipped; with `true`, where it is false."""
    return default_value if is_absent(value) or value is None or (boolean and not value) else value


@pass_environment
def join(environment: Environment, value: Any, d: str = ", ", attribute: str | int | None = None) -> str:
    """The texts of all items; `, ` between them unless told otherwise. A text stays as it is."""
    if isinstance(value, str):
        return value
    items = map(make_attrgetter(environment, attribute), value) if attribute is not None else value
    return guards.joined(text(d), map(text, items))


@pass_environment
def total(environment: Environment, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    """The sum of all items."""
    items = map(make_attrgetter(environment, attribute), iterable) if attribute is not None else iterable
    return functools.reduce(guards.OPERATORS["+"], map(unwrapped, items), start)


@pass_environment
def attribute_of(environment: Environment, value: Any, name: str) -> Any:
    """The same as `value.name`."""
    return environment.getitem(value, name)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        spend(guards.PIECE_BYTES * len(value))
    return list(value)


_BUILDERS = frozenset({"batch", "dictsort", "groupby", "items", "list", "slice", "sort", "unique"})
"""Filters of Jinja that build lists: what they give is measured."""

_TEXTUAL = frozenset(
    ["basename", "capitalize", "center", "e", "escape", "forceescape", "format", "from_json", "indent", "lower", "regex_replace", "regex_search", "replace", "safe", "slugify", "split", "string", "striptags", "title", "trim", "truncate", "truncate_words", "upper", "urlencode", "wordcount", "wordwrap"]
)
"""Filters that want the text of a step or value, whatever it is."""

_KEPT = frozenset(
    ["abs", "batch", "capitalize", "dictsort", "filesizeformat", "first", "float", "groupby", "int", "items", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort", "title", "trim", "truncate", "unique", "upper", "urlencode", "wordcount"]
)
"""Jinja's own that stay. `random` would make a retried step render something else; `pprint`, `urlize` and `xmlattr`
make Python or HTML, which no pipeline wants."""

_OURS: dict[str, Filter] = {
    **dict.fromkeys(("escape", "e", "forceescape"), html.escape),
    **dict.fromkeys(("safe", "string"), str),
    **dict.fromkeys(("length", "count"), length),
    **dict.fromkeys(("default", "d"), default),
    **dict.fromkeys(("to_json", "json", "json_encode"), to_json),
    "attr": attribute_of,
    "basename": basename,
    "center": _center,
    "date": date,
    "format": _formatted,
    "from_json": from_json,
    "indent": _indent,
    "join": join,
    "last": last,
    "list": _listed,
    "markdown_format": markdown_format,
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "replace": guards.replaced,
    "round": round_number,
    "slugify": slugify,
    "split": split,
    "striptags": _striptags,
    "sum": total,
    "tojson": tojson,
    "truncate_words": truncate_words,
    "wordwrap": _wordwrap,
}

_PLAIN = Environment(autoescape=False)  # only asked for its policies and newline


def filters() -> dict[str, Filter]:
    """Every filter by its name, behind its guard."""
    kept: dict[str, Filter] = {name: FILTERS[name] for name in _KEPT}
    chosen = {**kept, **_OURS}
    return {name: _bounded(name, function) for name, function in chosen.items()}


def tests() -> dict[str, Filter]:
    """Every test by its name. `defined` is false for a step that was skipped: it asks whether there is anything."""
    stock: dict[str, Filter] = dict(TESTS)
    bounded = {name: _tested(function) for name, function in stock.items()}
    return {**bounded, "defined": lambda value: not is_absent(value), "undefined": is_absent}


def _bounded(name: str, function: Filter) -> Filter:
    """The filter, which takes steps for their values, counts as an operation, and pays for what it gives."""
    takes_context = hasattr(function, "jinja_pass_arg")

    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        context, (value, *rest) = (args[:1], args[1:]) if takes_context else ((), args)
        if isinstance(value, Undefined) and name not in ("default", "d"):
            return value if isinstance(value, Lenient) else text(value)
        arguments = [unwrapped(_present(argument, name)) for argument in rest]
        named = {key: unwrapped(_present(argument, name)) for key, argument in kwargs.items()}
        if name in ("batch", "slice"):
            within_width(arguments[0])
        return _paid(name, function(*context, _subject(name, value), *arguments, **named))

    return bounded


def _subject(name: str, value: Any) -> Any:
    """What a filter is applied to: a step for its text or its value, as the filter wants it."""
    if name in ("default", "d"):
        return value
    if name == "from_json" and not isinstance(value, StepView):
        return value
    return text(value) if name in _TEXTUAL else unwrapped(value)


def _present(argument: Any, name: str) -> Any:
    if isinstance(argument, Absent) and not isinstance(argument, Lenient) and name not in ("default", "d"):
        argument.refuse()
    return argument


def _paid(name: str, given: Any) -> Any:
    if isinstance(given, str):
        spend(text_bytes(given))
        return str(given)
    if name in _BUILDERS:
        return paid(given if isinstance(given, list | tuple) else list(given))
    spend(0)
    return given


def _tested(function: Filter) -> Filter:
    """The test, which takes steps for their values; what is missing fails it where that is allowed."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def tested(*args: Any, **kwargs: Any) -> bool:
        for value in args[first:]:
            if isinstance(value, Absent):
                if isinstance(value, Lenient):
                    return False
                value.refuse()
        kept = function is operator.eq or function is operator.ne
        return bool(function(*args[:first], *(args[first:] if kept else map(unwrapped, args[first:])), **kwargs))

    return tested
