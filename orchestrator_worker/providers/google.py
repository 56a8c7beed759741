"""Google's models, by the Gemini API.

The one file that imports `google.genai`, and only when the first call is made.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
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
    import httpx2
    from google import genai

KEY_VARIABLES = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
"""Environment variables with the key, in the SDK's own order."""

URL_VARIABLE = "GOOGLE_GEMINI_BASE_URL"
"""Environment variable with the address of a gateway or test server; without the version, which the SDK adds.

The version is `v1`, or what GOOGLE_GENAI_API_VERSION says; the SDK reads that one.
"""

ROLES = {"user": "user", "assistant": "model"}

FINISH_REASONS = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
"""CONTINUATION: cut at the service's own limit for one request."""

BLOCKED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "ESCALATION",
        "MODEL_ARMOR",
        "PUP_LIMITED_DISABLED",
    }
)
"""Ends that the same prompt meets again. The others that are no success are mishaps of the model or the service."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The SDK's client and the pool below it, which the SDK leaves open because it is ours."""

    client: genai.Client
    pool: httpx2.AsyncClient

    async def close(self) -> None:
        """Close both; the SDK's client has a pool for synchronous calls, which is empty."""
        self.client.close()
        await self.pool.aclose()


def _call(request: ModelRequest) -> dict[str, Any]:
    """The request in Google's words.

    Raises:
        ValueError: the temperature is no number; the SDK would send it, as something that is no JSON.
    """
    if request.temperature is not None and not math.isfinite(request.temperature):
        raise ValueError(f"temperature {request.temperature} is no number")
    system = [message.text for message in request.messages if message.role == "system"]
    conversation = [message for message in request.messages if message.role != "system"]
    return {
        "model": request.model,
        "contents": [{"role": ROLES[message.role], "parts": [{"text": message.text}]} for message in conversation],
        "config": {
            "system_instruction": "\n\n".join(system) or None,
            "max_output_tokens": request.max_tokens,
            "temperature": request.temperature,
            # The SDK's own timeout is infinite, and in milliseconds; that it makes one request is to be asked for.
            "http_options": {"timeout": math.ceil(request.timeout_seconds * 1000)},
            "automatic_function_calling": {"disable": True},
            "automatic_continuation": False,
            "should_return_http_response": True,
        },
    }


def _failure(error: Exception, failures: Failures, seconds: float) -> ModelFailed:
    """What `error`, of the SDK or the HTTP library below it, means for the attempt."""
    try:
        from google.genai import errors
    except ImportError as missing:
        return failures.unsent(f"{missing}; install orchestrator[google] on the workers")
    from orchestrator_worker.providers import http

    match error:
        case errors.APIError():
            return _refused(error, failures)
        case UnicodeDecodeError() | RecursionError():
            return failures.bad_response("an error that cannot be read", str(error))
    return http.failure(error, failures, seconds)


def _refused(error: Any, failures: Failures) -> ModelFailed:
    """A refusal in Google's words. It says in the body what others say in headers."""
    said = mapping(mapping(error.details).get("error"))
    details = [mapping(detail) for detail in sequence(said.get("details"))]
    message, status = said.get("message"), said.get("status")
    code = next(_codes(details), status if isinstance(status, str) else "")
    return failures.refused(
        error.code,
        code,
        message if isinstance(message, str) else str(error.response.text),
        {**dict(_waits(details)), **error.response.headers},
    )


def _codes(details: list[dict[str, Json]]) -> Iterator[str]:
    """What is more exact than the status: a daily quota that is used up, and the reason that an error gives."""
    for detail in details:
        for violation in map(mapping, sequence(detail.get("violations"))):
            if "PerDay" in str(violation.get("quotaId")):
                yield str(violation["quotaId"])
    for detail in details:
        if isinstance(detail.get("reason"), str):
            yield detail["reason"]


def _waits(details: list[dict[str, Json]]) -> Iterator[tuple[str, str]]:
    """The wait that a RetryInfo asks for, such as `17s`, as the header that says the same."""
    for detail in details:
        if isinstance(detail.get("retryDelay"), str):
            yield "retry-after", detail["retryDelay"].removesuffix("s")


def _reply(body: bytes, request: ModelRequest, failures: Failures) -> ModelReply:
    """The answer in nobody's dialect.

    Raises:
        ModelFailed: the body is no answer, or one that did not end as it should.
    """
    answer = mapping(answers.parsed(body, failures))
    candidate = _candidate(answer, body, failures)
    finish_reason = _finish_reason(candidate, failures)
    usage, raw_usage = _usage(answer.get("usageMetadata"))
    warnings = {
        "google cut the reply at its own limit for one request": candidate["finishReason"] == "CONTINUATION",
        answers.uncounted(failures.provider): not raw_usage,
    }
    return ModelReply(
        text=answers.storable("".join(_texts(candidate))),
        model=answer["modelVersion"] if isinstance(answer.get("modelVersion"), str) else request.model,
        finish_reason=finish_reason,
        usage=usage,
        raw_usage=raw_usage,
        warnings=tuple(warning for warning, applies in warnings.items() if applies),
    )


def _candidate(answer: dict[str, Json], body: bytes, failures: Failures) -> dict[str, Json]:
    """The one candidate that was asked for.

    Raises:
        ModelFailed: there is none; for a prompt that was blocked there never is.
    """
    candidates = sequence(answer.get("candidates"))
    if candidates and isinstance(candidates[0], dict):
        return candidates[0]
    feedback = mapping(answer.get("promptFeedback"))
    if feedback.get("blockReason"):
        raise _blocked("refused the prompt", str(feedback["blockReason"]), feedback.get("blockReasonMessage"), failures)
    raise failures.bad_response("no candidates", body.decode(errors="replace"))


def _finish_reason(candidate: dict[str, Json], failures: Failures) -> str:
    """`stop` or `length`; every other end is a failure."""
    reason, message = str(candidate.get("finishReason")), candidate.get("finishMessage")
    if reason in FINISH_REASONS:
        return FINISH_REASONS[reason]
    if reason in BLOCKED:
        raise _blocked("stopped the reply", reason, message, failures)
    raise failures.bad_response(f"finish reason '{reason}'", str(message or "no explanation"))


def _blocked(did: str, reason: str, message: Json, failures: Failures) -> ModelFailed:
    """The filter's verdict, which is the same for the same prompt. It explains itself now and then."""
    explained = f": {failures.excerpt(message)}" if isinstance(message, str) and message else ""
    return ModelFailed(
        f"google's content filter {did} ({failures.excerpt(reason)}){explained}; change the prompt", retryable=False
    )


def _texts(candidate: dict[str, Json]) -> Iterator[str]:
    """What the candidate says. Its thoughts, where a server sends them, are not part of it."""
    for part in map(mapping, sequence(mapping(candidate.get("content")).get("parts"))):
        if isinstance(part.get("text"), str) and not part.get("thought"):
            yield part["text"]


def _usage(raw: Json) -> tuple[Usage, dict[str, Json]]:
    """Counts in our words and the record they came from, or nothing where they are missing or absurd.

    Google leaves out a count that is zero, and does not count thoughts as part of the candidates.
    """
    record = mapping(raw)
    thoughts = record.get("thoughtsTokenCount") or 0
    counts = {
        "input_tokens": record.get("promptTokenCount"),
        "output_tokens": answers.total(record.get("candidatesTokenCount") or 0, thoughts),
        "cached_input_tokens": record.get("cachedContentTokenCount") or 0,
        "reasoning_tokens": thoughts,
    }
    return answers.counted(counts, record)


class Google(Vendor[Connection]):
    """Calls Google, or a server that speaks its Gemini API at `base_url` or GOOGLE_GEMINI_BASE_URL."""

    name = "google"
    key_variables = KEY_VARIABLES
    failure = staticmethod(_failure)
    reply = staticmethod(_reply)

    async def _exchange(self, request: ModelRequest, key: str) -> bytes:
        """Send the request and read the whole body of a successful answer."""
        models = self._clients.here(key).client.aio.models
        response = await models.generate_content(**_call(request))
        answer = response.sdk_http_response
        return (answer.body or "").encode() if answer else b""

    def _connect(self, key: str) -> Connection:
        """A client that tries once. The first in a process takes about a second, to import the SDK."""
        from google import genai
        from google.genai import types

        from orchestrator_worker.providers import http

        pool = http.pooled_client()
        base_url = self._base_url or os.environ.get(URL_VARIABLE, "").strip()
        options = types.HttpOptions(
            base_url=base_url or "https://generativelanguage.googleapis.com", httpx_async_client=pool
        )
        # Said outright, because a variable of Google's own would turn the SDK to another API, with other credentials.
        return Connection(genai.Client(vertexai=False, api_key=key, http_options=options), pool)
