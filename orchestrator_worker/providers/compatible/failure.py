"""What servers that learned OpenAI's API say when they refuse: each has a form of its own."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.answers import mapping
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.openai import failure as openai_failure


def refused(status: int, body: Json, text: str, headers: Mapping[str, str], failures: Failures) -> ModelFailed:
    """An answer with an error's status. `body` is its JSON, if it is any, and `text` the whole of it."""
    # OpenAI puts the error under `error`; elsewhere a text stands there, another object, or all is one level higher.
    while isinstance(body, dict) and body.get("error"):
        body = body["error"]
    return openai_failure.refused(status, _code(body, status), _said(body) or text, headers, failures)


def is_error(document: Mapping[str, Json]) -> bool:
    """Whether a document, or a chunk of a stream, tells of an error instead of what was asked for."""
    return bool(document.get("error")) or document.get("object") == "error"


def told(document: Mapping[str, Json], headers: Mapping[str, str], failures: Failures) -> ModelFailed:
    """An error that came within an answer that had begun with success; gateways word it so."""
    return openai_failure.told(document.get("error") or dict(document), headers, failures)


def _said(error: Json) -> str:
    """The words of an error; empty where they are in no known place."""
    if isinstance(error, str):
        return error
    fields = mapping(error)
    # A gateway's own words may be no more than that its provider failed; that one's words are the raw ones.
    places = [fields.get(name) for name in ("message", "detail", "msg")] + [mapping(fields.get("metadata")).get("raw")]
    return " ".join(words for words in places if isinstance(words, str))


def _code(error: Json, status: int) -> str:
    """The code, or else the type. Some servers repeat the status for a code, which says nothing."""
    fields = mapping(error)
    codes = [str(fields[name]) for name in ("code", "type") if fields.get(name)]
    return next((code for code in codes if code != str(status)), "")
