"""Answers in the wire format that OpenAI documents for chat completions, for `ModelServer` to give in the place of
the many servers that speak it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.conformance.openai_wire import error
from tests.conformance.scripted_server import Answer, Received, event_stream

Call = tuple[str, str, dict[str, Any]]

MODEL = "llama-3.1-8b-instruct"


def text(content: str, **fields: Any) -> Answer:
    """A completion that is one text."""
    return completion({"content": content}, **fields)


def calls(*wanted: Call, text: str = "", **fields: Any) -> Answer:
    """A completion that asks for tools."""
    message = {"content": text or None, "tool_calls": [call(id, name, json.dumps(a)) for id, name, a in wanted]}
    return completion(message, **{"finish_reason": "tool_calls", **fields})


def call(id: str, name: str, arguments: str) -> dict[str, Any]:
    """A call as it stands in a message."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def completion(
    message: Mapping[str, Any],
    *,
    model: str = MODEL,
    finish_reason: str | None = "stop",
    input_tokens: int = 10,
    cached_tokens: int = 0,
    output_tokens: int = 5,
    reasoning_tokens: int = 0,
    fields: Mapping[str, Any] | None = None,
    **answer: Any,
) -> Answer:
    """A completion; `fields` replaces fields of it."""
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "refusal": None, **message},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
        ],
        "usage": usage(input_tokens, cached_tokens, output_tokens, reasoning_tokens),
        **(fields or {}),
    }
    return Answer(body=json.dumps(document).encode(), **answer)


def usage(
    input_tokens: int = 10, cached_tokens: int = 0, output_tokens: int = 5, reasoning_tokens: int = 0
) -> dict[str, Any]:
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens, "audio_tokens": 0},
    }


def stream(
    *pieces: str,
    calls: Sequence[Call] = (),
    fault: str | None = None,
    model: str = MODEL,
    finish_reason: str | None = None,
    input_tokens: int = 10,
    cached_tokens: int = 0,
    output_tokens: int = 5,
    reasoning_tokens: int = 0,
    **answer: Any,
) -> Answer:
    """A completion as chunks. The arguments of calls come in halves, as models write them."""
    events = [chunk({"role": "assistant", "content": ""}, model=model)]
    events += [chunk({"content": piece}, model=model) for piece in pieces]
    events += [chunk({"tool_calls": [part]}, model=model) for part in _fragments(calls)]
    counted = usage(input_tokens, cached_tokens, output_tokens, reasoning_tokens)
    match fault:
        case None:
            ended = finish_reason or ("tool_calls" if calls else "stop")
            events += [chunk({}, ended, model=model), chunk(None, usage=counted, model=model), "[DONE]"]
        case "ends":
            events.append("[DONE]")
        case "garbled":
            events.append('{"id": "chatcmpl-1", "choi')
        case "error":
            events.append(json.dumps({"error": {"message": "too much to do", "type": "overloaded_error", "code": 503}}))
    return event_stream(*events, fault=fault, **answer)


def chunk(delta: Mapping[str, Any] | None, finish_reason: str | None = None, **fields: Any) -> str:
    """The data of one event; without a delta it has no choice, as the one that brings the usage."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_750_000_000,
        "choices": [] if delta is None else [choice],
        "usage": None,
        **fields,
    }
    return json.dumps(document)


def _fragments(calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """The pieces of calls: id and name come first, once."""
    for index, (id, name, arguments) in enumerate(calls):
        raw = json.dumps(arguments)
        half = len(raw) // 2
        yield {"index": index, **call(id, name, "")}
        yield {"index": index, "function": {"arguments": raw[:half]}}
        yield {"index": index, "function": {"arguments": raw[half:]}}


def limit_headers(requests: tuple[int, int, float] | None, tokens: tuple[int, int, float] | None) -> dict[str, str]:
    """Limit, rest and seconds until it is whole again, in OpenAI's headers."""
    said = {"requests": requests, "tokens": tokens}
    return {
        f"x-ratelimit-{field}-{counted}": f"{value:g}s" if field == "reset" else str(value)
        for counted, limits in said.items()
        if limits is not None
        for field, value in zip(("limit", "remaining", "reset"), limits, strict=True)
    }


def echo(received: Received) -> Answer:
    """The last message back, a word a token, cut at `max_tokens`; as a stream if one was asked for."""
    body = received.body
    words = str(body["messages"][-1].get("content")).split()
    limit = body.get("max_tokens") or len(words)
    fields: dict[str, Any] = {
        "model": body["model"],
        "finish_reason": "length" if limit < len(words) else "stop",
        "output_tokens": min(limit, len(words)),
    }
    said = " ".join(words[:limit])
    return stream(said, **fields) if body.get("stream") else text(said, **fields)


__all__ = ["call", "calls", "chunk", "completion", "echo", "error", "limit_headers", "stream", "text", "usage"]
