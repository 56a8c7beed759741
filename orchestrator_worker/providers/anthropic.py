"""Anthropic's models, by the Messages API.

The one file that imports `anthropic`, and only when the first call is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.base import ModelReply, ModelRequest
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.vendor import Vendor

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

KEY_VARIABLE = "ANTHROPIC_API_KEY"
"""Environment variable with the key: the SDK's own name for it."""

URL_VARIABLE = "ANTHROPIC_BASE_URL"
"""Environment variable with the address of a gateway or test server, without `/v1`."""

DEFAULT_MAX_TOKENS = 4096
"""Of a reply to a request that sets no limit: the API takes none without, and every model can write this much."""

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
"""Type of an error -> the HTTP status that Anthropic sends with it, for gateways that send it with 200."""


def _call(request: ModelRequest) -> dict[str, Any]:
    """The request in Anthropic's words, which know no temperature. Instructions stand apart, wherever they were."""
    system = "\n\n".join(message.text for message in request.messages if message.role == "system")
    conversation = [message for message in request.messages if message.role != "system"]
    return {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.text} for message in conversation],
        "max_tokens": DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens,
        **({"system": system} if system else {}),
    }


def _failure(error: Exception, failures: Failures, seconds: float) -> ModelFailed:
    """What `error`, of the SDK or the HTTP library below it, means for the attempt."""
    try:
        import anthropic
    except ImportError as missing:
        return failures.unsent(f"{missing}; install orchestrator[anthropic] on the workers")
    from orchestrator_worker.providers import http

    if isinstance(error, anthropic.APIStatusError):
        code, message = _said(error.body)
        return failures.refused(error.status_code, code, message or error.response.text, error.response.headers)
    return http.failure(error, failures, seconds, anthropic.APIConnectionError)


def _said(document: Any) -> tuple[str, str]:
    """Code and words of an error's body, each empty if it has none. The code under `details` is the more exact."""
    error = mapping(mapping(document).get("error"))
    code = mapping(error.get("details")).get("error_code") or error.get("type") or ""
    message = error.get("message")
    return str(code), message if isinstance(message, str) else ""


def _reply(body: bytes, request: ModelRequest, failures: Failures) -> ModelReply:
    """The answer in nobody's dialect.

    Raises:
        ModelFailed: the body is no answer, or one that did not end as it should.
    """
    answer = _answer(body, failures)
    text = "".join(_texts(answer))
    finish_reason = _finish_reason(answer, text, failures)
    usage, raw_usage = _usage(answer.get("usage"))
    return ModelReply(
        text=answers.storable(text),
        model=answer["model"] if isinstance(answer.get("model"), str) else request.model,
        finish_reason=finish_reason,
        usage=usage,
        raw_usage=raw_usage,
        warnings=tuple(_warnings(request, finish_reason, raw_usage)),
    )


def _warnings(request: ModelRequest, finish_reason: str, raw_usage: dict[str, Json]) -> Iterator[str]:
    """What the request asked for and did not get."""
    if request.temperature is not None:
        yield "anthropic takes no temperature; the one given was left out"
    if finish_reason == "length" and request.max_tokens is None:
        yield f"the reply was cut at {DEFAULT_MAX_TOKENS} tokens, the default for anthropic; set the step's max_tokens"
    if not raw_usage:
        yield answers.uncounted("anthropic")


def _answer(body: bytes, failures: Failures) -> dict[str, Json]:
    """The message in a body; proxies, and servers that stumble, answer 200 with something else."""
    answer = mapping(answers.parsed(body, failures))
    if answer.get("type") == "error":
        code, message = _said(answer)
        kind = str(mapping(answer.get("error")).get("type"))
        raise failures.refused(STATUSES.get(kind, 500), code, message, {})
    if isinstance(answer.get("content"), list):
        return answer
    raise failures.bad_response("no message", body.decode(errors="replace"))


def _finish_reason(answer: dict[str, Json], text: str, failures: Failures) -> str:
    """`stop` or `length`; every other end is a failure."""
    match answer.get("stop_reason"):
        case "end_turn" | "stop_sequence":
            return "stop"
        case "max_tokens":
            return "length"
        case "refusal":
            raise _refused(mapping(answer.get("stop_details")), text, failures)
        case "model_context_window_exceeded":
            raise ModelFailed(
                "prompt and reply together exceed the context window of anthropic's model; shorten the prompt",
                retryable=False,
            )
        case reason:
            said = failures.excerpt(str(reason))
            raise ModelFailed(f"anthropic's reply is not complete: it ended with the stop reason '{said}'")


def _refused(details: dict[str, Json], text: str, failures: Failures) -> ModelFailed:
    """The model, or what watches over it, refused: asked the same again, it would again."""
    why = str(details.get("explanation") or text or details.get("category") or "no explanation")
    return ModelFailed(
        f"anthropic's content filter stopped the reply: {failures.excerpt(why)}; change the prompt", retryable=False
    )


def _texts(answer: dict[str, Json]) -> Iterator[str]:
    """What the message says. Thinking and whatever else stands in the content is not part of it."""
    for block in map(mapping, sequence(answer.get("content"))):
        if block.get("type") == "text" and isinstance(block.get("text"), str):
            yield block["text"]


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


class Anthropic(Vendor["AsyncAnthropic"]):
    """Calls Anthropic, or a server that speaks its Messages API at `base_url` or ANTHROPIC_BASE_URL."""

    name = "anthropic"
    key_variables = (KEY_VARIABLE,)
    failure = staticmethod(_failure)
    reply = staticmethod(_reply)

    async def _exchange(self, request: ModelRequest, key: str) -> bytes:
        """Send the request and read the whole body of a successful answer.

        The timeout must be explicit: without one, the SDK refuses to ask for more than 21,333 tokens.
        """
        create = self._clients.here(key).messages.with_streaming_response.create
        async with create(**_call(request), timeout=request.timeout_seconds) as response:
            body: bytes = await response.read()
            return body

    def _connect(self, key: str) -> AsyncAnthropic:
        """A client that tries once. The first in a process takes about two seconds, to import the SDK."""
        import anthropic

        from orchestrator_worker.providers import http

        return anthropic.AsyncAnthropic(
            api_key=key,
            base_url=self._base_url or os.environ.get(URL_VARIABLE, "").strip() or "https://api.anthropic.com",
            max_retries=0,
            # The worker traces its calls itself; the SDK's own spans would count each a second time.
            open_telemetry=False,
            http_client=http.pooled_client(),
        )
