"""The seam: where everything that simulated processes do to the world outside passes through, one operation at a time.

A simulated process is made of greenlets. One that wants something of the store, of the transport, of the clock or of a
tool says so here, and stands still until the schedule lets it go on: with the reply, with an error instead of it, or
never.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import greenlet


class Operation(NamedTuple):
    """One thing that a process asks of the world."""

    kind: str
    """`store`, `transport`, `pause` (of a store that is away), or `effect`."""
    name: str
    """Of a script its file, else the command."""
    perform: Callable[[], Any]
    args: tuple[Any, ...] = ()
    """Of a script its ARGV."""
    away: Callable[[], Exception] | None = None
    """The error that says nothing of whether it was done; None where there is none."""


class Actor(greenlet.greenlet):
    """One thread of one process: it runs until its next operation."""

    def __init__(self, name: str, process: Any, work: Callable[[], Any]) -> None:
        super().__init__(work)
        self.name, self.process = name, process
        self.operation: Operation | None = None
        """What it waits to do."""
        self.killed = False
        self.message: Any = None
        """Of the task of a message: that."""

    def __repr__(self) -> str:
        return f"{self.name}@{self.process}"


def ask(operation: Operation) -> Any:
    """Do something in the world outside, as the actor that runs now. Outside of a schedule it is simply done."""
    actor = greenlet.getcurrent()
    if not isinstance(actor, Actor):
        return operation.perform()
    if actor.killed:
        # What a dying process would do on its way out, nobody sees any more.
        raise greenlet.GreenletExit
    actor.operation = operation
    return actor.parent.switch()


def process_now() -> Any:
    """The process that runs now."""
    actor = greenlet.getcurrent()
    assert isinstance(actor, Actor), "no process runs now"
    return actor.process
