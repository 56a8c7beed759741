"""From a file to its text: refuses what is not a plan's text before anything parses it."""

from __future__ import annotations

import os
import re
import stat
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems
from orchestrator_client.loader.text import secret

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

_WIDE = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)

_SECRETS_SHOWN = 20

_STEPS = re.compile(r"^steps:[ \t]*(?:#.*)?\n(?:[ \t]*(?:#.*)?\n)*( *)(?=- )", re.MULTILINE)
"""A list of steps as it is nearly always written: the key at the left, and each step behind a dash below it."""
_TOP = re.compile(r"^[^\s#-]", re.MULTILINE)
"""The next key at the left."""

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]|\r(?!\n)")
"""What YAML does not allow in a file, and a carriage return that ends no line."""


def read(path: Path, most: int = caps.PLAN_BYTES) -> bytes:
    """The bytes of a plan file, or of one that it includes. A FIFO, device or directory is refused, never waited for.

    Raises:
        PlanInvalid: the file cannot be read, is not a regular file, or has more than `most` bytes.
    """
    try:
        with _opened(path) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise _refused(path, Code.UNREADABLE, f"cannot read the file: {error.strerror}") from error
    _check_size(len(data), str(path), most)
    return data


def decode(source: str | bytes, problems: Problems) -> str:
    """The text of a plan: UTF-8, with or without a byte order mark.

    Raises:
        PlanInvalid: another encoding, a control character, or more than `caps.PLAN_BYTES`.
    """
    _check_size(len(source), problems.file)
    text = source if isinstance(source, str) else _utf8(source, problems)
    text = text.removeprefix("\ufeff")
    if found := _FORBIDDEN.search(text):
        name = "a lone carriage return" if found[0] == "\r" else f"control character U+{ord(found[0]):04X}"
        problems.error(Code.CONTROL_CHARACTER, f"{name} in the file", place_of(text, found.start()), "remove it")
        problems.raise_if_any()
    _refuse_secrets(text, problems)
    _refuse_too_many_steps(text, problems)
    return text


def place_of(text: str, offset: int) -> Place:
    """Where `offset` lies in `text`."""
    return Place(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _refuse_secrets(text: str, problems: Problems) -> None:
    """Search the text as a whole, comments included: whoever reads the file reads them too."""
    for offset, mask in islice(secret.found_in(text), _SECRETS_SHOWN):
        problems.error(
            Code.SECRET,
            f"this looks like a secret ({mask}); plans are stored and shown",
            place_of(text, offset),
            "take it out, revoke it, and give it to the workers' environment (OPENAI_API_KEY, or a secret://NAME)",
        )


def _refuse_too_many_steps(text: str, problems: Problems) -> None:
    """Count the steps before they are parsed, which takes half a millisecond each.

    Within a list, no scalar can have a line that begins with a dash as far left as the list's own: YAML indents them.
    """
    if text.count("\n") <= caps.STEPS or (steps := _STEPS.search(text)) is None:
        return
    end = _TOP.search(text, steps.end())
    listed = re.findall(rf"^{steps[1]}- ", text[steps.start() : end.start() if end else len(text)], re.MULTILINE)
    if len(listed) > caps.STEPS:
        message = f"{len(listed):,} steps; {caps.STEPS:,} are allowed"
        problems.error(Code.TOO_LARGE, message, place_of(text, steps.end()))
        problems.raise_if_any()


def _utf8(data: bytes, problems: Problems) -> str:
    """The text of UTF-8 bytes. Other encodings are named, never guessed at and read."""
    wide = next((name for mark, name in _WIDE if data.startswith(mark)), "")
    try:
        if wide:
            raise UnicodeDecodeError("utf-8", data, 0, 1, "")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        at = Place(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        guess = wide or ("UTF-16" if b"\0" in data[:64] else "Latin-1 or Windows-1252")
        problems.error(Code.ENCODING, f"not UTF-8 text; it looks like {guess}", at, "save the file as UTF-8")
        problems.raise_if_any()
        raise


def _opened(path: Path) -> BinaryIO:
    """An open regular file. `O_NONBLOCK` keeps a FIFO without a writer from holding the caller."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _refused(path, Code.UNREADABLE, f"cannot open the plan: {reason}") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for test, name in _KINDS if test(mode)), "something else")
        raise _refused(path, Code.NOT_A_FILE, f"not a regular file but {kind}")
    return os.fdopen(descriptor, "rb")


def _check_size(size: int, file: str, most: int = caps.PLAN_BYTES) -> None:
    """Refuse before parsing, which takes a hundred times as long as reading."""
    if size > most:
        raise PlanInvalid([Problem(Code.TOO_LARGE.value, f"the plan is larger than {most:,} bytes")], file)


def _refused(path: Path, code: Code, message: str) -> PlanInvalid:
    """The error of a file that was not read."""
    return PlanInvalid([Problem(code.value, message)], str(path))
