"""A response object of OpenAI's Responses API, in nobody's dialect.

Its `output` is a list of items: messages, calls of tools, reasoning, and kinds that are none of ours. Nothing of it is
taken for granted but that the whole is an object, because servers that speak the API leave things out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.base import ModelReply, ModelRequest, ToolCall
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.headers import rate_limits
from orchestrator_worker.providers.openai.failure import told
from orchestrator_worker.providers.openai.schema import is_wrapped, unwrapped
from orchestrator_worker.providers.vendor import Answer


def read(answer: Answer, request: ModelRequest, failures: Failures) -> ModelReply:
    """The answer as the seam words it.

    Raises:
        ModelFailed: the body is no answer, or one that did not end as it should.
    """
    response = _response(answer.body, failures)
    is_whole = _is_whole(response, answer.headers, failures)
    calls = tuple(_calls(response))
    usage, raw_usage = _usage(response.get("usage"))
    text = _text(response, failures, is_refusable=not calls)
    if request.schema is not None and is_wrapped(request.schema):
        text = unwrapped(text)
    return ModelReply(
        text=text,
        model=response["model"] if isinstance(response.get("model"), str) else request.model,
        # Calls of a reply that was cut are there too, but the last may be half of one.
        finish_reason="length" if not is_whole else "tools" if calls else "stop",
        calls=calls,
        native=_native(response) if request.tools else None,
        usage=usage,
        raw_usage=raw_usage,
        warnings=() if raw_usage else (answers.uncounted(failures.provider),),
        limits=rate_limits(answer.headers),
    )


def _response(body: bytes, failures: Failures) -> dict[str, Json]:
    """The response object in a body; proxies, and servers that stumble, answer 200 with something else.

    Raises:
        ModelFailed: it holds none.
    """
    response = answers.parsed(body, failures)
    # A failed response may lack its output; it says why all the same.
    if isinstance(response, dict) and (isinstance(response.get("output"), list) or response.get("status") == "failed"):
        return response
    raise failures.bad_response("no response object", body.decode(errors="replace"))


def _is_whole(response: dict[str, Json], headers: Mapping[str, str], failures: Failures) -> bool:
    """Whether the model came to its end, not to that of its tokens.

    Raises:
        ModelFailed: it came to neither: it failed, was filtered, or is not done.
    """
    match response.get("status"), mapping(response.get("incomplete_details")).get("reason"):
        case "completed", _:
            return True
        case "incomplete", "max_output_tokens":
            return False
        case "incomplete", "content_filter":
            raise failures.filtered(f"{failures.provider}'s content filter stopped the reply; change the prompt")
        case "failed", _ if response.get("error"):
            raise told(response["error"], headers, failures)
        case status, _:
            said = json.dumps(response["error"]) if response.get("error") else "no explanation"
            raise failures.bad_response(f"status '{status}'", said)


def _text(response: dict[str, Json], failures: Failures, *, is_refusable: bool) -> str:
    """The response's text, empty if it has none.

    Raises:
        ModelFailed: the model refused; asked the same again, it would again.
    """
    text = "".join(_parts(response, "output_text", "text"))
    refusal = " ".join(_parts(response, "refusal", "refusal"))
    if refusal and not text and is_refusable:
        raise failures.filtered(f"the model refused: {failures.excerpt(refusal)}")
    return answers.storable(text)


def _parts(response: dict[str, Json], kind: str, field: str) -> Iterator[str]:
    """Texts of one kind in the response's messages. Reasoning and whatever else stands in the output has none."""
    for message in _output(response, "message"):
        for part in sequence(message.get("content")):
            if isinstance(part, dict) and part.get("type") == kind and isinstance(part.get(field), str):
                yield part[field]


def _calls(response: dict[str, Json]) -> Iterator[ToolCall]:
    """What the model asks for, in its order. A call that cannot be made is kept: the model is told its problem."""
    for number, item in enumerate(_output(response, "function_call")):
        arguments, problem = answers.call_arguments(item.get("arguments"))
        name = item.get("name") if isinstance(item.get("name"), str) else ""
        yield ToolCall(
            id=str(item.get("call_id") or item.get("id") or f"call_{number}"),
            name=answers.storable(str(name)),
            arguments=arguments,
            problem=problem if name else "the call names no tool",
        )


def _output(response: dict[str, Json], kind: str) -> Iterator[dict[str, Json]]:
    """The items of one kind."""
    return (item for item in sequence(response.get("output")) if isinstance(item, dict) and item.get("type") == kind)


def _native(response: dict[str, Json]) -> Json:
    """All items, to come back as they are. Reasoning that is stored nowhere can come back only with its content."""
    items = [
        item
        for item in sequence(response.get("output"))
        if isinstance(item, dict) and (item.get("type") != "reasoning" or item.get("encrypted_content"))
    ]
    return answers.storable_value(items) or None


def _usage(raw: Json) -> tuple[Usage, dict[str, Json]]:
    """Counts in our words and the record they came from, or nothing where they are missing or absurd.

    Gateways leave the details out, or send null for them.
    """
    if not isinstance(raw, dict):
        return Usage(), {}
    read, written = mapping(raw.get("input_tokens_details")), mapping(raw.get("output_tokens_details"))
    counts = {
        "input_tokens": raw.get("input_tokens"),
        "output_tokens": raw.get("output_tokens"),
        "cached_input_tokens": read.get("cached_tokens") or 0,
        "reasoning_tokens": written.get("reasoning_tokens") or 0,
        "audio_tokens": answers.total(read.get("audio_tokens") or 0, written.get("audio_tokens") or 0),
    }
    return answers.counted(counts, raw)
