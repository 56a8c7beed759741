"""What the suite must know of each provider: how to build it, and how its vendor words things on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator_worker.providers.anthropic import Anthropic
from orchestrator_worker.providers.base import Provider
from orchestrator_worker.providers.google import Google
from orchestrator_worker.providers.openai import OpenAI
from tests.conformance import anthropic_wire, google_wire, model_server
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

    def echo(self, received: Received) -> Answer:
        """The last message back, cut at the limit of tokens that the request sets, a word a token."""
        ...

    def sent(self, received: Received) -> Sent: ...


class OpenAIAdapter:
    name = "openai"
    key_variable = "OPENAI_API_KEY"
    plain_model = "gpt-4o-mini"
    reasoning_model: str | None = "gpt-5-mini"
    takes_temperature = True
    default_max_tokens: int | None = None
    path = "/v1/responses"
    llmock_path = ""

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

    def echo(self, received: Received) -> Answer:
        return model_server.echo(received)

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


class AnthropicAdapter:
    name = "anthropic"
    key_variable = "ANTHROPIC_API_KEY"
    plain_model = "claude-haiku-4-5"
    reasoning_model: str | None = "claude-opus-4-6"
    takes_temperature = False
    default_max_tokens: int | None = 4096
    path = "/v1/messages"
    llmock_path = "/anthropic"

    def provider(self, root: str) -> ClosableProvider:
        return Anthropic(base_url=root)

    def text(self, content: str, **fields: Any) -> Answer:
        return anthropic_wire.text(content, **fields)

    def error(self, status: int, message: str = "no", **fields: Any) -> Answer:
        return anthropic_wire.error(status, message, **fields)

    def quota_used_up(self) -> Answer:
        return anthropic_wire.error(429, "You reached your spend limit", error_code="enforced_spend_limit_reached")

    def refusal(self, content: str) -> Answer:
        details = {"type": "refusal", "category": "general_harms", "explanation": content}
        return anthropic_wire.message([], finish_reason="content_filter", fields={"stop_details": details})

    def echo(self, received: Received) -> Answer:
        return anthropic_wire.echo(received)

    def sent(self, received: Received) -> Sent:
        body = received.body
        return Sent(
            path=received.path,
            key=received.headers["authorization"].removeprefix("Bearer "),
            model=body["model"],
            system=body.get("system"),
            messages=[(item["role"], item["content"]) for item in body["messages"]],
            max_tokens=body["max_tokens"],
            temperature=body.get("temperature"),
        )


class GoogleAdapter:
    name = "google"
    key_variable = "GOOGLE_API_KEY"
    plain_model = "gemini-2.5-flash"
    reasoning_model = None
    takes_temperature = True
    default_max_tokens = None
    path = "/v1/models/gemini-2.5-flash:generateContent"
    llmock_path = "/gemini"

    def provider(self, root: str) -> ClosableProvider:
        return Google(base_url=root)

    def text(self, content: str, **fields: Any) -> Answer:
        return google_wire.text(content, **fields)

    def error(self, status: int, message: str = "no", **fields: Any) -> Answer:
        return google_wire.error(status, message, **fields)

    def quota_used_up(self) -> Answer:
        daily = google_wire.quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
        return google_wire.error(429, "You exceeded your current quota", details=[daily, google_wire.retry_info("24s")])

    def refusal(self, content: str) -> Answer:
        return google_wire.candidate([], finish_reason="content_filter", finish_message=content)

    def echo(self, received: Received) -> Answer:
        return google_wire.echo(received)

    def sent(self, received: Received) -> Sent:
        body = received.body
        config = body.get("generationConfig", {})
        roles = {"user": "user", "model": "assistant"}
        system = body.get("systemInstruction")
        return Sent(
            path=received.path,
            key=received.headers["x-goog-api-key"],
            model=google_wire.model_of(received),
            system=system and system["parts"][0]["text"],
            messages=[(roles[item["role"]], item["parts"][0]["text"]) for item in body["contents"]],
            max_tokens=config.get("maxOutputTokens"),
            temperature=config.get("temperature"),
        )


ADAPTERS: list[Adapter] = [OpenAIAdapter(), AnthropicAdapter(), GoogleAdapter()]
