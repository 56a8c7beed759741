"""What the suite must know of each provider: how to build it, and how its vendor words things on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator_worker.providers.base import Provider
from orchestrator_worker.providers.openai import OpenAI
from tests.conformance import model_server
from tests.conformance.model_server import Answer, Received


class ClosableProvider(Provider, Protocol):
    async def close(self) -> None: ...


@dataclass(frozen=True)
class Sent:
    """What a request asked for, in nobody's dialect."""

    path: str
    key: str
    model: str
    system: str | None
    messages: list[tuple[str, str]]
    max_tokens: int | None
    temperature: float | None


class Adapter(Protocol):
    """One provider as the suite sees it."""

    name: str
    key_variable: str
    plain_model: str
    """A model that takes a temperature."""
    reasoning_model: str
    """A model that takes none."""
    path: str

    def provider(self, root: str) -> ClosableProvider:
        """The provider, pointed at the server whose root this is."""
        ...

    def text(self, content: str, **fields: Any) -> Answer:
        """A whole answer. Fields: model, finish_reason, input_tokens, cached_tokens, output_tokens, reasoning_tokens
        (the tokens as `Usage` counts them), and those of `Answer`."""
        ...

    def error(self, status: int, message: str = "", **fields: Any) -> Answer:
        """A refusal in the vendor's words."""
        ...

    def quota_used_up(self) -> Answer:
        """A refusal that waiting does not cure."""
        ...

    def refusal(self, content: str) -> Answer:
        """An answer in which the model itself refuses."""
        ...

    def sent(self, received: Received) -> Sent: ...


class OpenAIAdapter:
    name = "openai"
    key_variable = "OPENAI_API_KEY"
    plain_model = "gpt-4o-mini"
    reasoning_model = "gpt-5-mini"
    path = "/v1/responses"

    def provider(self, root: str) -> ClosableProvider:
        return OpenAI(base_url=f"{root}/v1")

    def text(self, content: str, **fields: Any) -> Answer:
        return model_server.text(content, **fields)

    def error(self, status: int, message: str = "no", **fields: Any) -> Answer:
        return model_server.error(status, message, **fields)

    def quota_used_up(self) -> Answer:
        return model_server.error(
            429, "You exceeded your current quota", kind="insufficient_quota", code="insufficient_quota"
        )

    def refusal(self, content: str) -> Answer:
        return model_server.response([{"type": "refusal", "refusal": content}])

    def sent(self, received: Received) -> Sent:
        body = received.body
        return Sent(
            path=received.path,
            key=received.headers["authorization"].removeprefix("Bearer "),
            model=body["model"],
            system=body.get("instructions"),
            messages=[(item["role"], item["content"]) for item in body["input"]],
            max_tokens=body.get("max_output_tokens"),
            temperature=body.get("temperature"),
        )


ADAPTERS: list[Adapter] = [OpenAIAdapter()]
