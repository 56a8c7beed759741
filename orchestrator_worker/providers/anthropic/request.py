"""A request in the words of Anthropic's Messages API. Imports no SDK.

A message is a role and a list of blocks. There are two roles: what the system says stands apart from the conversation,
and what tools return comes from the user.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_worker.providers.answers import mapping
from orchestrator_worker.providers.anthropic.parameters import LeaveOut, max_tokens, reasoning, sampling, stop, tools
from orchestrator_worker.providers.anthropic.schema import Strict, fitted
from orchestrator_worker.providers.base import Media, Message, ModelRequest
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.vendor import Worded

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""Types of images that the API reads."""

_ALIASES = {"image/jpg": "image/jpeg"}
"""Names that people write -> those that the API knows."""

_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")
"""What no id of a call may hold here; other providers' do."""


def worded(request: ModelRequest, failures: Failures, samples: bool, strict: Strict) -> Worded:
    """The request as Anthropic words it. `samples`: the API's version knows a temperature. `strict`: the SDK's way to
    make of a schema one that the API takes.

    Raises:
        ModelFailed: a message holds what Anthropic does not take.
    """
    left_out: list[str] = []

    def leave_out(what: str) -> None:
        left_out.append(f"{failures.provider} takes no {what}; the one given was left out")

    schema = fitted(request.schema, strict)
    if schema.obstacle:
        left_out.append(f"{failures.provider} cannot be held to a schema with {schema.obstacle}; it was asked in words")
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message, failures) for message in request.messages if message.role != "system"],
        "max_tokens": max_tokens(request),
        **_system(request, schema.instruction, failures),
    }
    for fields in (*_parameters(request, samples, leave_out), schema.fields, request.options):
        _merge(body, fields)
    return Worded(body, tuple(left_out))


def _parameters(request: ModelRequest, samples: bool, leave_out: LeaveOut) -> tuple[dict[str, Any], ...]:
    """Fields of the body besides the messages. The API has no word for a seed."""
    thought = reasoning(request, leave_out)
    if request.seed is not None:
        leave_out("seed")
    return (
        tools(request, leave_out),
        thought,
        sampling(request, samples, "thinking" in thought, leave_out),
        stop(request, leave_out),
    )


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Put `more` into `into`, object into object; whatever else is in its place is replaced."""
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            # What is changed is a copy: the request that came with it may be sent again.
            into[name] = dict(into[name])
            _merge(into[name], value)
        else:
            into[name] = value


def _system(request: ModelRequest, instruction: str, failures: Failures) -> dict[str, Any]:
    """Instructions stand apart from the conversation, wherever they were in it."""
    system = [message for message in request.messages if message.role == "system"]
    for message in system:
        _refuse_media(message, failures)
    texts = [text for text in (*(message.text for message in system), instruction) if text]
    return {"system": "\n\n".join(texts)} if texts else {}


def _message(message: Message, failures: Failures) -> dict[str, Any]:
    """One message of the conversation. What tools returned comes from the user, before anything else of it."""
    if message.role != "assistant":
        blocks = [*_results(message), *(_block(part, failures) for part in message.parts if part)]
        return {"role": "user", "content": _short(blocks)}
    # A conversation may have begun with another provider, whose own wording is of no use here; what that message
    # says is in the other fields too.
    native = mapping(message.native)
    if native.get("role") == "assistant" and isinstance(native.get("content"), list):
        return native
    _refuse_media(message, failures)
    blocks = [_text(message.text)] if message.text else []
    for call in message.calls:
        blocks.append({"type": "tool_use", "id": _id(call.id), "name": call.name, "input": call.arguments})
    return {"role": "assistant", "content": _short(blocks)}


def _refuse_media(message: Message, failures: Failures) -> None:
    """Raises ModelFailed where media stand in a message that is not the user's."""
    if any(isinstance(part, Media) for part in message.parts):
        raise failures.unsent(
            f"{failures.provider} takes media from the user alone, and a message of the role {message.role} holds some;"
            " put it into a user message"
        )


def _results(message: Message) -> list[dict[str, Any]]:
    """What the tools returned, a block each; the API wants those of all calls in one message.

    A failure is told by a field of its own, so that the content is the tool's word for word.
    """
    return [
        {
            "type": "tool_result",
            "tool_use_id": _id(returned.id),
            "content": returned.content,
            **({"is_error": True} if returned.failed else {}),
        }
        for returned in message.returns
    ]


def _id(text: str) -> str:
    """The id of a call as the API takes it; the same for the call and for what it returned."""
    return _NOT_IN_AN_ID.sub("_", text)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _short(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A content that is text alone as that text: the shorter of the API's two ways to say it."""
    return blocks if any(block["type"] != "text" for block in blocks) else "".join(block["text"] for block in blocks)


def _block(part: str | Media, failures: Failures) -> dict[str, Any]:
    """A text, an image or a document.

    Raises:
        ModelFailed: it is something else, or nothing.
    """
    if isinstance(part, str):
        return _text(part)
    kind, _, charset = part.media_type.lower().replace(" ", "").partition(";")
    kind = _ALIASES.get(kind, kind)
    title = {"title": part.name} if part.name else {}
    if part.data is None and not part.url:
        raise failures.unsent(f"media of the type {kind} holds neither bytes nor a URL; give it one of them")
    if kind in IMAGES:
        return {"type": "image", "source": _source(part, kind)}
    if kind == "application/pdf":
        return {"type": "document", "source": _source(part, kind), **title}
    if kind.startswith("text/") and part.data is not None:
        text = _decoded(part.data, charset.removeprefix("charset="), failures)
        return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, **title}
    raise _unread(kind, failures)


def _source(part: Media, kind: str) -> dict[str, Any]:
    """Where an image or a PDF is: in the request, or at a URL that Anthropic fetches itself."""
    if part.data is None:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": kind, "data": base64.b64encode(part.data).decode()}


def _decoded(data: bytes, charset: str, failures: Failures) -> str:
    """The text of a document, which the API takes as text and not as bytes. Without a charset it is UTF-8.

    Raises:
        ModelFailed: it cannot be read as that.
    """
    try:
        return data.decode(charset.strip('"') or "utf-8-sig")
    except (UnicodeDecodeError, LookupError) as error:
        raise failures.unsent(f"a text document cannot be read ({error}); say its charset in the media type") from None


def _unread(kind: str, failures: Failures) -> ModelFailed:
    """What to do with media that Anthropic does not take."""
    if kind.startswith("text/"):
        remedy = "fetch the document in a step before and give its content"
    elif kind.startswith("image/"):
        remedy = "convert it to PNG, JPEG, GIF or WebP in a step before"
    else:
        remedy = "make text of it in a step before, or choose a model that takes it"
    by_url = " by URL" if kind.startswith("text/") else ""
    return failures.unsent(f"{failures.provider} takes no {kind}{by_url}; {remedy}")
