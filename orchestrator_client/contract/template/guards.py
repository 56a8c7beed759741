"""What a template may spend, and the operations that could spend too much: measured before they allocate.

Time is bounded by a count of operations and a deadline; memory by the size of whatever an operation is about to make.
Whatever a template builds is measured as the tree it is, not as the references it holds, so that no value exists whose
text, comparison or JSON would be larger than what was paid for it.
"""

from __future__ import annotations

import operator
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from string import Formatter
from typing import Any

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import TemplateError, TemplateForbidden, TemplateTooLarge

OPERATIONS = 500_000
"""Iterations, calls, filters and expressions of one rendering: half a second of the cheapest of them (measured)."""

PRODUCED_BYTES = 4 * caps.RENDERED_BYTES
"""Everything that one rendering may build on the way, all told."""

NUMBER_BITS = 10_000
"""Size of an integer. Python refuses to write one of more than 4,300 digits, which is 14,284 bits."""

WIDTH = 10_000
"""Widths, precisions, counts and indentations that a template may ask for, and items of a `range`."""

PIECE_BYTES = 16
"""What a piece of a text costs beside its characters."""

FORMAT_CHARACTERS = 100_000
"""Length of a text with `%` fields: each of them is looked at."""

ITEM_BYTES = 32
"""What an item of a list or mapping costs: its place, and the object that stands there."""


class Wrapped(ABC):
    """A value that shows itself to templates as more than its JSON."""

    __slots__ = ()

    @property
    @abstractmethod
    def json(self) -> Any:
        """The value itself."""


class Budget:
    """What is left to one call of `render` or `evaluate`, and the names that it may use."""

    __slots__ = ("began", "look_at", "operations", "produced", "scope")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.scope = scope
        self.operations = OPERATIONS
        self.produced = 0
        self.began = time.thread_time()
        self.look_at = time.monotonic() + caps.RENDER_SECONDS
        """When its time can be up at the earliest: to ask how much it has had is dear."""

    def step(self) -> None:
        """Count one operation."""
        self.operations -= 1
        if self.operations < 0:
            raise TemplateTooLarge(f"the template takes more than {OPERATIONS:,} operations; loop over less")
        if (now := time.monotonic()) > self.look_at:
            left_seconds = caps.RENDER_SECONDS - (time.thread_time() - self.began)
            if left_seconds <= 0:
                raise TemplateTooLarge(f"the template takes longer than {caps.RENDER_SECONDS:g} s; loop over less")
            self.look_at = now + left_seconds  # others had the processor meanwhile

    def spend(self, size: int) -> None:
        """Pay for `size` bytes before they are allocated; what a negative count asks for costs nothing."""
        self.step()
        self.produced += max(size, 0)
        if size > caps.RENDERED_BYTES or self.produced > PRODUCED_BYTES:
            raise TemplateTooLarge(
                f"the template builds more than {caps.RENDERED_BYTES:,} bytes; hand large values on whole, as a"
                " parameter that is only {{ the value }}"
            )


BUDGET: ContextVar[Budget] = ContextVar("template_budget")
"""The budget of the rendering under way. Rendering never awaits, so that it stays with its caller."""


def spend(size: int) -> None:
    """Pay from the rendering under way."""
    BUDGET.get().spend(size)


def text_bytes(text: str) -> int:
    """Size of a text: exact for ASCII, else the most that UTF-8 could take, since counting would allocate it."""
    return len(text) if text.isascii() else 4 * len(text)


def measure(value: Any) -> int:
    """Size of a value as a tree, in bytes; stops counting past the cap of one rendering."""
    if isinstance(value, str):
        return text_bytes(value)
    size, waiting = 0, [value]
    while waiting and size <= caps.RENDERED_BYTES:
        item = waiting.pop()
        if isinstance(item, str):
            size += text_bytes(item)
        elif isinstance(item, Wrapped):
            waiting.append(item.json)
        elif isinstance(item, dict):
            waiting.extend(item)
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        size += ITEM_BYTES
    return size


def paid(value: Any) -> Any:
    """The same value, measured and paid for: what every new container goes through."""
    spend(measure(value))
    return value


class Iteration:
    """What a loop runs over: counts every item against the budget, and knows its length where that is known."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        if isinstance(self._items, Iterator):
            raise TypeError("length not known before the end")
        return len(self._items)  # type: ignore[arg-type]  # every other iterable of a template is sized

    def __iter__(self) -> Iterator[Any]:
        budget = BUDGET.get()
        for item in self._items:
            budget.step()
            yield item


def concat(pieces: Iterable[str]) -> str:
    """Join the output of a block that is caught in a variable, a macro or a filter."""
    pieces = list(pieces)
    spend(sum(map(text_bytes, pieces)))
    return "".join(pieces)


def bounded_range(*bounds: int) -> range:
    """`range` of at most `WIDTH` items."""
    numbers = range(*bounds)
    if numbers[WIDTH : WIDTH + 1]:
        raise TemplateTooLarge(f"range({', '.join(map(str, bounds))}) has more than {WIDTH:,} items")
    return numbers


def within_width(asked: Any) -> Any:
    """The same number, if it is one that a width, count or indentation may have."""
    if isinstance(asked, int) and abs(asked) > WIDTH:
        raise TemplateTooLarge(f"a width or count of {asked:.3g} is more than {WIDTH:,}")
    return asked


# ---- operators


def _multiply(left: Any, right: Any) -> Any:
    """A product. A text or list is measured before it is repeated, a number before it grows."""
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, str | list | tuple) and isinstance(times, int):
            spend(measure(sequence) * times)
    if isinstance(left, int) and isinstance(right, int):
        _within_bits(left.bit_length() + right.bit_length())
    return left * right


def _power(base: Any, exponent: Any) -> Any:
    """A power of whole numbers is priced by its length: `10 ** 10 ** 9` would otherwise be computed."""
    if isinstance(base, int) and isinstance(exponent, int):
        _within_bits(base.bit_length() * exponent)
    return base**exponent


def _within_bits(bits: int) -> None:
    """Let a whole number pass if it is one that can be written.

    Raises:
        TemplateTooLarge: it has more than `NUMBER_BITS`.
    """
    if bits > NUMBER_BITS:
        raise TemplateTooLarge(f"a number of {bits:,} bits is too large; {NUMBER_BITS:,} are allowed")


def _add(left: Any, right: Any) -> Any:
    """A sum, or two texts or lists in one."""
    if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        spend(measure(left) + measure(right))
    return left + right


def _remainder(left: Any, right: Any) -> Any:
    """The rest of a division; behind a text, `%` formats."""
    return percent(left, right) if isinstance(left, str) else left % right


OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": _add,
    "-": operator.sub,
    "*": _multiply,
    "/": operator.truediv,
    "//": operator.floordiv,
    "**": _power,
    "%": _remainder,
}

# ---- formats

_PERCENT = re.compile(r"%(?:\([^()]*\))?[-+ #0]*(\d*)(?:\.(\d*))?[sdifFeEgGxXoc%]")
_DIGITS = re.compile(r"\d+")


def percent(template: str, values: Any) -> str:
    """`template % values`. Widths must be written out: `%*d` would take one from the values."""
    if len(template) > FORMAT_CHARACTERS:
        raise TemplateTooLarge(f"a format of {len(template):,} characters is longer than {FORMAT_CHARACTERS:,}")
    fields = list(_PERCENT.finditer(template))
    if "%" in _PERCENT.sub("", template):
        raise TemplateForbidden(f"the format {template[:60]!r} has a field other than %s, %d, %f and their like")
    widths = sum(_number(digits or "") for field in fields for digits in field.groups())
    # A field that is named may stand in the text any number of times, so that each may cost the whole of the values.
    spend(text_bytes(template) + widths + len(fields) * measure(values))
    written: str = template % values
    return written


def _number(digits: str) -> int:
    """The width that digits spell; 0 without any. Digits may be too many to be read as a number at all."""
    if len(digits) > 9:
        raise TemplateTooLarge(f"a width of {len(digits)} digits is more than {WIDTH:,}")
    width: int = within_width(int(digits or 0))
    return width


class _BoundedFormatter(Formatter):
    """`str.format` without access to attributes and items, and with a price on every field."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A value by its name or place; what `str.format` would read from it is refused."""
        if not field_name.isidentifier() and not field_name.isdigit():
            raise TemplateForbidden(
                f"not allowed in templates: format field {field_name[:60]!r}; pass the value itself to format()"
            )
        return super().get_field(field_name, args, kwargs)

    def format_field(self, value: Any, format_spec: str) -> str:
        """One field, priced by the width that it asks for and the value that it writes."""
        spend(sum(map(_number, _DIGITS.findall(format_spec))) + measure(value))
        shown = value if isinstance(value, str | int | float) else str(value)
        return format(shown, format_spec)

    def convert_field(self, value: Any, conversion: Any) -> Any:
        """`!s` only: `!r` and `!a` write Python."""
        if conversion not in (None, "s"):
            raise TemplateForbidden(f"not allowed in templates: format conversion !{conversion}")
        return value if conversion is None else str(value)


# ---- methods


def replaced(text: str, old: str, new: str, count: int | None = None) -> str:
    """`str.replace`."""
    times = text.count(old)
    times = times if count is None or count < 0 else min(times, count)
    spend(text_bytes(text) + times * text_bytes(new))
    return text.replace(old, new, -1 if count is None else count)


def joined(separator: str, items: Iterable[str]) -> str:
    """`str.join`."""
    texts = list(items)
    spend(sum(map(text_bytes, texts)) + text_bytes(separator) * len(texts))
    return separator.join(texts)


def padded(name: str) -> Callable[..., str]:
    """`center`, `ljust`, `rjust` or `zfill`."""

    def pad(text: str, width: int, *fill: str) -> str:
        within_width(width)
        result: str = getattr(text, name)(width, *fill)
        return result

    return pad


def split(name: str) -> Callable[..., list[str]]:
    """`split` or `rsplit`; without a separator, every second character may end a word."""

    def pieces(text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
        most = text.count(sep) if sep else len(text) // 2
        spend(PIECE_BYTES * (most if maxsplit < 0 else min(most, maxsplit)) + text_bytes(text))
        result: list[str] = getattr(text, name)(sep, maxsplit)
        return result

    return pieces


def _splitlines(text: str, keepends: bool = False) -> list[str]:
    """`str.splitlines`, priced by the line ends that Python knows."""
    spend(PIECE_BYTES * sum(map(text.count, "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")) + text_bytes(text))
    return text.splitlines(keepends)


def _expandtabs(text: str, tabsize: int = 8) -> str:
    """`str.expandtabs`."""
    spend(text_bytes(text) + text.count("\t") * within_width(tabsize))
    return text.expandtabs(tabsize)


GUARDED: Mapping[str, Callable[..., Any]] = {
    "center": padded("center"),
    "ljust": padded("ljust"),
    "rjust": padded("rjust"),
    "zfill": padded("zfill"),
    "replace": replaced,
    "join": joined,
    "split": split("split"),
    "rsplit": split("rsplit"),
    "splitlines": _splitlines,
    "expandtabs": _expandtabs,
    "format": lambda text, *args, **kwargs: _BoundedFormatter().vformat(text, args, kwargs),
    "format_map": lambda text, values: _BoundedFormatter().vformat(text, (), values),
}
"""Methods of `str` whose result may be much larger than their text."""

_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(
        """capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower
        isnumeric isspace istitle isupper lower lstrip partition removeprefix removesuffix rfind rindex
        rpartition rstrip startswith strip swapcase title upper""".split()  # noqa: SIM905  # words, not a page of strings
    )
    | GUARDED.keys(),
    list: frozenset({"count", "index"}),
    dict: frozenset({"get", "items", "keys", "values"}),
}
"""What templates may call. None of them changes its value."""

METHODS: frozenset[str] = frozenset().union(*_METHODS.values())
"""Names of all of them."""


class Method:
    """A method that a template took from a value: callable, and nothing else."""

    __slots__ = ("_name", "_owner")

    def __init__(self, owner: Any, name: str) -> None:
        self._owner, self._name = owner, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        spend(0)
        if isinstance(self._owner, str) and (guarded := GUARDED.get(self._name)):
            return guarded(self._owner, *args, **kwargs)
        return getattr(self._owner, self._name)(*args, **kwargs)

    def __str__(self) -> str:
        raise TemplateError(f"'{self._name}' is a method: call it, as in .{self._name}()")


def method_of(value: Any, name: str) -> Method | None:
    """The method `name` of a text, list or mapping, if templates may call it."""
    allowed = _METHODS.get(type(value), frozenset())
    return Method(value, name) if name in allowed else None
