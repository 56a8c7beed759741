"""An answer of Google's Gemini API in nobody's dialect, whether it came whole or was put together from a stream.

Its `candidates` are alternatives, of which one is asked for: a `content` and a `finishReason`. Where the prompt itself
was blocked there is none, and a `promptFeedback` in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator_client.contract.errors import FailureKind, ModelFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.base import ModelReply, ModelRequest
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.google.content import calls, parts, texts
from orchestrator_worker.providers.google.failure import raise_told
from orchestrator_worker.providers.headers import rate_limits
from orchestrator_worker.providers.vendor import Answer

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
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    }
)
"""Ends that the same prompt meets again. The others that are no success, such as a malformed call of a function, are
mishaps of the model or the service."""


def read(answer: Answer, request: ModelRequest, failures: Failures) -> ModelReply:
    """The answer in nobody's dialect.

    Raises:
        ModelFailed: the body is no answer, or one that did not end as it should.
    """
    document = mapping(answers.parsed(answer.body, failures))
    raise_told(document, answer.headers, failures)
    candidate = _candidate(document, answer.body, failures)
    finish_reason = _finish_reason(candidate, failures)
    content = mapping(candidate.get("content"))
    asked = calls(content)
    usage, raw_usage = _usage(document.get("usageMetadata"))
    # Neither keeps the reply from being used.
    warnings = {
        f"{failures.provider} cut the reply at its own limit for one request": (
            candidate["finishReason"] == "CONTINUATION"
        ),
        answers.uncounted(failures.provider): not raw_usage,
    }
    return ModelReply(
        text=answers.storable("".join(texts(content))),
        model=document["modelVersion"] if isinstance(document.get("modelVersion"), str) else request.model,
        # Google has no reason of its own for a reply that ends in calls; one that was cut stays so, calls or not.
        finish_reason="tools" if asked and finish_reason == "stop" else finish_reason,
        calls=asked,
        native=_native(content),
        usage=usage,
        raw_usage=raw_usage,
        warnings=tuple(warning for warning, applies in warnings.items() if applies),
        limits=rate_limits(answer.headers),
    )


def _candidate(document: dict[str, Json], body: bytes, failures: Failures) -> dict[str, Json]:
    """The one candidate that was asked for.

    Raises:
        ModelFailed: there is none; for a prompt that was blocked there never is.
    """
    candidates = sequence(document.get("candidates"))
    if candidates and isinstance(candidates[0], dict):
        return candidates[0]
    feedback = mapping(document.get("promptFeedback"))
    if feedback.get("blockReason"):
        raise _blocked("refused the prompt", str(feedback["blockReason"]), feedback.get("blockReasonMessage"), failures)
    raise failures.bad_response("no candidates", body.decode(errors="replace"))


def _finish_reason(candidate: dict[str, Json], failures: Failures) -> str:
    """`stop` or `length`; every other end is a failure.

    Raises:
        ModelFailed: a filter ended the answer, a thought came back without its signature, or there is no good reason.
    """
    reason, message = str(candidate.get("finishReason")), candidate.get("finishMessage")
    if reason in FINISH_REASONS:
        return FINISH_REASONS[reason]
    if reason in BLOCKED:
        raise _blocked("stopped the reply", reason, message, failures)
    if reason == "MISSING_THOUGHT_SIGNATURE":
        raise ModelFailed(
            f"{failures.provider} misses the signature of a thought ({reason}); give the model's messages back as they"
            " came, with their native part",
            retryable=False,
            kind=FailureKind.BAD_REQUEST,
        )
    raise failures.bad_response(f"finish reason '{reason}'", str(message or "no explanation"))


def _blocked(did: str, reason: str, message: Json, failures: Failures) -> ModelFailed:
    """The filter's verdict, which is the same for the same prompt. It explains itself now and then."""
    explained = f": {failures.excerpt(message)}" if isinstance(message, str) and message else ""
    return failures.filtered(
        f"{failures.provider}'s content filter {did} ({failures.excerpt(reason)}){explained}; change the prompt"
    )


def _native(content: dict[str, Json]) -> Json:
    """The content, if it holds more than text: calls, whose ids may be missing, and signatures of thoughts.

    It goes back as it came, because Google checks a signature against the part that it stands in.
    """
    plain = all(part.keys() <= {"text"} for part in parts(content))
    return None if plain else answers.storable_value({"role": "model", **content})


def _usage(raw: Json) -> tuple[Usage, dict[str, Json]]:
    """Counts in our words and the record they came from, or nothing where they are missing or absurd.

    Google leaves out a count that is zero, does not count thoughts as part of the candidates, nor what its own tools
    read as part of the prompt.
    """
    record = mapping(raw)
    thoughts = record.get("thoughtsTokenCount") or 0
    counts = {
        "input_tokens": answers.total(record.get("promptTokenCount"), record.get("toolUsePromptTokenCount") or 0),
        "output_tokens": answers.total(record.get("candidatesTokenCount") or 0, thoughts),
        "cached_input_tokens": record.get("cachedContentTokenCount") or 0,
        "reasoning_tokens": thoughts,
        "audio_tokens": sum(_audio(record)),
    }
    return answers.counted(counts, record)


def _audio(record: dict[str, Json]) -> Iterator[int]:
    """Tokens of sound, read and written; nonsense in these details does not spoil the sums."""
    for field in ("promptTokensDetails", "candidatesTokensDetails"):
        for detail in map(mapping, sequence(record.get(field))):
            count: Any = detail.get("tokenCount")
            if detail.get("modality") == "AUDIO" and type(count) is int and count >= 0:
                yield count
