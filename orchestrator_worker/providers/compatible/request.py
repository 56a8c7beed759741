"""A request in the words of OpenAI's Chat Completions API, the dialect that other servers learned.

Of two ways to say a thing the older or plainer is taken: it is the one that more servers know.
"""

from __future__ import annotations

import base64
import html
import json
import mimetypes
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.base import Media, Message, ModelRequest, ToolCall, ToolOffer
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.openai import schema as openai_schema
from orchestrator_worker.providers.openai.request import SCHEMA_NAME, is_instruction, merged
from orchestrator_worker.providers.vendor import Worded

AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
"""MIME type -> what the API calls it. OpenAI has these two; another goes by its subtype, for servers that have more."""


def worded(request: ModelRequest, failures: Failures, *, is_streamed: bool) -> Worded:
    """The request as this API words it, without the word that asks for a stream.

    It has a word for each parameter, and whether the server takes it is for the server to say: nothing is left out.

    `max_tokens` is the name that all servers know; OpenAI itself has a newer one.

    Raises:
        ModelFailed: a message holds what the API has no word for.
    """
    optional = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop) or None,
        "seed": request.seed,
        "reasoning_effort": request.reasoning_effort,
        "response_format": None if request.schema is None else _response_format(request.schema),
        "tools": [_offer(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request),
        "stream_options": {"include_usage": True} if is_streamed else None,
    }
    body = {
        "model": request.model,
        "messages": list(_messages(request.messages, failures)),
        **{name: value for name, value in optional.items() if value is not None},
    }
    return Worded(merged(body, request.options))


def is_wrapped(request: ModelRequest) -> bool:
    """Whether the reply comes within an object, because many servers take only an object's schema.

    What is asked for so is unwrapped where the reply is read, and is told whole where it is streamed.
    """
    return request.schema is not None and openai_schema.is_wrapped(request.schema)


def _response_format(schema: Json) -> dict[str, Any]:
    """`strict` where OpenAI would take it: gateways pass it on, and others bind the model to the schema without it."""
    sent = openai_schema.asked(schema)
    strict = {"strict": True} if openai_schema.is_strict(sent) else {}
    return {"type": "json_schema", "json_schema": {"name": SCHEMA_NAME, "schema": sent, **strict}}


def _offer(tool: ToolOffer) -> dict[str, Any]:
    """Without `strict`, which this API takes for no where it is not said, and some servers do not know."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _tool_choice(request: ModelRequest) -> str | dict[str, Any] | None:
    """None where it is the API's own, or there is nothing to choose from: servers refuse that."""
    if not request.tools or request.tool_choice == "auto":
        return None
    if request.tool_choice in ("none", "required"):
        return request.tool_choice
    return {"type": "function", "function": {"name": request.tool_choice}}


def _messages(messages: tuple[Message, ...], failures: Failures) -> Iterator[dict[str, Any]]:
    """The conversation. Its first system messages become one, because templates of many models take no second."""
    system = list(takewhile(is_instruction, messages))
    if system:
        yield {"role": "system", "content": "\n\n".join(message.text for message in system)}
    for message in messages[len(system) :]:
        yield from _message(message, failures)


def _message(message: Message, failures: Failures) -> Iterator[dict[str, Any]]:
    """One message; of the role `tool`, one for each return."""
    if message.role == "assistant":
        yield _assistant(message, failures)
    elif message.role == "tool":
        for given in message.returns:
            # The API has no word for a failure, so the content says it.
            content = f"Error: {given.content}" if given.failed else given.content
            yield {"role": "tool", "tool_call_id": given.id, "content": content}
    elif any(isinstance(part, Media) for part in message.parts):
        yield {"role": message.role, "content": [_part(part, failures) for part in message.parts]}
    else:
        # Not a list of one: some servers take nothing but a string.
        yield {"role": message.role, "content": message.text}


def _assistant(message: Message, failures: Failures) -> dict[str, Any]:
    """As the server worded it, where that was kept. A conversation may have begun with another provider."""
    if isinstance(message.native, dict) and "tool_calls" in message.native:
        return message.native
    for part in message.parts:
        if isinstance(part, Media):
            raise failures.unsent(
                f"an assistant message holds {part.media_type}, and this API takes text alone there; move it to a user"
                " message"
            )
    if not message.calls:
        return {"role": "assistant", "content": message.text}
    return {"role": "assistant", "content": message.text or None, "tool_calls": [_call(call) for call in message.calls]}


def _call(call: ToolCall) -> dict[str, Any]:
    """Arguments that could not be read go back as none: servers parse them, and refuse what is not JSON."""
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": call.id, "type": "function", "function": function}


def _part(part: str | Media, failures: Failures) -> dict[str, Any]:
    """A part of a message that holds more than text.

    Raises:
        ModelFailed: the API has no word for it.
    """
    if isinstance(part, str):
        return {"type": "text", "text": part}
    match part.media_type.partition("/")[0]:
        case "image":
            return {"type": "image_url", "image_url": {"url": part.url or _data_url(part, failures)}}
        case "audio":
            sound = base64.b64encode(_bytes(part, failures)).decode()
            media_type = _plain_type(part)
            known = AUDIO_FORMATS.get(media_type, media_type.partition("/")[2])
            return {"type": "input_audio", "input_audio": {"data": sound, "format": known}}
        case "text":
            return {"type": "text", "text": _document(part, failures)}
        case "application":
            return {"type": "file", "file": {"filename": _name(part), "file_data": _data_url(part, failures)}}
    raise failures.unsent(
        f"a message holds {part.media_type}, and this API takes images, sound and documents; leave it out"
    )


def _document(part: Media, failures: Failures) -> str:
    """A text in a frame: it is text to every server, where few take files.

    Raises:
        ModelFailed: it is not UTF-8, or not here.
    """
    try:
        text = _bytes(part, failures).decode()
    except UnicodeDecodeError:
        raise failures.unsent(f"{_name(part)} is no UTF-8; convert it in a step before") from None
    return f'<document name="{html.escape(_name(part))}">\n{text}\n</document>'


def _name(part: Media) -> str:
    """Its file name, made up from its type where it has none; servers tell the format by its end."""
    return part.name or f"document{mimetypes.guess_extension(_plain_type(part)) or ''}"


def _plain_type(part: Media) -> str:
    """The MIME type without its parameters."""
    return part.media_type.partition(";")[0].strip().lower()


def _data_url(part: Media, failures: Failures) -> str:
    """A URL that holds the bytes."""
    return f"data:{part.media_type};base64,{base64.b64encode(_bytes(part, failures)).decode()}"


def _bytes(part: Media, failures: Failures) -> bytes:
    """Its bytes, where the API takes no address.

    Raises:
        ModelFailed: they are not here.
    """
    if part.data is None and part.url is None:
        raise failures.unsent(f"{part.name or part.media_type} has neither bytes nor a URL; give it one")
    if part.data is None:
        raise failures.unsent(
            f"{part.media_type} is given by its URL, and this API takes its bytes alone; fetch it in a step before"
        )
    return part.data
