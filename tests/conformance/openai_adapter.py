"""OpenAI as the shared suite sees it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator_client.contract.project import ProviderSection
from orchestrator_worker.providers.openai.client import OpenAI
from tests.conformance import openai_wire
from tests.conformance.adapter import ClosableProvider, Sent
from tests.conformance.scripted_server import Answer, Received


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
        return OpenAI(ProviderSection(base_url=f"{root}/v1"))

    def text(self, content: str, **fields: Any) -> Answer:
        return openai_wire.text(content, **fields)

    def calls(self, *calls: tuple[str, str, dict[str, Any]], text: str = "", **fields: Any) -> Answer:
        return openai_wire.calls(*calls, text=text, **fields)

    def broken_call(self, id: str, name: str, raw: str) -> Answer | None:
        return openai_wire.calls((id, name, raw))  # type: ignore[arg-type]

    def stream(
        self,
        *pieces: str,
        calls: Sequence[tuple[str, str, dict[str, Any]]] = (),
        fault: str | None = None,
        **fields: Any,
    ) -> Answer:
        return openai_wire.stream(*pieces, calls=calls, fault=fault, **fields)

    def limit_headers(
        self, requests: tuple[int, int, float] | None, tokens: tuple[int, int, float] | None
    ) -> dict[str, str] | None:
        told = {"requests": requests, "tokens": tokens}
        return {
            f"x-ratelimit-{field}-{counted}": f"{value:g}s" if field == "reset" else str(value)
            for counted, values in told.items()
            if values
            for field, value in zip(("limit", "remaining", "reset"), values, strict=True)
        }

    def error(self, status: int, message: str = "no", **fields: Any) -> Answer:
        return openai_wire.error(status, message, **fields)

    def overloaded(self) -> Answer:
        return openai_wire.error(503, "The engine is currently overloaded, please try again later", kind="server_error")

    def too_long(self) -> Answer:
        return openai_wire.error(
            400,
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            code="context_length_exceeded",
            param="input",
        )

    def quota_used_up(self) -> Answer:
        return openai_wire.error(
            429, "You exceeded your current quota", kind="insufficient_quota", code="insufficient_quota"
        )

    def refusal(self, content: str) -> Answer:
        return openai_wire.response([{"type": "refusal", "refusal": content}])

    def echo(self, received: Received) -> Answer:
        return openai_wire.echo(received)

    def sent(self, received: Received) -> Sent:
        body = received.body
        items = [item for item in body["input"] if "role" in item]
        choice = body.get("tool_choice")
        returned = [item for item in body["input"] if item.get("type") == "function_call_output"]
        called = [item for item in body["input"] if item.get("type") == "function_call"]
        return Sent(
            path=received.path,
            key=received.headers["authorization"].removeprefix("Bearer "),
            model=body["model"],
            system=body.get("instructions"),
            messages=[(item["role"], _text(item["content"])) for item in items],
            max_tokens=body.get("max_output_tokens"),
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            stop=body.get("stop", []),
            seed=body.get("seed"),
            reasoning_effort=body.get("reasoning", {}).get("effort"),
            schema=body.get("text", {}).get("format", {}).get("schema"),
            tools=[(tool["name"], tool["description"], tool["parameters"]) for tool in body.get("tools", [])],
            tool_choice=choice["name"] if isinstance(choice, dict) else choice,
            media=[media for item in items for media in _media(item["content"])],
            calls=[(item["call_id"], item["name"], json.loads(item["arguments"])) for item in called],
            returns=[_returned(item) for item in returned],
            body=body,
        )


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _media(content: Any) -> Iterator[tuple[str, bytes | str]]:
    """Of one message; a URL does not tell what it leads to."""
    for part in content if isinstance(content, list) else []:
        for field in ("image_url", "file_data", "file_url"):
            if address := part.get(field):
                head, comma, data = address.partition(";base64,")
                yield (head.removeprefix("data:"), base64.b64decode(data)) if comma else ("", address)


def _returned(item: dict[str, Any]) -> tuple[str, str, bool]:
    content = item["output"]
    return item["call_id"], content.removeprefix("Error: "), content.startswith("Error: ")
