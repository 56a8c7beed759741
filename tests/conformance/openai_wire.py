"""OpenAI's Responses API as its documentation has it on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.conformance.scripted_server import Answer, Received, event_stream

Call = tuple[str, str, dict[str, Any]]
"""Id, name and arguments."""

MODEL = "gpt-4o-mini-2024-07-18"


def echo(received: Received) -> Answer:
    """The last message back, a word a token, cut at `max_output_tokens`; as a stream where one is asked for."""
    body = received.body
    said = [_said(item) for item in body["input"]]
    words = said[-1].split()
    limit = body.get("max_output_tokens") or len(words)
    kept = words[:limit]
    fields = {
        "model": body["model"],
        "finish_reason": "length" if limit < len(words) else "stop",
        "input_tokens": len(" ".join(said).split()),
        "output_tokens": len(kept),
    }
    if body.get("stream"):
        return stream(*(word if number == 0 else f" {word}" for number, word in enumerate(kept)), **fields)
    return text(" ".join(kept), **fields)


def _said(item: Mapping[str, Any]) -> str:
    """The text of an item of the input."""
    content = item.get("content") or item.get("output") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def text(content: str, **fields: Any) -> Answer:
    """A response with one message. `finish_reason`: stop, length or content_filter."""
    document, answer = _document([_message([_output_text(content)])], **fields)
    return Answer(body=json.dumps(document).encode(), **answer)


def calls(*wanted: Call, text: str = "", **fields: Any) -> Answer:
    """A response that asks for tools, with the reasoning that led to it."""
    document, answer = _document(_output(text, wanted), **fields)
    return Answer(body=json.dumps(document).encode(), **answer)


def stream(*pieces: str, calls: Sequence[Call] = (), fault: str | None = None, **fields: Any) -> Answer:
    """The events of a response, each under its name. Faults are those of `Adapter.stream`."""
    document, answer = _document(_output("".join(pieces), calls), **fields)
    events = [*_opening(document), *_spoken(pieces), *_asked(calls)]
    if fault is None:
        events.append({"type": f"response.{document['status']}", "response": document})
    if fault == "error":
        events.append({"type": "error", "code": "server_is_overloaded", "message": "We are overloaded.", "param": None})
    sent = [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
        for number, event in enumerate(events)
    ]
    garbage = [b'event: response.completed\ndata: {"type": "respon\n\n'] if fault == "garbled" else []
    return event_stream(*sent, *garbage, fault=fault, **answer)


def _opening(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**document, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}


def _spoken(pieces: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A message, piece by piece."""
    if not pieces:
        return
    place = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
    whole = _output_text("".join(pieces))
    yield {"type": "response.output_item.added", "output_index": 1, "item": {**_message([]), "status": "in_progress"}}
    yield {"type": "response.content_part.added", **place, "part": _output_text("")}
    for piece in pieces:
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": whole["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": whole}
    yield {"type": "response.output_item.done", "output_index": 1, "item": _message([whole])}


def _asked(wanted: Sequence[Call]) -> Iterator[dict[str, Any]]:
    """Calls of tools, the arguments in two pieces."""
    for number, call in enumerate(wanted, start=2):
        item = _function_call(call)
        place, half = {"item_id": item["id"], "output_index": number}, len(item["arguments"]) // 2
        begun = {**item, "arguments": "", "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": number, "item": begun}
        for piece in (item["arguments"][:half], item["arguments"][half:]):
            yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
        yield {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]}
        yield {"type": "response.output_item.done", "output_index": number, "item": item}


def response(
    parts: list[dict[str, Any]],
    *,
    model: str = MODEL,
    finish_reason: str = "stop",
    usage: dict[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    **answer: Any,
) -> Answer:
    """A response object with one message of these parts; `fields` replaces fields of it."""
    output = [{"id": "rs_1", "type": "reasoning", "summary": []}, _message(parts)]
    document = _response(output, model, finish_reason, usage) | dict(fields or {})
    return Answer(body=json.dumps(document).encode(), **answer)


def _document(
    output: list[dict[str, Any]],
    *,
    model: str = MODEL,
    finish_reason: str = "stop",
    input_tokens: int = 10,
    cached_tokens: int = 0,
    output_tokens: int = 5,
    reasoning_tokens: int = 0,
    **answer: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A response object, and the fields that are the answer's."""
    usage = {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": cached_tokens, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "total_tokens": input_tokens + output_tokens,
    }
    return _response(output, model, finish_reason, usage), answer


def _response(output: list[dict[str, Any]], model: str, finish_reason: str, usage: Any) -> dict[str, Any]:
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish_reason)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_750_000_000,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": model,
        "output": output,
        "usage": usage,
    }


def _output(said: str, wanted: Sequence[Call]) -> list[dict[str, Any]]:
    """Reasoning, then what the model says, then what it asks for."""
    reasoning = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA-sealed"}
    message = [_message([_output_text(said)])] if said else []
    return [reasoning, *message, *map(_function_call, wanted)]


def _message(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": parts}


def _output_text(content: str) -> dict[str, Any]:
    return {"type": "output_text", "text": content, "annotations": [], "logprobs": []}


def _function_call(call: Call) -> dict[str, Any]:
    id, name, arguments = call
    return {
        "id": f"fc_{id}",
        "type": "function_call",
        "status": "completed",
        "call_id": id,
        "name": name,
        "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
    }


def error(
    status: int,
    message: str = "the server says no",
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    **answer: Any,
) -> Answer:
    """An error with OpenAI's body."""
    document = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Answer(status=status, body=json.dumps(document).encode(), **answer)
