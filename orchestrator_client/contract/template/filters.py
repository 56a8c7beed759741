"""The filters and tests of templates: Jinja's own, bounded, and those that existing pipelines use."""

from __future__ import annotations

import functools
import html
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jinja2 import pass_environment
from jinja2.environment import Environment
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.runtime import Undefined
from jinja2.tests import TESTS

from orchestrator_client.contract.errors import TemplateError, TemplateTooLarge
from orchestrator_client.contract.template import guards
from orchestrator_client.contract.template import text_filters as written
from orchestrator_client.contract.template.guards import paid, spend, text_bytes, within_width
from orchestrator_client.contract.template.loops import Passes
from orchestrator_client.contract.template.text_filters import text
from orchestrator_client.contract.template.views import Absent, Lenient, StepView, is_absent, unwrapped

Filter = Callable[..., Any]


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
    """What stands in for a value that is missing, null, or of a skipped step; with `true`, for any that is false."""
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
    """A list of the items, or of the characters, which take many times the room of the text."""
    if isinstance(value, str):
        spend(guards.PIECE_BYTES * len(value))
    return list(value)


_BUILDERS = frozenset({"batch", "dictsort", "groupby", "items", "list", "slice", "sort", "unique"})
"""Filters of Jinja that build lists: what they give is measured."""

_TEXTUAL = frozenset(
    """basename capitalize center e escape forceescape format from_json indent lower regex_replace
    regex_search replace safe slugify split string striptags title trim truncate truncate_words upper
    urlencode wordcount wordwrap""".split()  # noqa: SIM905  # words, not a page of strings
)
"""Filters that want the text of a step or value, whatever it is."""

_KEPT = frozenset(
    """abs batch capitalize dictsort filesizeformat first float groupby int items lower map max min reject
    rejectattr reverse select selectattr slice sort title trim truncate unique upper urlencode wordcount""".split()  # noqa: SIM905  # words, not a page of strings
)
"""Jinja's own that stay. `random` would make a retried step render something else; `pprint`, `urlize` and `xmlattr`
make Python or HTML, which no pipeline wants."""

_OURS: dict[str, Filter] = {
    **dict.fromkeys(("escape", "e", "forceescape"), html.escape),
    **dict.fromkeys(("safe", "string"), str),
    **dict.fromkeys(("length", "count"), length),
    **dict.fromkeys(("default", "d"), default),
    **dict.fromkeys(("to_json", "json", "json_encode"), written.to_json),
    "attr": attribute_of,
    "basename": written.basename,
    "center": written.center,
    "date": written.date,
    "format": written.formatted,
    "from_json": written.from_json,
    "indent": written.indent,
    "join": join,
    "last": last,
    "list": _listed,
    "markdown_format": written.markdown_format,
    "regex_replace": written.regex_replace,
    "regex_search": written.regex_search,
    "replace": guards.replaced,
    "round": round_number,
    "slugify": written.slugify,
    "split": written.split,
    "striptags": written.striptags,
    "sum": total,
    "tojson": written.tojson,
    "truncate_words": written.truncate_words,
    "wordwrap": written.wordwrap,
}


def filters() -> dict[str, Filter]:
    """Every filter by its name, behind its guard."""
    kept: dict[str, Filter] = {name: FILTERS[name] for name in _KEPT}
    chosen = {**kept, **_OURS}
    return {name: _bounded(name, function) for name, function in chosen.items()}


def tests() -> dict[str, Filter]:
    """Every test by its name. `defined` is false for a step that was skipped: it asks whether there is anything."""
    stock: Any = TESTS
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


_OF_LISTS = frozenset(
    {
        "length",
        "count",
        "first",
        "last",
        "map",
        "select",
        "selectattr",
        "reject",
        "rejectattr",
        "list",
        "join",
        "reverse",
    }
    | {"sort", "batch", "groupby", "random", "slice", "sum", "unique", "min", "max", "tojson", "to_json", "json"}
)
"""Filters to which the passes of a loop are a list; to all others they are their number."""


def _subject(name: str, value: Any) -> Any:
    """What a filter is applied to: a step for its text or its value, as the filter wants it."""
    if name in ("default", "d"):
        return value
    if name == "from_json" and not isinstance(value, StepView):
        return value
    if name in _OF_LISTS and isinstance(value, Passes):
        return value.items
    return text(value) if name in _TEXTUAL else unwrapped(value)


def _present(argument: Any, name: str) -> Any:
    """An argument that is there.

    Raises:
        Unresolved: it is not, and no `default` takes it.
    """
    if isinstance(argument, Absent) and not isinstance(argument, Lenient) and name not in ("default", "d"):
        argument.refuse()
    return argument


def _paid(name: str, given: Any) -> Any:
    """What a filter gave, once it is paid for. Jinja's `Markup` becomes plain text: it would escape what joins it."""
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
