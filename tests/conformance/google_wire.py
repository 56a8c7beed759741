"""Answers in the wire format that Google documents for its Gemini API, for `ModelServer` to give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.conformance.model_server import Answer, Received, event_stream

FINISH_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
"""Finish reasons as the suite names them -> Google's; others are Google's already."""

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


Call = tuple[str, str, dict[str, Any]]
"""Id, name and arguments of a call of a function."""

OVERLOAD = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
"""The chunk that tells of an overload in the midst of a stream."""


def text(content: str, **fields: Any) -> Answer:
    """An answer with one text. `output_tokens` counts thoughts too, as `Usage` does and Google does not."""
    counts, fields = usage(**fields)
    return candidate([{"text": content}], usage=counts, **fields)


def calls(*asked: Call, text: str = "", **fields: Any) -> Answer:
    """An answer that asks for functions, behind a text if there is one."""
    counts, fields = usage(**fields)
    said = [{"text": text}] if text else []
    return candidate([*said, *called(asked)], usage=counts, **fields)


def called(asked: Sequence[Call]) -> list[dict[str, Any]]:
    """Parts that ask for functions. A call whose id is empty has none; the first is signed, as Google signs them."""
    parts: list[dict[str, Any]] = [
        {"functionCall": {**({"id": id} if id else {}), "name": name, "args": arguments}}
        for id, name, arguments in asked
    ]
    if parts:
        parts[0]["thoughtSignature"] = "EqQB+/8="
    return parts


def stream(
    *pieces: str,
    calls: Sequence[Call] = (),
    fault: str | None = None,
    finish_reason: str = "stop",
    model: str = "gemini-2.5-flash",
    **fields: Any,
) -> Answer:
    """The same as an event stream: a chunk for each piece and for all calls, and one that ends them. A stream that
    breaks off before all that begins with an empty one."""
    counts, fields = usage(**fields)
    told = [[{"text": piece}] for piece in pieces] + ([called(calls)] if calls else [])
    chunks = [chunk(parts, usage=counts | {"candidatesTokenCount": 1}, model=model) for parts in told or [[]]]
    end = chunk([{"text": ""}], finish_reason=finish_reason, usage=counts, model=model)
    last = {None: [end], "garbled": ['{"candidates": [{"con'], "error": [json.dumps(OVERLOAD)]}
    return event_stream(*chunks, *last.get(fault, []), fault=fault, **fields)


def chunk(parts: list[Any], **fields: Any) -> str:
    """One chunk of a stream: an answer, with or without a reason to end."""
    return candidate(parts, **{"finish_reason": None, **fields}).body.decode()


def usage(
    input_tokens: int = 10, cached_tokens: int = 0, output_tokens: int = 5, reasoning_tokens: int = 0, **fields: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The usage record of these counts, and the other fields."""
    counts = {
        "promptTokenCount": input_tokens,
        "cachedContentTokenCount": cached_tokens,
        "candidatesTokenCount": output_tokens - reasoning_tokens,
        "thoughtsTokenCount": reasoning_tokens,
        "totalTokenCount": input_tokens + output_tokens,
    }
    record: dict[str, Any] = {name: count for name, count in counts.items() if count}
    return {**record, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": input_tokens}]}, fields


def candidate(
    parts: list[Any],
    *,
    finish_reason: str | None = "stop",
    finish_message: str | None = None,
    **fields: Any,
) -> Answer:
    """An answer with one candidate; without a finish reason, it does not say how it ended."""
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish_reason:
        candidate["finishReason"] = FINISH_REASONS.get(finish_reason, finish_reason)
    if finish_message:
        candidate["finishMessage"] = finish_message
    return response([candidate], **fields)


def response(
    candidates: list[Any] | None,
    *,
    model: str = "gemini-2.5-flash",
    usage: Any = None,
    fields: Mapping[str, Any] | None = None,
    **answer: Any,
) -> Answer:
    """An answer; `fields` replaces fields of it. What is None is left out, as Google does."""
    document = {
        "candidates": candidates,
        "usageMetadata": usage,
        "modelVersion": model,
        "responseId": "mJ4gafDbLqeW1e8P5p6VsQk",
        **(fields or {}),
    }
    return _answer(200, {name: value for name, value in document.items() if value is not None}, **answer)


def error(
    status: int,
    message: str = "the server says no",
    *,
    details: list[dict[str, Any]] | None = None,
    **answer: Any,
) -> Answer:
    """An error with Google's body; its status is what goes with the number."""
    inner: dict[str, Any] = {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}
    if details is not None:
        inner["details"] = details
    return _answer(status, {"error": inner}, **answer)


def retry_info(delay: Any) -> dict[str, Any]:
    """The detail that asks for a wait, such as `17s`."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def quota_failure(quota_id: str) -> dict[str, Any]:
    """The detail that names the quota that is used up."""
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [
            {
                "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                "quotaId": quota_id,
                "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
                "quotaValue": "20",
            }
        ],
    }


def error_info(reason: str) -> dict[str, Any]:
    """The detail that says why, in a word."""
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }


def echo(received: Received) -> Answer:
    """The last message back, a word a token, cut at `maxOutputTokens`."""
    words = str(received.body["contents"][-1]["parts"][0]["text"]).split()
    limit = received.body.get("generationConfig", {}).get("maxOutputTokens") or len(words)
    return text(
        " ".join(words[:limit]),
        model=model_of(received),
        finish_reason="length" if limit < len(words) else "stop",
        output_tokens=min(limit, len(words)),
    )


def model_of(received: Received) -> str:
    """The model that a path such as `/v1/models/NAME:generateContent` names, whatever the version."""
    _, _, call = received.path.rpartition("/models/")
    model, _, verb = call.partition(":")
    assert verb in ("generateContent", "streamGenerateContent?alt=sse"), received.path
    return model


def _answer(status: int, document: dict[str, Any], **answer: Any) -> Answer:
    return Answer(status, json.dumps(document).encode(), **answer)
