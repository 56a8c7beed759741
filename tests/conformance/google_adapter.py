"""Google as the shared suite sees it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from orchestrator_client.contract.project import ProviderSection
from orchestrator_worker.providers.google.client import Google
from tests.conformance import google_wire
from tests.conformance.adapter import ClosableProvider, Sent
from tests.conformance.model_server import Answer, Received

ROLES = {"user": "user", "model": "assistant"}

CHOICES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}

EFFORTS = {0: "none", 1024: "low", 8192: "medium", 24576: "high"}
"""Tokens that a model of the 2.5 family may think -> effort."""


class GoogleAdapter:
    name = "google"
    key_variable = "GOOGLE_API_KEY"
    plain_model = "gemini-2.5-flash"
    reasoning_model: str | None = None
    takes_temperature = True
    default_max_tokens: int | None = None
    path = "/v1/models/gemini-2.5-flash:generateContent"
    llmock_path = "/gemini"

    def provider(self, root: str) -> ClosableProvider:
        return Google(ProviderSection(base_url=root))

    def text(self, content: str, **fields: Any) -> Answer:
        return google_wire.text(content, **fields)

    def calls(self, *calls: google_wire.Call, text: str = "", **fields: Any) -> Answer:
        return google_wire.calls(*calls, text=text, **fields)

    def broken_call(self, id: str, name: str, raw: str) -> Answer | None:
        return None  # arguments are a JSON object within the answer's

    def stream(
        self, *pieces: str, calls: Sequence[google_wire.Call] = (), fault: str | None = None, **fields: Any
    ) -> Answer:
        return google_wire.stream(*pieces, calls=calls, fault=fault, **fields)

    def limit_headers(
        self, requests: tuple[int, int, float] | None, tokens: tuple[int, int, float] | None
    ) -> dict[str, str] | None:
        return None

    def error(self, status: int, message: str = "no", **fields: Any) -> Answer:
        return google_wire.error(status, message, **fields)

    def overloaded(self) -> Answer:
        return google_wire.error(503, "The model is overloaded. Please try again later.")

    def too_long(self) -> Answer:
        return google_wire.error(
            400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
        )

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
        system = body.get("systemInstruction")
        parts = [part for item in body["contents"] for part in item["parts"]]
        offers = [offer for tool in body.get("tools", []) for offer in tool.get("functionDeclarations", [])]
        return Sent(
            path=received.path,
            key=received.headers["x-goog-api-key"],
            model=google_wire.model_of(received),
            system=system and system["parts"][0]["text"],
            messages=[message for item in body["contents"] if (message := _message(item))],
            max_tokens=config.get("maxOutputTokens"),
            temperature=config.get("temperature"),
            top_p=config.get("topP"),
            stop=config.get("stopSequences", []),
            seed=config.get("seed"),
            reasoning_effort=_effort(config.get("thinkingConfig", {})),
            schema=config.get("responseJsonSchema") if config.get("responseMimeType") == "application/json" else None,
            tools=[(offer["name"], offer["description"], offer["parametersJsonSchema"]) for offer in offers],
            tool_choice=_choice(body) if offers else None,
            media=[medium for part in parts if (medium := _medium(part))],
            calls=[_call(part["functionCall"]) for part in parts if "functionCall" in part],
            returns=[_return(part["functionResponse"]) for part in parts if "functionResponse" in part],
            body=body,
        )


def _message(item: dict[str, Any]) -> tuple[str, str] | None:
    """Role and text; None where the item holds results of functions alone."""
    if all("functionResponse" in part for part in item["parts"]):
        return None
    return ROLES[item["role"]], "".join(part.get("text", "") for part in item["parts"])


def _effort(config: dict[str, Any]) -> str | None:
    if "thinkingLevel" in config:
        return str(config["thinkingLevel"]).lower()
    budget = config.get("thinkingBudget")
    return None if budget is None else EFFORTS.get(budget, str(budget))


def _choice(body: dict[str, Any]) -> str:
    config = body.get("toolConfig", {}).get("functionCallingConfig", {"mode": "AUTO"})
    only = config.get("allowedFunctionNames")
    return str(only[0]) if only else CHOICES[config["mode"]]


def _medium(part: dict[str, Any]) -> tuple[str, bytes | str] | None:
    if "inlineData" in part:
        return part["inlineData"]["mimeType"], base64.b64decode(part["inlineData"]["data"], validate=True)
    if "fileData" in part:
        return part["fileData"]["mimeType"], part["fileData"]["fileUri"]
    return None


def _call(call: dict[str, Any]) -> tuple[str, str, Any]:
    return call.get("id", ""), call["name"], call["args"]


def _return(returned: dict[str, Any]) -> tuple[str, str, bool]:
    response = returned["response"]
    return returned.get("id", ""), response.get("output", response.get("error")), "error" in response
