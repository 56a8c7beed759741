"""Anthropic as the shared suite sees it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator_client.contract.project import ProviderSection
from orchestrator_worker.providers.anthropic.client import Anthropic
from tests.conformance import anthropic_wire
from tests.conformance.adapter import ClosableProvider, Sent
from tests.conformance.model_server import Answer, Received

EFFORTS = {0.25: "low", 0.5: "medium", 0.75: "high"}
"""Share of `max_tokens` that goes into a budget of thought -> effort."""

CHOICES = {"any": "required", "auto": "auto", "none": "none"}


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
        return Anthropic(ProviderSection(base_url=root))

    def text(self, content: str, **fields: Any) -> Answer:
        return anthropic_wire.text(content, **fields)

    def calls(self, *calls: tuple[str, str, dict[str, Any]], text: str = "", **fields: Any) -> Answer:
        return anthropic_wire.calls(*calls, text=text, **fields)

    def broken_call(self, id: str, name: str, raw: str) -> Answer | None:
        return None

    def stream(
        self,
        *pieces: str,
        calls: Sequence[tuple[str, str, dict[str, Any]]] = (),
        fault: str | None = None,
        **fields: Any,
    ) -> Answer:
        return anthropic_wire.stream(*pieces, calls=calls, fault=fault, **fields)

    def limit_headers(
        self, requests: tuple[int, int, float] | None, tokens: tuple[int, int, float] | None
    ) -> dict[str, str] | None:
        return anthropic_wire.limit_headers(requests=requests, tokens=tokens)

    def error(self, status: int, message: str = "no", **fields: Any) -> Answer:
        return anthropic_wire.error(status, message, **fields)

    def overloaded(self) -> Answer:
        return anthropic_wire.error(529, "Overloaded")

    def too_long(self) -> Answer:
        return anthropic_wire.error(400, "prompt is too long: 210342 tokens > 200000 maximum")

    def quota_used_up(self) -> Answer:
        return anthropic_wire.error(429, "You reached your spend limit", error_code="enforced_spend_limit_reached")

    def refusal(self, content: str) -> Answer:
        details = {"type": "refusal", "category": "general_harms", "explanation": content}
        return anthropic_wire.message([], finish_reason="content_filter", fields={"stop_details": details})

    def echo(self, received: Received) -> Answer:
        return anthropic_wire.echo(received)

    def sent(self, received: Received) -> Sent:
        body = received.body
        blocks = list(_blocks(body))
        return Sent(
            path=received.path,
            key=received.headers["authorization"].removeprefix("Bearer "),
            model=body["model"],
            system=body.get("system"),
            messages=[(item["role"], anthropic_wire.words_of(item["content"])) for item in body["messages"]],
            max_tokens=body["max_tokens"],
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            stop=body.get("stop_sequences", []),
            seed=body.get("seed"),
            reasoning_effort=_effort(body),
            schema=_schema(body),
            tools=[(tool["name"], tool.get("description", ""), tool["input_schema"]) for tool in body.get("tools", [])],
            tool_choice=_choice(body),
            media=[_media(block["source"]) for block in blocks if block["type"] in ("image", "document")],
            calls=[(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
            returns=[
                (block["tool_use_id"], block["content"], block.get("is_error", False))
                for block in blocks
                if block["type"] == "tool_result"
            ],
            body=body,
        )


def _blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All blocks of all messages, but for contents that are a text alone."""
    for message in body["messages"]:
        if not isinstance(message["content"], str):
            yield from message["content"]


def _schema(body: dict[str, Any]) -> Any:
    """A schema is told by a field or, where that would change its meaning, in words behind the instructions."""
    _, told, words = body.get("system", "").partition("JSON Schema: ")
    return json.loads(words) if told else body.get("output_config", {}).get("format", {}).get("schema")


def _effort(body: dict[str, Any]) -> str | None:
    """In our words: a model is told an effort, a budget or nothing."""
    thinking = body.get("thinking", {})
    if "budget_tokens" in thinking:
        return EFFORTS[thinking["budget_tokens"] / body["max_tokens"]]
    effort: str | None = body.get("output_config", {}).get("effort")
    return effort or ("none" if thinking.get("type") == "disabled" else None)


def _choice(body: dict[str, Any]) -> str | None:
    """Nothing said of tools that are offered is `auto`."""
    if "tools" not in body:
        return None
    choice = body.get("tool_choice", {"type": "auto"})
    return CHOICES.get(choice["type"]) or choice["name"]


def _media(source: dict[str, Any]) -> tuple[str, bytes | str]:
    match source["type"]:
        case "base64":
            return source["media_type"], base64.b64decode(source["data"])
        case "text":
            return source["media_type"], source["data"].encode()
        case _:
            return "", source["url"]
