"""Answers in the wire format that Anthropic documents for its Messages API, for `ModelServer` to give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.conformance.model_server import Answer, Received

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
"""Finish reasons as the suite names them -> Anthropic's."""

ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}

HEADERS = {
    "request-id": "req_018EeWyXxfu5pfWkrYcMdjWG",
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-requests-reset": "2026-11-22T12:00:17Z",
}


def text(
    content: str,
    *,
    input_tokens: int = 10,
    cached_tokens: int = 0,
    output_tokens: int = 5,
    reasoning_tokens: int = 0,
    **fields: Any,
) -> Answer:
    """A message with one text. `input_tokens` counts those from the cache too, as `Usage` does."""
    usage = {
        "input_tokens": input_tokens - cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"thinking_tokens": reasoning_tokens},
        "server_tool_use": None,
        "service_tier": "standard",
    }
    return message([{"type": "text", "text": content, "citations": None}], usage=usage, **fields)


def message(
    content: list[dict[str, Any]],
    *,
    model: str = "claude-haiku-4-5-20251001",
    finish_reason: str = "stop",
    usage: dict[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    **answer: Any,
) -> Answer:
    """A message; `fields` replaces fields of it."""
    document = {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "thinking", "thinking": "", "signature": "EqQB"}, *content],
        "stop_reason": STOP_REASONS[finish_reason],
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
        **(fields or {}),
    }
    return _answer(200, document, **answer)


def error(
    status: int,
    said: str = "the server says no",
    *,
    kind: str | None = None,
    error_code: str | None = None,
    **answer: Any,
) -> Answer:
    """An error with Anthropic's body; its type is what goes with the status."""
    inner: dict[str, Any] = {"type": kind or ERROR_TYPES.get(status, "invalid_request_error"), "message": said}
    if error_code:
        inner["details"] = {"error_code": error_code}
    return _answer(status, {"type": "error", "error": inner, "request_id": HEADERS["request-id"]}, **answer)


def echo(received: Received) -> Answer:
    """The last message back, a word a token, cut at `max_tokens`."""
    body = received.body
    words = str(body["messages"][-1]["content"]).split()
    limit = body["max_tokens"]
    return text(
        " ".join(words[:limit]),
        model=body["model"],
        finish_reason="length" if limit < len(words) else "stop",
        output_tokens=min(limit, len(words)),
    )


def _answer(status: int, document: dict[str, Any], headers: Mapping[str, str] | None = None, **answer: Any) -> Answer:
    return Answer(status, json.dumps(document).encode(), {**HEADERS, **(headers or {})}, **answer)
