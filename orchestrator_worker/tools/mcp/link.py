"""An open connection to a server, in our words: what is asked of it, what it answers, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.lock import ToolPin
from orchestrator_client.contract.plan import Json


class OnProgress(Protocol):
    """Takes how far a call is: how much of how much, and in words."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


class Lost(ToolFailed):
    """The session ended while the call was under way: it may or may not have been done."""


class Unsent(Lost):
    """The session had ended before the server took the call: it was not done."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A tool as its server lists it."""

    name: str
    description: str
    parameters: dict[str, Json]
    """JSON Schema."""
    result: dict[str, Json] | None
    """JSON Schema of what it leaves, where the server says."""
    read_only: bool
    idempotent: bool
    version: str = ""
    """Release of the server that lists it, as that says itself."""

    @property
    def pin(self) -> ToolPin:
        """What a lock has of it."""
        return ToolPin.of(self.description, self.parameters, self.result)

    @property
    def repeatable(self) -> bool:
        """Whether a call that may have been done may be made again."""
        return self.read_only or self.idempotent


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of what a tool answered: text, or bytes of some media type."""

    text: str = ""
    data: bytes | None = None
    media_type: str = ""
    uri: str = ""
    """Of a resource, embedded or only named."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a tool answered."""

    blocks: tuple[Block, ...]
    structured: Json = None
    failed: bool = False
    """The tool reports failure; its text says why."""

    @property
    def text(self) -> str:
        return "\n".join(block.text for block in self.blocks if block.text)


class Link(Protocol):
    """An open connection."""

    asks_again: bool
    """Whether a call in which the server asks something has done nothing yet, and is made again with the answer: so the
    protocol has it since 2026."""

    async def tools(self) -> list[Listed]:
        """All tools, in the server's order."""

    async def call(self, tool: str, arguments: Mapping[str, Json], on_progress: OnProgress) -> Reply:
        """Call a tool. Cancelling this tells the server.

        Raises:
            Lost: the session has ended; `Unsent` where the call was not taken.
            ToolFailed: the server refuses, or its answer is none.
        """
