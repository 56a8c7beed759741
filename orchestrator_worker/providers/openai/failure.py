"""What OpenAI's error objects mean, whether they come with an HTTP status or within an answer that claims success.

An error object has a `message`, a `code` and a `type`, any of which may be null. Servers that speak the same API word
theirs alike, and add codes of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType

from orchestrator_client.contract.errors import FailureKind, ModelFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.answers import mapping
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.headers import duration_seconds, rate_limits

STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "rate_limit_exceeded": 429,
        "rate_limit_error": 429,
        "tokens": 429,
        "requests": 429,
        "insufficient_quota": 429,
        "server_is_overloaded": 503,
        "overloaded": 503,
        "overloaded_error": 529,
        "engine_overloaded": 503,
        "slow_down": 503,
        "invalid_api_key": 401,
        "authentication_error": 401,
        "permission_error": 403,
        "model_not_found": 404,
    }
)
"""Code or type -> the status that it has where it comes with one, so that both are judged alike."""

OVERLOADED = frozenset(code for code, status in STATUSES.items() if status in (503, 529))
"""Codes that tell of an overload whatever the status."""

_MISTAKES = re.compile(r"invalid_|image_|empty_image|unsupported_|context_length|failed_to_download|.*_mismatch")
"""Codes that name a fault of the request, within an answer that has no status to say so."""

_ERROR_STATUS = re.compile(r"[45][0-9]{2}")
"""Every status that an error may have, as text."""

_WAIT = re.compile(r"try again in ([0-9][0-9.a-zµ]*)", re.IGNORECASE)
"""Where the wait is told in words alone: `Please try again in 1.898s.`"""


def refused(status: int, code: str, text: str, headers: Mapping[str, str], failures: Failures) -> ModelFailed:
    """An error with its status. `code` is OpenAI's, or empty.

    Codes say more than statuses: a filter's refusal is 400 like a typing mistake's, and an overload may be 429.
    """
    if "policy" in code or (code == "invalid_prompt" and "policy" in text):
        return failures.filtered(
            f"{failures.provider}'s content filter refused the prompt ({status} {code}): {failures.excerpt(text)}"
        )
    # Within a stream there is no header left to say it.
    told_wait = _WAIT.search(text)
    if told_wait and not headers.keys() & {"retry-after", "retry-after-ms"}:
        seconds = duration_seconds(told_wait[1].rstrip("."))
        headers = headers if seconds is None else {**headers, "retry-after": str(seconds)}
    failed = failures.refused(status, code, text, headers, rate_limits(headers))
    if code in OVERLOADED and failed.kind is not FailureKind.OVERLOAD:
        return ModelFailed(failed.message, True, failed.retry_after_seconds, FailureKind.OVERLOAD, failed.limits)
    return failed


def told(error: Json, headers: Mapping[str, str], failures: Failures) -> ModelFailed:
    """An error within an answer, or a stream, that began with success.

    The message shows the status that the same error has where it comes alone, because that is what people know it by.
    """
    fields = mapping(error)
    given, kind = fields.get("code"), str(fields.get("type") or "")
    if kind == "error":
        kind = ""  # the type of an event that is an error itself
    # Gateways tell the status for a code, as a number or its digits.
    status = int(str(given)) if _ERROR_STATUS.fullmatch(str(given)) else None
    code = kind if status else str(given or kind)
    message = fields.get("message")
    text = message if isinstance(message, str) and message else json.dumps(error, ensure_ascii=False)
    return refused(status or _status(code, kind), code, text, headers, failures)


def _status(code: str, kind: str) -> int:
    """What the error would have come with. One that nobody knows is the server's: asked again it may go better."""
    if known := STATUSES.get(code) or STATUSES.get(kind):
        return known
    return 400 if "policy" in code or _MISTAKES.match(code) or kind == "invalid_request_error" else 500
