"""Google's errors, whether they come with an HTTP status or inside an answer that claims success.

An error has a `code`, which is the status, a `status`, which is a word, a `message`, and `details` of several types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.headers import rate_limits

STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""HTTP status of each canonical code, for errors that come inside of an answer."""


def raise_told(chunk: dict[str, Json], headers: Mapping[str, str], failures: Failures) -> None:
    """Raise the error that a chunk of a stream, or an answer that claims success, is.

    Raises:
        ModelFailed: it is one.
    """
    if isinstance(chunk.get("error"), dict):
        error = mapping(chunk["error"])
        raise refused(chunk, _status(error), json.dumps(error), headers, failures)


def refused(body: Json, status: int, text: str, headers: Mapping[str, str], failures: Failures) -> ModelFailed:
    """A refusal, of which `text` is the last resort. Google says in the body what others say in headers.

    A header is believed before the body: it is a gateway's, and nearer.
    """
    said = mapping(mapping(body).get("error"))
    details = [mapping(detail) for detail in sequence(said.get("details"))]
    message, canonical = said.get("message"), said.get("status")
    return failures.refused(
        status,
        next(_codes(details), canonical if isinstance(canonical, str) else ""),
        message if isinstance(message, str) else text,
        {**dict(_waits(details)), **headers},
        rate_limits(headers),
    )


def _status(error: dict[str, Json]) -> int:
    """The HTTP status that an error would have come with; servers spell its code as a number or a word.

    One that cannot be read is taken for the server's own fault, which may pass.
    """
    code = str(error.get("code"))
    if code.isdecimal() and 400 <= int(code[:4]) < 600:
        return int(code)
    return STATUSES.get(str(error.get("status")), STATUSES.get(code.upper(), 500))


def _codes(details: list[dict[str, Json]]) -> Iterator[str]:
    """What is more exact than the status: a daily quota that is used up, and the reason that an error gives."""
    for detail in details:
        for violation in map(mapping, sequence(detail.get("violations"))):
            if "PerDay" in str(violation.get("quotaId")):
                yield str(violation["quotaId"])
    for detail in details:
        if isinstance(detail.get("reason"), str):
            yield str(detail["reason"])


def _waits(details: list[dict[str, Json]]) -> Iterator[tuple[str, str]]:
    """The wait that a RetryInfo asks for, such as `17s`, as the header that says the same."""
    for detail in details:
        if isinstance(detail.get("retryDelay"), str):
            yield "retry-after", str(detail["retryDelay"]).removesuffix("s")
