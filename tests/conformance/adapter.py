"""What the suite must know of each provider: how to build it, and how its vendor words things on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator_worker.providers.base import Provider
from tests.conformance.model_server import Answer, Received


class ClosableProvider(Provider, Protocol):
    async def close(self) -> None: ...


@dataclass(frozen=True)
class Sent:
    """What a request asked for, in nobody's dialect. None and empty lists stand for what was not sent."""

    path: str
    key: str
    model: str
    system: str | None
    messages: list[tuple[str, str]]
    """Role and text of each user and assistant message; those that are media, calls or returns alone may be here with
    an empty text."""
    max_tokens: int | None
    temperature: float | None
    top_p: float | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    reasoning_effort: str | None = None
    """In our words, or in the vendor's where they do not say the same."""
    schema: Any = None
    """JSON Schema of the reply, as the vendor got it."""
    tools: list[tuple[str, str, Any]] = field(default_factory=list)
    """Name, description and parameters of each tool on offer."""
    tool_choice: str | None = None
    """`auto`, `none`, `required`, or the name of the one tool to call."""
    media: list[tuple[str, bytes | str]] = field(default_factory=list)
    """MIME type (empty where the wire does not tell it) and bytes or URL, in order of all messages."""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    """Id, name and parsed arguments of each call in assistant messages."""
    returns: list[tuple[str, str, bool]] = field(default_factory=list)
    """Id, content (without a prefix that stands for failure) and whether it failed, of each tool's return."""
    body: Any = None
    """The whole of it, as it came."""


class Adapter(Protocol):
    """One provider as the suite sees it."""

    name: str
    key_variable: str
    plain_model: str
    """A model that takes a temperature, where the vendor has one."""
    reasoning_model: str | None
    """A model that takes none, where the vendor has one."""
    takes_temperature: bool
    """Whether `plain_model` does."""
    default_max_tokens: int | None
    """What is sent where the request sets no limit."""
    path: str
    llmock_path: str
    """Where llmock keeps the vendor: what stands before `path` there."""

    def provider(self, root: str) -> ClosableProvider:
        """The provider, pointed at the server whose root this is."""
        ...

    def text(self, content: str, **fields: Any) -> Answer:
        """A whole answer. Fields: model, finish_reason (`stop`, `length`, `content_filter`), input_tokens,
        cached_tokens, output_tokens, reasoning_tokens (the tokens as `Usage` counts them), and those of `Answer`."""
        ...

    def calls(self, *calls: tuple[str, str, dict[str, Any]], text: str = "", **fields: Any) -> Answer:
        """A whole answer that asks for tools: id, name and arguments of each. Fields as of `text`."""
        ...

    def broken_call(self, id: str, name: str, raw: str) -> Answer | None:
        """One whose arguments are `raw`; None where the vendor's wire cannot carry what is not JSON."""
        ...

    def stream(
        self,
        *pieces: str,
        calls: Sequence[tuple[str, str, dict[str, Any]]] = (),
        fault: str | None = None,
        **fields: Any,
    ) -> Answer:
        """The same as an event stream, a piece of text an event. Fields as of `text`. Faults, all after the pieces:

        cut: the connection is dropped. ends: a clean end, without a terminal reason. garbled: a chunk that is not
        JSON. error: the vendor's event for an overload. stalls: nothing more for `HELD_SECONDS`.
        """
        ...

    def limit_headers(
        self, requests: tuple[int, int, float] | None, tokens: tuple[int, int, float] | None
    ) -> dict[str, str] | None:
        """Limit, what remains and seconds until it is whole again, in the vendor's headers; None where it has none."""
        ...

    def error(self, status: int, message: str = "", **fields: Any) -> Answer:
        """A refusal in the vendor's words."""
        ...

    def overloaded(self) -> Answer:
        """A refusal because the vendor has too much to do."""
        ...

    def too_long(self) -> Answer:
        """A refusal because the prompt does not fit into the model."""
        ...

    def quota_used_up(self) -> Answer:
        """A refusal that waiting does not cure."""
        ...

    def refusal(self, content: str) -> Answer:
        """An answer in which the model itself refuses."""
        ...

    def echo(self, received: Received) -> Answer:
        """The last message back, cut at the limit of tokens that the request sets, a word a token."""
        ...

    def sent(self, received: Received) -> Sent: ...
