"""Regular expressions that a template may use: those whose search takes bounded time, judged before they run.

Python's `re` cannot be interrupted, so a pattern is priced by what it could do at worst on a text of the given length:
every repetition that may be undone multiplies the price by the ways in which it can be. Repetitions within
repetitions, and references back to groups, have no useful bound and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from orchestrator_client.contract.errors import TemplateForbidden, TemplateSyntax, TemplateTooLarge

PATTERN_CHARACTERS = 500
"""Length of a pattern."""

TEXT_CHARACTERS = 100_000
"""Length of a text that filters with more than linear cost accept."""

_STEPS = 200_000_000
"""Price of a search at worst; a search at this price took 1.7 s at most (measured, 27 patterns)."""

_TOKEN = re.compile(
    r"""(?P<flags>\(\?[aims]+\))
    |(?P<look>\(\?<?[=!])
    |(?P<open>\((?:\?(?::|P<\w+>))?(?!\?))
    |(?P<close>\))
    |(?P<either>\|)
    |(?P<quantifier>(?:[*+?]|\{\d+\}|\{\d*,\d*\})[?+]?)
    |(?P<atom>\\[AbBdDsSwWZnrtfv]|\\[^\w\s]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\()|*+?\[])""",
    re.VERBOSE | re.DOTALL,
)
_SAMPLE = [chr(code) for code in range(256)] + ["α", "中", "—", "\u2028"]


@dataclass(slots=True)
class _Item:
    """One atom, or one closed group, and how often it may stand there."""

    atom: str | None
    """None for a group, of which it is not known what it matches."""
    least: int = 1
    most: int | None = 1
    looked_at: bool = False
    """Within a look-ahead or -behind, or beside an alternative: what follows it is not simply the next item."""


@lru_cache(maxsize=256)
def _items(pattern: str) -> tuple[tuple[_Item, ...], int]:
    """The pattern as a sequence of items, and the number of its alternatives.

    Raises:
        TemplateForbidden: it repeats a repetition, or uses what has no bound.
    """
    items: list[_Item] = []
    groups: list[tuple[int, bool]] = []
    alternatives, position, closed = 1, 0, -1
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            raise TemplateForbidden(
                f"the pattern {pattern!r} uses {pattern[position : position + 4]!r}, which is not allowed"
            )
        position = token.end()
        match token.lastgroup:
            case "atom":
                items.append(_Item(token.group()))
                closed = -1
            case "open" | "look":
                groups.append((len(items), token.lastgroup == "look"))
            case "close":
                closed, looked_at = groups.pop() if groups else (0, False)
                for item in items[closed:]:
                    item.looked_at |= looked_at
            case "either":
                alternatives += 1
                items.append(_Item(None, looked_at=True))
            case "quantifier":
                _repeat(pattern, items, closed, token.group())
                closed = -1
    return tuple(items), alternatives


def _repeat(pattern: str, items: list[_Item], closed: int, quantifier: str) -> None:
    """Let the last atom, or the group that begins at item `closed`, stand as often as the quantifier says."""
    least, most = _bounds(quantifier)
    if closed < 0:
        items[-1].least, items[-1].most = least, most
        return
    group = items[closed:]
    if most != 1 and any(item.least != item.most or item.looked_at for item in group):
        raise TemplateForbidden(
            f"the pattern {pattern!r} repeats a group that itself repeats or has alternatives: on some texts it would"
            " never end; write it without the inner one"
        )
    items[closed:] = [
        _Item(None, least, most, looked_at=any(item.looked_at for item in group)),
        *(group if most == 1 else ()),
    ]


def _bounds(quantifier: str) -> tuple[int, int | None]:
    """How often a quantifier lets stand what it follows; None without an upper bound."""
    match quantifier[0]:
        case "*":
            return 0, None
        case "+":
            return 1, None
        case "?":
            return 0, 1
    least, comma, most = quantifier.rstrip("?+").strip("{}").partition(",")
    lowest = min(int(least or 0), TEXT_CHARACTERS)
    return lowest, (int(most) if most else None) if comma else lowest


@cache
def _matched(atom: str) -> frozenset[str]:
    """The sample characters that an atom matches; an anchor matches none, and is never told apart."""
    compiled = re.compile(atom, re.DOTALL)
    return frozenset(character for character in _SAMPLE if compiled.fullmatch(character))


def _apart(one: _Item, other: _Item) -> bool:
    """Whether no character can match both, each of which matches at least one."""
    if one.atom is None or other.atom is None or one.looked_at or other.looked_at:
        return False
    sets = _matched(one.atom), _matched(other.atom)
    return all(sets) and not sets[0] & sets[1]


def _price(items: Sequence[_Item], alternatives: int, length: int) -> int:
    """Steps of a search at worst: a start at every character, times the ways to undo what was matched."""
    price, rescans = max(length, 1) * alternatives, False
    for place, item in enumerate(items):
        if item.least == item.most or not any(later.least for later in items[place + 1 :]):
            rescans |= item.least > 100
            continue
        following = items[place + 1]
        if following.least and _apart(item, following):
            before = items[place - 1] if place else None
            rescans |= before is None or before.least != before.most or not _apart(before, item)
        else:
            price *= (length if item.most is None else item.most - item.least) + 1
    return price * max(length, 1) if rescans else price


def compiled(pattern: str, text: str) -> re.Pattern[str]:
    """The pattern, if searching this text with it takes bounded time.

    Raises:
        TemplateSyntax: it is not a regular expression.
        TemplateForbidden: it repeats a repetition, or refers back to a group.
        TemplateTooLarge: pattern or text are too long, or together could take too many steps.
    """
    if len(pattern) > PATTERN_CHARACTERS:
        raise TemplateTooLarge(f"a pattern of {len(pattern)} characters is longer than {PATTERN_CHARACTERS}")
    if len(text) > TEXT_CHARACTERS:
        raise TemplateTooLarge(f"a text of {len(text):,} characters is too long for a pattern ({TEXT_CHARACTERS:,})")
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise TemplateSyntax(f"the pattern {pattern!r} is not a regular expression: {error}") from None
    if _price(*_items(pattern), len(text)) > _STEPS:
        raise TemplateTooLarge(
            f"the pattern {pattern!r} could take too long on a text of {len(text):,} characters; use fewer repetitions"
        )
    return expression
