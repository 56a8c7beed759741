"""Ways to show a run's events as they come: a live tree, plain lines, or JSON for programs.

A display is entered when the first event may come and left when the last one has, or when something went wrong; it
never decides when that is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import IO, Protocol, Self

import click
from rich.console import RenderableType
from rich.live import Live

from orchestrator_client.cli.show.lines import line_of
from orchestrator_client.cli.show.progress import Progress
from orchestrator_client.cli.show.rendering import console
from orchestrator_client.cli.show.text import json_text
from orchestrator_client.cli.show.tree import render
from orchestrator_client.contract.event import Event
from orchestrator_client.contract.plan import Plan

FRAMES_PER_SECOND = 8


class Display(Protocol):
    """Shows events between `with` and its end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: Event) -> None:
        """Take in the next event of the run."""

    def paused(self) -> AbstractContextManager[None]:
        """Leave the terminal to somebody else for a while."""


class _Lines:
    """Base of displays that hold nothing."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def paused(self) -> AbstractContextManager[None]:
        """Nothing is held."""
        return nullcontext()


class PlainLines(_Lines):
    """One line an event."""

    def show(self, event: Event) -> None:
        """Write the event at once: whoever reads a pipe sees it when it happens."""
        click.echo(line_of(event), file=self._stream)


class JsonLines(_Lines):
    """One JSON object an event, on a line of its own."""

    def show(self, event: Event) -> None:
        """Write the event with all its fields; its `id` is what `--after` takes."""
        click.echo(json_text(json.loads(event.model_dump_json()), indent=None), file=self._stream)


class LiveTree:
    """The tree of steps, redrawn in place."""

    def __init__(self, plan: Plan, run: str, stream: IO[str]) -> None:
        self._progress, self._run = Progress(plan), run
        self._console = console(stream)
        self._live = self._new_live()

    def __enter__(self) -> Self:
        """Start to draw, and hide the cursor."""
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw the last frame, which stays, and give the cursor back."""
        self._live.stop()

    def show(self, event: Event) -> None:
        """Take in the event; the next frame, drawn by a thread of its own, shows it."""
        self._progress.apply(event)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the last frame where it is, and go on below whatever is written meanwhile."""
        self._live.stop()
        yield
        self._live = self._new_live()
        self._live.start(refresh=True)

    def _new_live(self) -> Live:
        return Live(console=self._console, get_renderable=self._frame, refresh_per_second=FRAMES_PER_SECOND)

    def _frame(self) -> RenderableType:
        """The tree at this moment, as high as the terminal is now: it may have been resized."""
        return render(self._progress, self._run, self._console.height)


def display_for(plan: Plan, run: str, stream: IO[str] | None = None, whole: bool = True) -> Display:
    """A live tree on a terminal that can redraw, plain lines anywhere else.

    With `whole=False` only a part of the events is followed, of which no tree can be made: lines, too.
    """
    target = stream or sys.stdout
    if whole and target is not None and target.isatty() and not console(target).is_dumb_terminal:
        return LiveTree(plan, run, target)
    return PlainLines(target)
