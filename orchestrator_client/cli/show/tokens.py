"""The text of models on stdout, as they write it."""

from __future__ import annotations

import json
from types import TracebackType
from typing import IO, Protocol, Self

import click

from orchestrator_client.cli.show.text import json_text, one_line, printable
from orchestrator_client.contract.event import Delta, Dropped, Written
from orchestrator_client.messages import Message


class Reader(Protocol):
    """Shows messages between `with` and its end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, message: Message, cursor: str, /) -> None:
        """Take in the next message; `cursor` is the position behind it."""


class JsonText:
    """One JSON object a message, on a line of its own, with the `cursor` that `--after` takes."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, message: Message, cursor: str) -> None:
        """Write it at once."""
        fields = json.loads(message.model_dump_json(exclude={"id"}))
        line = {"type": type(message).__name__.lower(), **fields, "cursor": cursor}
        click.echo(json_text(line, indent=None), file=self._stream)


class PlainText:
    """The text itself. While several steps write at once, whole lines of each, with its name before them."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._rest: dict[str, str] = {}
        """Step that writes now -> what it wrote of its present line and is not shown yet."""
        self._together = False
        self._is_line_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show what is left, and end the line."""
        for step in list(self._rest):
            self._finish(step)

    def show(self, message: Message, _cursor: str) -> None:
        """Write what can be shown of it at once."""
        step = message.instance
        match message:
            case Delta():
                self._begin(step)
                self._write(step, message.text)
            case Written():
                if message.text:
                    self._begin(step)
                    self._write(step, message.text)
                self._finish(step)
            case Dropped():
                self._finish(step)
                self._end_line()
                self._put(f"--- {one_line(step)}: attempt {message.attempt} is void, it begins anew ---\n")

    def _begin(self, step: str) -> None:
        """A step writes; with the second one that does, lines get names."""
        if step in self._rest:
            return
        self._rest[step] = ""
        if len(self._rest) > 1 and not self._together:
            self._end_line()
            self._together = True

    def _write(self, step: str, text: str) -> None:
        """Text of one step: at once if it is alone, else as far as lines of it are whole."""
        if not self._together:
            self._put(text)
            return
        *lines, self._rest[step] = (self._rest[step] + text).split("\n")
        for line in lines:
            self._put(f"{one_line(step)}: {line}\n")

    def _finish(self, step: str) -> None:
        """A step writes no more; with the last one that does, a single step has the screen again."""
        if step not in self._rest:
            return
        if rest := self._rest.pop(step):
            self._put(f"{one_line(step)}: {rest}\n")
        if not self._rest:
            self._end_line()
            self._together = False

    def _end_line(self) -> None:
        """What comes next begins a line."""
        if self._is_line_open:
            self._put("\n")

    def _put(self, text: str) -> None:
        """Write text with nothing in it that a terminal would obey, but its lines and tabs."""
        if not text:
            return
        shown = "".join(part if part in "\n\t" else printable(part) for part in _parts(text))
        click.echo(shown, file=self._stream, nl=False)
        self._stream.flush()
        self._is_line_open = not text.endswith("\n")


def _parts(text: str) -> list[str]:
    """Lines, and the ends of lines and tabs between them."""
    parts, start = [], 0
    for at, character in enumerate(text):
        if character in "\n\t":
            parts += [text[start:at], character]
            start = at + 1
    return [part for part in (*parts, text[start:]) if part]
