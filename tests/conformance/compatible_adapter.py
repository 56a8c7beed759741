"""A server that speaks OpenAI's chat completions under a name of the project's, as the shared suite sees it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator_client.contract.project import ProviderSection
from orchestrator_worker.providers.compatible.client import OpenAICompatible
from tests.conformance import compatible_wire
from tests.conformance.adapter import ClosableProvider, Sent
from tests.conformance.scripted_server import Answer, Received

DATA_URL = re.compile(r"data:([^;]*);base64,(.*)", re.DOTALL)
DOCUMENT = re.compile(r'<document name="[^"]*">\n(.*)\n</document>', re.DOTALL)


class CompatibleAdapter:
    name = "gateway"
    key_variable = "GATEWAY_API_KEY"
    plain_model = "llama-3.1-8b-instruct"
    reasoning_model: str | None = None
    takes_temperature = True
    default_max_tokens: int | None = None
    path = "/v1/chat/completions"
    llmock_path = ""

    def provider(self, root: str) -> ClosableProvider:
        return OpenAICompatible(ProviderSection(base_url=f"{root}/v1", key=self.key_variable), self.name)

    def text(self, content: str, **fields: Any) -> Answer:
        return compatible_wire.text(content, **fields)

    def calls(self, *calls: tuple[str, str, dict[str, Any]], text: str = "", **fields: Any) -> Answer:
        return compatible_wire.calls(*calls, text=text, **fields)

    def broken_call(self, id: str, name: str, raw: str) -> Answer | None:
        message = {"content": None, "tool_calls": [compatible_wire.call(id, name, raw)]}
        return compatible_wire.completion(message, finish_reason="tool_calls")

    def stream(
        self,
        *pieces: str,
        calls: Sequence[tuple[str, str, dict[str, Any]]] = (),
        fault: str | None = None,
        **fields: Any,
    ) -> Answer:
        return compatible_wire.stream(*pieces, calls=calls, fault=fault, **fields)

    def limit_headers(
        self, requests: tuple[int, int, float] | None, tokens: tuple[int, int, float] | None
    ) -> dict[str, str] | None:
        return compatible_wire.limit_headers(requests, tokens)

    def error(self, status: int, message: str = "no", **fields: Any) -> Answer:
        return compatible_wire.error(status, message, **fields)

    def overloaded(self) -> Answer:
        return compatible_wire.error(503, "The engine is overloaded", kind="overloaded_error")

    def too_long(self) -> Answer:
        said = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
        return compatible_wire.error(400, said, kind="BadRequestError", code="400")

    def quota_used_up(self) -> Answer:
        return compatible_wire.error(
            429, "You exceeded your current quota", kind="insufficient_quota", code="insufficient_quota"
        )

    def refusal(self, content: str) -> Answer:
        return compatible_wire.completion({"content": None, "refusal": content})

    def echo(self, received: Received) -> Answer:
        return compatible_wire.echo(received)

    def sent(self, received: Received) -> Sent:
        body = received.body
        messages = body["messages"]
        system = [message["content"] for message in messages if message["role"] == "system"]
        said = [message for message in messages if message["role"] in ("user", "assistant")]
        return Sent(
            path=received.path,
            key=received.headers["authorization"].removeprefix("Bearer "),
            model=body["model"],
            system="\n\n".join(system) if system else None,
            messages=[(message["role"], _text(message["content"])) for message in said],
            max_tokens=body.get("max_tokens"),
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            stop=body.get("stop", []),
            seed=body.get("seed"),
            reasoning_effort=body.get("reasoning_effort"),
            schema=body.get("response_format", {}).get("json_schema", {}).get("schema"),
            tools=[_offer(tool["function"]) for tool in body.get("tools", [])],
            tool_choice=_tool_choice(body.get("tool_choice")),
            media=[media for message in said for media in _media(message["content"])],
            calls=[_call(call) for message in said for call in message.get("tool_calls", [])],
            returns=[_return(message) for message in messages if message["role"] == "tool"],
            body=body,
        )


def _text(content: Any) -> str:
    """The text of a content, without documents."""
    if not isinstance(content, list):
        return content or ""
    texts = (part["text"] for part in content if part["type"] == "text")
    return "".join(text for text in texts if not DOCUMENT.fullmatch(text))


def _offer(function: dict[str, Any]) -> tuple[str, str, Any]:
    return function["name"], function["description"], function["parameters"]


def _tool_choice(choice: Any) -> str | None:
    name: str | None = choice["function"]["name"] if isinstance(choice, dict) else choice
    return name


def _media(content: Any) -> Iterator[tuple[str, bytes | str]]:
    """What of a content is no text of the caller's. A text document comes as a text, and its type is not told."""
    for part in content if isinstance(content, list) else []:
        match part["type"]:
            case "image_url":
                yield _addressed(part["image_url"]["url"])
            case "file":
                yield _addressed(part["file"]["file_data"])
            case "input_audio":
                yield f"audio/{part['input_audio']['format']}", base64.b64decode(part["input_audio"]["data"])
            case "text" if document := DOCUMENT.fullmatch(part["text"]):
                yield "", document[1].encode()


def _addressed(url: str) -> tuple[str, bytes | str]:
    data = DATA_URL.fullmatch(url)
    return (data[1], base64.b64decode(data[2])) if data else ("", url)


def _call(call: dict[str, Any]) -> tuple[str, str, Any]:
    return call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])


def _return(message: dict[str, Any]) -> tuple[str, str, bool]:
    content = message["content"]
    return message["tool_call_id"], content.removeprefix("Error: "), content.startswith("Error: ")
