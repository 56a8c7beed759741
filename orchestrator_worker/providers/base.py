"""What a model provider is asked, and what it answers. One provider a file; a vendor is imported there alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. `role`: system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model, in nobody's dialect."""

    model: str
    """The provider's own name for it, without the provider."""
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    timeout_seconds: float = 600.0
    """For the whole call; the caller enforces it too, because an SDK's timeout is per read."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A complete answer: one that ended for a reason that the provider named."""

    text: str
    model: str
    """The model that answered, as the provider names it."""
    finish_reason: str
    usage: Usage = field(default_factory=Usage)
    raw_usage: dict[str, Json] = field(default_factory=dict)
    """The provider's own usage record, for pricing."""
    warnings: tuple[str, ...] = ()
    """What the provider was asked for and not given, such as a temperature that the model does not take."""


class Provider(Protocol):
    """Calls one vendor's models. Runs on the worker's loop, where a call can be cancelled."""

    name: str

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Make the call.

        Raises:
            CredentialMissing: the worker's environment has no key for this provider.
            ModelFailed: the provider refused, failed, was not reached, or its answer is not complete.
        """
        ...
