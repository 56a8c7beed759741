"""What a model provider is asked, and what it answers. One vendor a package, whose client alone imports the SDK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator_client.contract.limits import RateLimit
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage


@dataclass(frozen=True, slots=True)
class Media:
    """An image, sound or document in a message: its bytes, or a URL from which the provider takes it."""

    media_type: str
    """MIME type: `image/png`, `audio/wav`, `application/pdf`, `text/plain`."""
    data: bytes | None = None
    url: str | None = None
    name: str = ""
    """File name, where the provider shows one to the model."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool."""

    id: str
    """The provider's, by which the result is told apart; made up where the provider gives none."""
    name: str
    arguments: dict[str, Json]
    problem: str = ""
    """Why the arguments could not be read; empty where they could."""


@dataclass(frozen=True, slots=True)
class ToolReturn:
    """What a tool gave the model back."""

    id: str
    name: str
    content: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    parts: tuple[str | Media, ...] = ()
    """Text and media, in order."""
    calls: tuple[ToolCall, ...] = ()
    """Of the assistant: the tools that it asked for."""
    returns: tuple[ToolReturn, ...] = ()
    """Of the role `tool`: the results of all calls of the message before."""
    native: Json = None
    """Of the assistant: its message as the provider worded it, to be sent back as it was; see `ModelReply.native`."""

    @classmethod
    def of(cls, role: str, text: str) -> Message:
        """A message that is one text."""
        return cls(role, (text,))

    @property
    def text(self) -> str:
        """Its text, without media."""
        return "".join(part for part in self.parts if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """A tool that the model may ask for."""

    name: str
    """Letters, digits, `_` and `-`, at most 64."""
    description: str
    parameters: Json
    """JSON Schema of an object."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model, in nobody's dialect. What a provider has no word for is left out with a warning, unless
    the reply would be worth nothing without it; then the call fails before it is made."""

    model: str
    """The provider's own name for it, without the provider."""
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning_effort: str | None = None
    """`none`, `minimal`, `low`, `medium` or `high`."""
    schema: Json = None
    """JSON Schema of the reply, by the provider's native way; None for text."""
    tools: tuple[ToolOffer, ...] = ()
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or the name of the one tool to call."""
    options: dict[str, Json] = field(default_factory=dict)
    """Merged into the request as the provider words it, last: for what we have no word for."""
    credential: str = ""
    """Which of the provider's accounts; empty for the one that its configuration names first."""
    timeout_seconds: float = 600.0
    """For the whole call; the caller enforces it too, because an SDK's timeout is per read."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A complete answer: one that ended for a reason that the provider named."""

    text: str
    model: str
    """The model that answered, as the provider names it."""
    finish_reason: str
    """`stop`, `length` or `tools`."""
    calls: tuple[ToolCall, ...] = ()
    native: Json = None
    """The assistant's message as the provider worded it, where its parts must come back unchanged in the next turn
    (reasoning, signatures of thoughts); None where text and calls say it all."""
    usage: Usage = field(default_factory=Usage)
    raw_usage: dict[str, Json] = field(default_factory=dict)
    """The provider's own usage record, for pricing."""
    warnings: tuple[str, ...] = ()
    """What the provider was asked for and not given, such as a temperature that the model does not take."""
    limits: tuple[RateLimit, ...] = ()
    """What the answer's headers say of the account's limits."""


OnText = Callable[[str], None]
"""Called on the worker's loop with each piece of text as it comes, in order."""


class Provider(Protocol):
    """Calls one vendor's models. Runs on the worker's loop, where a call can be cancelled."""

    name: str

    def warm(self) -> None:
        """Import the SDK ahead of the first call; nothing if it is not installed."""
        ...

    def check_key(self) -> None:
        """
        Raises:
            CredentialMissing: the environment has no key for calls that name no account.
        """
        ...

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Make the call. With `on_text` the reply is streamed, and complete only with the provider's terminal reason.

        Raises:
            CredentialMissing: the worker's environment has no key for this provider.
            ModelFailed: the provider refused, failed, was not reached, or its answer is not complete.
        """
        ...
