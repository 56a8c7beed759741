"""What a scalar of YAML 1.2 means: `no`, `on` and `12:30` are text, and nothing becomes a date."""

from __future__ import annotations

import math
import re

from orchestrator_client.contract.plan import Json
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted

_CORE = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    _CORE + "int": (int,),
    _CORE + "float": (int, float),
    _CORE + "bool": (bool,),
    _CORE + "null": (type(None),),
}
SCALAR_TAGS = frozenset({"!", _CORE + "str", *_TYPES})
"""Tags that a scalar may carry."""
COLLECTION_TAGS = frozenset({"!", _CORE + "seq", _CORE + "map"})
"""Tags that a list or mapping may carry."""

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FIRST_OF_A_NUMBER = frozenset("+-.0123456789")

LARGEST_INTEGER = 2**53
"""Beyond it, a reader that keeps numbers as doubles (Lua, JavaScript) changes them."""

_DIGITS = 24
"""More characters than an integer in range needs. Python itself refuses to read thousands of digits."""


def resolve(text: str, tag: str | None, plain: bool, at: Place, problems: Problems) -> Json:
    """The value of a scalar; `plain` means that it stands without quotes. What is refused becomes None."""
    if tag in _TYPES:
        value = _plain(text, at, problems)
        if not isinstance(value, _TYPES[tag]) or (isinstance(value, bool) and bool not in _TYPES[tag]):
            problems.error(Code.TAG, f"{quoted(text)} does not fit its tag", at, "remove the tag")
        return value
    if plain and tag is None:
        return _plain(text, at, problems)
    return _text(text, at, problems)


def _plain(text: str, at: Place, problems: Problems) -> Json:
    """The value of a scalar without quotes, by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _FIRST_OF_A_NUMBER:
        return _text(text, at, problems)
    if _INTEGER.fullmatch(text):
        return _integer(text, at, problems)
    if _FLOAT.fullmatch(text):
        return _float(text, at, problems)
    if _NOT_FINITE.fullmatch(text):
        _refused(f"{quoted(text)} is not a finite number", text, at, problems)
        return None
    return _text(text, at, problems)


def _integer(text: str, at: Place, problems: Problems) -> Json:
    """An integer within ±2^53. A leading zero is lost, which matters to postcodes and versions."""
    value = int(text, 0 if text[:2] in ("0o", "0x") else 10) if len(text) <= _DIGITS else None
    if value is None or abs(value) > LARGEST_INTEGER:
        _refused(f"integer {quoted(text)[1:-1]} is out of range ±2^53", text, at, problems)
        return None
    if len(digits := text.lstrip("+-")) > 1 and digits[0] == "0":
        problems.warn(
            Code.NUMBER_SPELLING, f"{text} is read as the number {value}", at, f'quote it if it is text: "{text}"'
        )
    return value


def _float(text: str, at: Place, problems: Problems) -> Json:
    """A finite number: JSON has no others."""
    value = float(text)
    if not math.isfinite(value):
        _refused(f"{quoted(text)} is not a finite number", text, at, problems)
        return None
    return value


def _text(text: str, at: Place, problems: Problems) -> str:
    """The text, with halves of characters that were written as two escapes put together."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        problems.error(Code.SURROGATE, "half a character (a lone surrogate) in the text", at, "remove the \\ud… escape")
        return ""


def _refused(message: str, text: str, at: Place, problems: Problems) -> None:
    """Add why the text is no number. Its value is None, so that nothing else complains of it."""
    problems.error(Code.NUMBER, message, at, f'quote it if it is text: "{quoted(text)[1:-1]}"')
