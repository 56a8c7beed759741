"""Files that a pipeline takes text from: `{{ file:path }}` and `<< path >>`, pasted in before anything else reads it.

What is included is as if it stood in the file itself: its templates are the pipeline's, and it may include further
files. Only the author's folders are read: that of the pipeline's file and the working folder, whatever links say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.text import secret, source
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, Sequence

INCLUDED_BYTES = 10 * 1024 * 1024
"""Of all text that one pipeline includes."""
LEAST_BYTES = 1024
"""That an inclusion counts for, so that small files cannot include each other for ever."""
LEVELS = 10
"""Files that include files."""
FOLDERS = (".", "prompts", "templates", "includes", "content")
"""Where a path may start, within the pipeline's folder and then within the working folder."""

_BRACES = r"\{\{\s*file:\s*(?P<braces>[^{}\n]+?)\s*\}\}"
_ANGLES = r"<<[ \t]*(?P<angles>[\w./-]*\w[./][\w./-]*\w)[ \t]*>>"
"""A path with a slash or a suffix: other words between angles are shell, or arithmetic."""
_MARK = re.compile(f"{_BRACES}|{_ANGLES}")

_LABELS = frozenset({"id", "name", "description", "version", "metadata"})
_PROGRAMS = frozenset({"command", "code"})
"""Parameters in which angles mean something else."""


def paste(root: Node | None, problems: Problems) -> None:
    """Put the text of files in the places that ask for it; what cannot be included is added."""
    if root is not None:
        _Paste(problems).below(root)


@dataclass(slots=True)
class _Paste:
    """The inclusions of one pipeline."""

    problems: Problems
    left: int = INCLUDED_BYTES
    texts: dict[Path, str] = field(default_factory=dict)

    def below(self, node: Node, angles: bool = True) -> None:
        match node:
            case Mapping():
                for key, entry in node.entries.items():
                    if key not in _LABELS:
                        self.below(entry.value, key not in _PROGRAMS)
            case Sequence():
                for item in node.items:
                    self.below(item, angles)
            case Scalar(value=str() as text) if "file:" in text or (angles and "<<" in text):
                pasted = self._text(text, angles, _Origin(node, ()))
                if pasted != text:
                    # Lines of the value are not those of the file any more.
                    node.value, node.literal = pasted, False

    def _text(self, text: str, angles: bool, origin: _Origin) -> str:
        """The text with what it includes."""
        pieces, done = [], 0
        for mark in _MARK.finditer(text):
            path = mark["braces"] or (mark["angles"] if angles else None)
            if path is None:
                continue
            line = text.count("\n", 0, mark.start()) + 1
            included = self._included(path.strip().strip("\"'"), origin.at(line))
            pieces += [text[done : mark.start()], included]
            done = mark.end()
        return "".join([*pieces, text[done:]])

    def _included(self, path: str, origin: _Origin) -> str:
        """What stands for one mark; nothing, with the reason added, where it cannot be had.

        For a file that is not there it is its path, so that a value which is nothing else is not found empty as well.
        """
        file = self._found(path, origin.place)
        if file is None:
            return path
        if file in origin.files:
            circle = " → ".join(one.name for one in (*origin.files[origin.files.index(file) :], file))
            self.problems.error(Code.CYCLE, f"files include each other in a circle: {circle}", origin.place)
            return ""
        if len(origin.files) >= LEVELS:
            message = f"files include files deeper than {LEVELS} levels"
            self.problems.error(Code.TOO_DEEP, message, origin.place, f"paste {quoted(path)} in")
            return ""
        text = self._read(file, path, origin.place)
        return self._text(text, True, origin.within(file)) if text else ""

    def _found(self, path: str, at: Place) -> Path | None:
        """The file that a path means; None with the reason added."""
        roots = list(dict.fromkeys([Path(self.problems.file).parent.resolve(), Path.cwd()]))
        for candidate in _candidates(path, roots):
            if candidate.is_file() or candidate.is_symlink():
                resolved = candidate.resolve()
                if any(resolved.is_relative_to(root) for root in roots):
                    return resolved
                message = f"{quoted(path)} leads out of the pipeline's folder and of the working folder"
                self.problems.error(Code.INCLUSION, message, at, "copy the file there")
                return None
        remedy = f"put it beside the pipeline, or in one of the folders {', '.join(FOLDERS[1:])}"
        self.problems.error(Code.INCLUSION, f"there is no file {quoted(path)} to include", at, remedy)
        return None

    def _read(self, file: Path, path: str, at: Place) -> str | None:
        """The text of a file; None with the reason added."""
        if file not in self.texts:
            try:
                self.texts[file] = source.read(file, INCLUDED_BYTES).decode("utf-8-sig")
            except PlanInvalid as error:
                message = f"{quoted(path)} cannot be included: {error.problems[0].message}"
                self.problems.error(Code.INCLUSION, message, at)
                return None
            except UnicodeDecodeError:
                self.problems.error(Code.ENCODING, f"{quoted(path)} is not UTF-8 text", at, "save the file as UTF-8")
                return None
        text = self.texts[file]
        if found := next(secret.found_in(text), None):
            message = f"{quoted(path)} holds what looks like a secret ({found[1]}); plans are stored and shown"
            self.problems.error(Code.SECRET, message, at, "take it out, and give it to the workers' environment")
            return None
        self.left -= max(len(text.encode()), LEAST_BYTES)
        if self.left < 0:
            message = f"the included files have more than {INCLUDED_BYTES:,} bytes"
            self.problems.error(Code.TOO_LARGE, message, at, "read them in steps")
            return None
        return text


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where an inclusion stands: in which value of the pipeline, and within which included files."""

    scalar: Scalar
    files: tuple[Path, ...]
    line: int = 1

    def at(self, line: int) -> _Origin:
        """The same at a line of the value; lines of included files are not the pipeline's."""
        return self if self.files else _Origin(self.scalar, (), line)

    def within(self, file: Path) -> _Origin:
        return _Origin(self.scalar, (*self.files, file), self.line)

    @property
    def place(self) -> Place:
        return self.scalar.place_of_line(self.line)


def _candidates(path: str, roots: list[Path]) -> Iterator[Path]:
    """Where a file may lie, the likeliest first. An absolute path is none of these."""
    if path.startswith(("/", "~")) or "\0" in path:
        return
    yield from (root / folder / path for root in roots for folder in FOLDERS)
