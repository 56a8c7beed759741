"""An answer of Anthropic's Messages API, whole or as a stream, in nobody's dialect. Imports no SDK.

A message has a `content`, which is a list of blocks (text, thoughts, calls, and what tools of Anthropic's own left), a
`stop_reason`, which says why it ended, and a `usage`. A stream is put together into the same form before it gets here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator_client.contract.errors import FailureKind, ModelFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.anthropic.parameters import DEFAULT_MAX_TOKENS
from orchestrator_worker.providers.base import ModelReply, ModelRequest, ToolCall
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.headers import rate_limits
from orchestrator_worker.providers.vendor import Answer

LIMIT_PREFIX = "anthropic-ratelimit-"
"""Of the headers that tell of the account's limits."""

STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Type of an error -> the HTTP status that goes with it. In a stream, and from some gateways, it comes with 200."""


def read(answer: Answer, request: ModelRequest, failures: Failures) -> ModelReply:
    """The answer in nobody's dialect.

    Raises:
        ModelFailed: the body is no answer, or one that did not end as it should.
    """
    message = _message(answer, failures)
    blocks = [mapping(block) for block in sequence(message.get("content"))]
    text = answers.storable("".join(texts(message)))
    finish_reason = _finish_reason(message, text, failures)
    usage, raw_usage = _usage(message.get("usage"))
    return ModelReply(
        text=text if request.schema is None else _unfenced(text),
        model=message["model"] if isinstance(message.get("model"), str) else request.model,
        finish_reason=finish_reason,
        calls=tuple(_call(block, finish_reason, block is blocks[-1]) for block in blocks if _is_call(block)),
        native=_native(blocks),
        usage=usage,
        raw_usage=raw_usage,
        warnings=tuple(_warnings(request, finish_reason, raw_usage, failures)),
        limits=rate_limits(answer.headers, LIMIT_PREFIX),
    )


def error_words(document: Any) -> tuple[str, str]:
    """Code and words of an error's body, each empty if it has none. The code under `details` is the more exact."""
    error = mapping(mapping(document).get("error"))
    code = mapping(error.get("details")).get("error_code") or error.get("type") or ""
    message = error.get("message")
    return str(code), message if isinstance(message, str) else ""


def texts(message: Json) -> Iterator[str]:
    """What the message says. Thinking and whatever else stands in the content is not part of it."""
    for block in map(mapping, sequence(mapping(message).get("content"))):
        if block.get("type") == "text" and isinstance(block.get("text"), str):
            yield block["text"]


def _message(answer: Answer, failures: Failures) -> dict[str, Json]:
    """The message in a body; proxies, and servers that stumble, answer 200 with something else.

    An error that came with 200 is judged as if it had come with the status that goes with its type.

    Raises:
        ModelFailed: it is an error, of the kind that its type says, or nothing that we know.
    """
    message = mapping(answers.parsed(answer.body, failures))
    if message.get("type") == "error":
        code, said = error_words(message)
        status = STATUSES.get(str(mapping(message.get("error")).get("type")), 500)
        raise failures.refused(status, code, said, answer.headers, rate_limits(answer.headers, LIMIT_PREFIX))
    if isinstance(message.get("content"), list):
        return message
    raise failures.bad_response("no message", answer.body.decode(errors="replace"))


def _finish_reason(message: dict[str, Json], text: str, failures: Failures) -> str:
    """`stop`, `length` or `tools`; every other end is a failure.

    Raises:
        ModelFailed: the model refused, the context is full, or the message was broken off. `pause_turn` is that too:
            Anthropic's own tools had not finished.
    """
    match message.get("stop_reason"):
        case "end_turn" | "stop_sequence":
            return "stop"
        case "max_tokens":
            return "length"
        # Without a call of ours there is nothing that could be answered: such a message is broken.
        case "tool_use" if any(_is_call(mapping(block)) for block in sequence(message["content"])):
            return "tools"
        case "refusal":
            raise _refused(mapping(message.get("stop_details")), text, failures)
        case "model_context_window_exceeded":
            raise ModelFailed(
                f"prompt and reply together exceed the context window of {failures.provider}'s model; shorten the"
                " prompt",
                retryable=False,
                kind=FailureKind.CONTEXT_LENGTH,
            )
        case reason:
            said = failures.excerpt(str(reason))
            raise ModelFailed(
                f"{failures.provider}'s reply is not complete: it ended with the stop reason '{said}'",
                kind=FailureKind.TRUNCATED,
            )


def _refused(details: dict[str, Json], text: str, failures: Failures) -> ModelFailed:
    """The model, or what watches over it, refused. The explanation is not always there."""
    why = str(details.get("explanation") or text or details.get("category") or "no explanation")
    return failures.filtered(
        f"{failures.provider}'s content filter stopped the reply: {failures.excerpt(why)}; change the prompt"
    )


def _warnings(
    request: ModelRequest, finish_reason: str, raw_usage: dict[str, Json], failures: Failures
) -> Iterator[str]:
    """What of the answer the request did not foresee."""
    if finish_reason == "length" and request.max_tokens is None:
        yield (
            f"the reply was cut at {DEFAULT_MAX_TOKENS} tokens, the default for {failures.provider}; set the step's"
            " max_tokens"
        )
    if not raw_usage:
        yield answers.uncounted(failures.provider)


def _unfenced(text: str) -> str:
    """JSON without the code fence that a model puts around it where the API does not hold it to the schema.

    A text that is not a fence from end to end stays as it is: the fence may be part of what was asked for.
    """
    stripped = text.strip()
    if not (stripped.startswith("```") and stripped.endswith("```") and "\n" in stripped):
        return text
    return stripped.partition("\n")[2].removesuffix("```").strip()


def _is_call(block: dict[str, Json]) -> bool:
    """Whether the block asks for a tool of ours; Anthropic's own are of other types."""
    return block.get("type") == "tool_use"


def _call(block: dict[str, Json], finish_reason: str, is_last: bool) -> ToolCall:
    """A call, with what keeps it from being made. A reply cut at its limit may have cut the last one too, in a way
    that its arguments do not show."""
    arguments, problem = answers.call_arguments(block.get("input"))
    if finish_reason == "length" and is_last:
        problem = problem or "the call was cut off at max_tokens, so its arguments may not be whole"
    name = answers.storable(str(block.get("name") or ""))
    return ToolCall(str(block.get("id") or ""), name, arguments, answers.storable(problem))


def _native(blocks: list[dict[str, Json]]) -> Json:
    """The assistant's message to send back, None where it is text alone.

    Thoughts must come back with their signatures, or a model that called a tool while it thought is refused its next
    turn. The API takes back neither a text that is empty nor arguments that are no object.
    """
    if all(block.get("type") == "text" and not block.get("citations") for block in blocks):
        return None
    content: list[Json] = []
    for block in blocks:
        if _is_call(block):
            content.append({**block, "input": answers.call_arguments(block.get("input"))[0]})
        elif block.get("type") != "text" or block.get("text"):
            content.append(block)
    return {"role": "assistant", "content": answers.storable_value(content)}


def _usage(raw: Json) -> tuple[Usage, dict[str, Json]]:
    """Counts in our words and the record they came from, or nothing where they are missing or absurd.

    Anthropic's `input_tokens` leaves out what was read from a cache or written to one; ours is all that was read.
    """
    record = mapping(raw)
    fresh = record.get("input_tokens")
    read = record.get("cache_read_input_tokens") or 0
    written = record.get("cache_creation_input_tokens") or 0
    counts = {
        "input_tokens": answers.total(fresh, read, written),
        "output_tokens": record.get("output_tokens"),
        "cached_input_tokens": read,
        "reasoning_tokens": mapping(record.get("output_tokens_details")).get("thinking_tokens") or 0,
    }
    return answers.counted(counts, record)
