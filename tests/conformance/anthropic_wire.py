"""Answers in the wire format that Anthropic documents for its Messages API, for `ModelServer` to give."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.conformance.model_server import Answer, Received, event_stream

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tools": "tool_use"}
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

HEADERS = {"request-id": "req_018EeWyXxfu5pfWkrYcMdjWG"}

MODEL = "claude-haiku-4-5-20251001"

SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"
"""Of the thinking block that every message begins with."""

Call = tuple[str, str, dict[str, Any]]


def usage(
    input_tokens: int = 10, cached_tokens: int = 0, output_tokens: int = 5, reasoning_tokens: int = 0
) -> dict[str, Any]:
    """A usage record. `input_tokens` counts those from the cache too, as `Usage` does."""
    return {
        "input_tokens": input_tokens - cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"thinking_tokens": reasoning_tokens},
        "server_tool_use": None,
        "service_tier": "standard",
    }


def _counted(fields: dict[str, Any]) -> dict[str, Any]:
    """The usage record that goes with an adapter's fields, which lose their counts of tokens."""
    names = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    return usage(**{name: fields.pop(name) for name in names if name in fields})


def text(content: str, **fields: Any) -> Answer:
    """A message with one text."""
    counts = _counted(fields)
    return message([text_block(content)], usage=counts, **fields)


def calls(*calls: Call, text: str = "", **fields: Any) -> Answer:
    """A message that asks for tools."""
    counts = _counted(fields)
    blocks = [text_block(text)] if text else []
    return message([*blocks, *map(call_block, calls)], usage=counts, **{"finish_reason": "tools", **fields})


def text_block(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content, "citations": None}


def call_block(call: Call) -> dict[str, Any]:
    identifier, name, arguments = call
    return {"type": "tool_use", "id": identifier, "name": name, "input": arguments, "caller": {"type": "direct"}}


def message(
    content: list[dict[str, Any]],
    *,
    finish_reason: str = "stop",
    fields: Mapping[str, Any] | None = None,
    model: str = MODEL,
    usage: dict[str, Any] | None = None,
    **answer: Any,
) -> Answer:
    """A message; `fields` replaces fields of it."""
    thought = {"type": "thinking", "thinking": "", "signature": SIGNATURE}
    document = {**_empty(model, usage), "content": [thought, *content], "stop_reason": STOP_REASONS[finish_reason]}
    return _answer(200, {**document, **(fields or {})}, **answer)


def _empty(model: str, usage: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }


def stream(
    *pieces: str,
    calls: Sequence[Call] = (),
    fault: str | None = None,
    model: str = MODEL,
    finish_reason: str = "",
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Answer:
    """A message as events, with a fault of those that the adapters know after the pieces of text."""
    counts = _counted(fields)
    opening = {**counts, "output_tokens": 1, "output_tokens_details": None}
    events = [
        event("message_start", message=_empty(model, opening)),
        *block_events(0, {"type": "thinking", "thinking": "", "signature": ""}, _signed()),
        event("ping"),
        *block_events(1, {"type": "text", "text": ""}, (text_delta(piece) for piece in pieces), ends=fault is None),
    ]
    if fault is None:
        for index, call in enumerate(calls, start=2):
            raw = json.dumps(call[2])
            events += block_events(index, call_block((call[0], call[1], {})), _arguments(raw[:4], raw[4:]))
        events += ending(STOP_REASONS[finish_reason or ("tools" if calls else "stop")], counts)
    events += FAULTY.get(fault or "", [])
    return event_stream(*events, fault=fault, headers={**HEADERS, **(headers or {})}, **fields)


def event(kind: str, **fields: Any) -> bytes:
    """One event, named twice, as Anthropic does."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def block_events(
    index: int, block: dict[str, Any], deltas: Iterator[dict[str, Any]], ends: bool = True
) -> Iterator[bytes]:
    """A block of the content, from its start to its stop."""
    yield event("content_block_start", index=index, content_block=block)
    for delta in deltas:
        yield event("content_block_delta", index=index, delta=delta)
    if ends:
        yield event("content_block_stop", index=index)


def text_delta(piece: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": piece}


def _arguments(*pieces: str) -> Iterator[dict[str, Any]]:
    """The API begins with an empty piece."""
    return ({"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces))


def _signed() -> Iterator[dict[str, Any]]:
    yield {"type": "signature_delta", "signature": SIGNATURE}


def ending(stop_reason: str | None, counts: dict[str, Any]) -> list[bytes]:
    """The end of a message. Counts are totals, and not all of them are there again."""
    said = {name: counts[name] for name in ("output_tokens", "output_tokens_details")}
    delta = {"stop_reason": stop_reason, "stop_sequence": None, "stop_details": None}
    return [event("message_delta", delta=delta, usage=said), event("message_stop")]


OVERLOAD = {"type": "overloaded_error", "message": "Overloaded"}

FAULTY = {
    "garbled": [b'event: content_block_delta\ndata: {"type": "content_blo\n\n'],
    "error": [event("error", error=OVERLOAD, request_id=HEADERS["request-id"])],
}
"""Faults that are said in events -> those events."""


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


def limit_headers(**limits: tuple[int, int, float] | None) -> dict[str, str]:
    """Name of a limit -> its limit, what remains and seconds until it is whole again, as headers."""
    headers: dict[str, str] = {}
    for name, limit in limits.items():
        if limit is not None:
            reset = datetime.now(UTC) + timedelta(seconds=limit[2])
            said = {"limit": str(limit[0]), "remaining": str(limit[1]), "reset": f"{reset:%Y-%m-%dT%H:%M:%S.%fZ}"}
            headers |= {f"anthropic-ratelimit-{name.replace('_', '-')}-{what}": value for what, value in said.items()}
    return headers


def words_of(content: Any) -> str:
    """The text in a message's content."""
    if isinstance(content, str):
        return content
    return "".join(block["text"] for block in content if block["type"] == "text")


def echo(received: Received) -> Answer:
    """The last message back, a word a token, cut at `max_tokens`; as a stream where one was asked for."""
    body = received.body
    words = words_of(body["messages"][-1]["content"]).split()
    limit = body["max_tokens"]
    fields: dict[str, Any] = {
        "model": body["model"],
        "finish_reason": "length" if limit < len(words) else "stop",
        "output_tokens": min(limit, len(words)),
    }
    said = " ".join(words[:limit])
    return stream(said, **fields) if body.get("stream") else text(said, **fields)


def _answer(status: int, document: dict[str, Any], headers: Mapping[str, str] | None = None, **answer: Any) -> Answer:
    return Answer(status, json.dumps(document).encode(), {**HEADERS, **(headers or {})}, **answer)
