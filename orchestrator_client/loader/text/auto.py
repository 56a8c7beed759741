"""Keeps AUTO tags out of the YAML parser's sight, whose prose holds what YAML would read as its own.

A tag is `<AUTO attributes>prose</AUTO>`, and tags nest. Before a file is parsed, each is replaced by a placeholder of
its own length, so that every column stays; the placeholder is turned back where the parser hands a text over. A tag
may span lines, but none whose indentation is that of its key or less. One that is never closed is left as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice

_OPENING = r"<AUTO(?:[ \t][^<>\n]*)?>"
_MARK = re.compile(rf"{_OPENING}|</AUTO>")
_TOKEN = re.compile(rf"{_OPENING}|[\"'\\]|(?<=\s)\#")
_KEY = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'\[{#:][^:]*):(?=\s|$)""")
_DASHES = re.compile(r" *(?:- +)*")
_BLOCK = re.compile(r"[|>][-+0-9]{0,2}\s*(?:\s#.*)?$")
_CONFLICTS = {'"': re.compile(r'(?<!\\)"'), "'": re.compile(r"(?<!')'(?:'')*(?!')")}
"""What in a tag would end the quotes around it."""

_PRIVATE = range(0xE000, 0xF900)
"""Characters that mean nothing to anybody, of which a file hardly uses all."""

_SEARCHED = 16
"""How often, on the average, each character of a file may be looked at in search of the ends of tags."""


@dataclass(slots=True)
class Protected:
    """A file's text without its tags, and the tags."""

    text: str
    tags: list[str] = field(default_factory=list)
    placeholder: re.Pattern[str] | None = None

    def restored(self, text: str) -> str:
        """A text of the file with its tags put back; lines of a tag are folded into one."""
        return text if self.placeholder is None else self.placeholder.sub(self._tag, text)

    def _tag(self, match: re.Match[str]) -> str:
        number = int(match[1], 36)
        return self.tags[number] if number < len(self.tags) else match[0]


def protect(text: str) -> Protected:
    """The text with a placeholder for every tag that the parser might stumble over."""
    marks = list(islice((chr(code) for code in _PRIVATE if chr(code) not in text), 2))
    if "<AUTO" not in text or len(marks) < 2:
        return Protected(text)
    scanner = _Scanner(text, *marks)
    placeholder = re.compile(f"{marks[0]}([0-9a-z]+){marks[1]}+")
    return Protected(scanner.replaced(), scanner.tags, placeholder)


class _Scanner:
    """Reads a file line by line, and knows as much of YAML as tells where a tag stands: in quotes, a block, a comment.

    What it takes for quotes wrongly is left to the parser as it stands, which then says what it does not understand.
    """

    def __init__(self, text: str, start: str, fill: str) -> None:
        self.tags: list[str] = []
        self._start, self._fill = start, fill
        self._lines = text.split("\n")
        self._left = _SEARCHED * len(text)
        self._quote, self._quoted_in = "", 0
        self._block: int | None = None
        """Indentation that the lines of an open block scalar pass."""

    def replaced(self) -> str:
        """The text with placeholders; a line that a tag ends on moves up to where the tag began."""
        out: list[str] = []
        number = 0
        while number < len(self._lines):
            line = self._lines[number]
            if self._is_skipped(line):
                out.append(line)
                number += 1
                continue
            last, text = self._line(number)
            out += [text, *[""] * (last - number)]
            number = last + 1
        return "\n".join(out)

    def _is_skipped(self, line: str) -> bool:
        """Whether a line belongs to a block scalar, or is a comment: there, a tag is in nobody's way."""
        content = line.lstrip(" ")
        indent = len(line) - len(content)
        is_blank = not content.strip()
        if self._block is not None:
            if is_blank or indent > self._block:
                return True
            self._block = None
        if self._quote and not is_blank and indent <= self._quoted_in:
            self._quote = ""
        return is_blank or (not self._quote and content.startswith("#"))

    def _line(self, number: int) -> tuple[int, str]:
        """One line with its placeholders, and the number of the last line that went into it."""
        line, limit = self._lines[number], _Limit(self._lines[number])
        pieces, done, column = [], 0, 0
        while found := _TOKEN.search(line, column):
            column = found.end()
            if not found[0].startswith("<"):
                if found[0] == "#" and not self._quote:
                    break
                column = self._quoting(line, found, limit)
                continue
            end = self._end(number, column, limit.at(found.start()))
            if not self._is_in_the_way(number, found, end):
                continue
            pieces += [line[done : found.start()], self._placeholder(number, found.start(), end or (number, column))]
            if end is not None:
                if end[0] > number:
                    number, line = end[0], self._lines[end[0]]
                    limit = _Limit(line)
                column = end[1]
            done = column
        self._open_block(line, limit)
        return number, "".join([*pieces, line[done:]])

    def _quoting(self, line: str, found: re.Match[str], limit: _Limit) -> int:
        """Follow a quotation mark or an escape; where to read on."""
        mark, at = found[0], found.start()
        if mark == "\\":
            return at + (2 if self._quote == '"' else 1)
        if self._quote == mark == "'" and line.startswith("''", at):
            return at + 2
        if self._quote == mark:
            self._quote = ""
        elif not self._quote and mark != "#" and _before(line, at) in ":,[{-?":
            self._quote, self._quoted_in = mark, limit.at(at)
        return at + 1

    def _end(self, number: int, column: int, limit: int) -> tuple[int, int] | None:
        """Line and column behind the tag whose prose starts there; None where it is never closed."""
        depth = 1
        for at in range(number, len(self._lines)):
            line = self._lines[at]
            if at > number and line.strip() and len(line) - len(line.lstrip(" ")) <= limit:
                return None
            start = column if at == number else 0
            while self._left > 0 and (mark := _MARK.search(line, start)):
                self._left -= mark.end() - start
                start = mark.end()
                depth += -1 if mark[0] == "</AUTO>" else 1
                if depth == 0:
                    return at, start
            self._left -= len(line) - start + 1
            if self._left <= 0:
                return None
        return None

    def _is_in_the_way(self, number: int, opening: re.Match[str], end: tuple[int, int] | None) -> bool:
        """Whether the parser must not see a tag. Within quotes it may, but for a tag that would end them."""
        if end is None:
            rest = opening.string[opening.end() : opening.end() + 80].lstrip()
            return not self._quote and rest[:1] in ("", ",", "}", "]", "#")
        if not self._quote:
            return True
        return _CONFLICTS[self._quote].search(self._text(number, opening.start(), end)) is not None

    def _text(self, number: int, column: int, end: tuple[int, int]) -> str:
        """The text between two places, its lines folded into one."""
        last, stop = end
        if last == number:
            return self._lines[number][column:stop]
        lines = [self._lines[number][column:], *self._lines[number + 1 : last], self._lines[last][:stop]]
        return " ".join(line.strip() for line in lines if line.strip())

    def _placeholder(self, number: int, column: int, end: tuple[int, int]) -> str:
        """What stands for a tag, as wide as the part of it on its first line."""
        self.tags.append(self._text(number, column, end))
        width = (end[1] if end[0] == number else len(self._lines[number])) - column
        return f"{self._start}{_base36(len(self.tags) - 1)}".ljust(max(width, 3), self._fill)

    def _open_block(self, line: str, limit: _Limit) -> None:
        """Note that a block scalar starts on the next line, if it does."""
        header = None if self._quote else _BLOCK.search(line)
        if header is not None and _before(line, header.start()) in ":-":
            self._block = limit.at(header.start())


class _Limit:
    """Indentation that the lines of a value must pass: that of its key, of its dash, or one less than their own."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._known: tuple[int, int, int] | None = None

    def at(self, column: int) -> int:
        """The limit of a value that starts at this column."""
        if self._known is None:
            dashes = _DASHES.match(self._line)
            start = dashes.end() if dashes else 0
            key = _KEY.match(self._line, start)
            dash = self._line.rfind("-", 0, start)
            indent = len(self._line) - len(self._line.lstrip(" "))
            self._known = (key.end() if key else len(self._line) + 1, start, dash if dash >= 0 else indent - 1)
        end_of_key, key_column, without_key = self._known
        return key_column if column >= end_of_key else without_key


def _before(line: str, column: int) -> str:
    """The last character before a column that is no blank; a colon where there is none, as at a line's start."""
    while column and line[column - 1] in " \t":
        column -= 1
    return line[column - 1] if column else ":"


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number or not text:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text
