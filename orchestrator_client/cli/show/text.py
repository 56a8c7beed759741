"""Text that is safe and fits: what users wrote, with nothing in it that a terminal would obey."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

CUT_CHARACTERS = 160
"""Length at which an output or error on one line is cut where no terminal says how wide it is."""

_SEPARATORS = ("Zl", "Zp")


def printable(text: str) -> str:
    """`text` with control, direction and other invisible characters written as escapes."""
    return text if text.isprintable() else "".join(map(_visible, text))


def printable_lines(text: str) -> str:
    """The same, line by line."""
    return "\n".join(printable(line) for line in text.split("\n"))


def one_line(text: str, width: int | None = None) -> str:
    """`text` on one line, printable, cut at `width` characters if one is given."""
    line = printable(" ".join(text.split()))
    return line if width is None or len(line) <= width else line[: max(width - 1, 0)] + "…"


def shown(value: Any, width: int = CUT_CHARACTERS) -> str:
    """A JSON value for a person: text as it is, all else as JSON; on one line, cut."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return one_line(text, width)


def json_text(value: Any, indent: int | None = 2) -> str:
    """JSON for programs that is safe to show: characters that are not printable stand as `\\u` escapes."""
    lines = json.dumps(value, ensure_ascii=False, indent=indent).split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_json_visible, line)) for line in lines)


def seconds(duration: float) -> str:
    """A length of time: `0.12 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`."""
    duration = max(0.0, duration)
    if duration < 60:
        return f"{duration:.2f} s" if duration < 10 else f"{duration:.1f} s"
    minutes, rest = divmod(int(duration), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def moment(ms: int) -> str:
    """A time of Redis's: `2026-11-28 19:45:15`, UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def plural(count: int, noun: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _is_hidden(character: str) -> bool:
    """Whether a character shows nothing, or tells a terminal what to do; spaces of all widths are not hidden.

    Unicode's categories: Cc control, Cf format (direction marks, joiners), Cs surrogates, Co private, Cn unassigned.
    """
    category = unicodedata.category(character)
    return category.startswith("C") or category in _SEPARATORS


def _visible(character: str) -> str:
    """The character, or its Python escape."""
    return character.encode("unicode_escape").decode() if _is_hidden(character) else character


def _json_visible(character: str) -> str:
    """The character, or its JSON escape: a pair of them for one beyond U+FFFF."""
    return json.dumps(character)[1:-1] if _is_hidden(character) else character
