"""A request in the words of OpenAI's Responses API, and what is left out of it because the API has no word for it.

A conversation is a list of items there: a message is one, and so is each call of a tool and each return. What a model
takes is not told by the API, so it is read off the model's name; a name that says nothing is sent everything.
"""

from __future__ import annotations

import base64
import json
import mimetypes
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.base import Media, Message, ModelRequest, ToolOffer
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.openai.schema import asked, is_strict
from orchestrator_worker.providers.vendor import Worded

REASONING = re.compile(r"(?:.*/)?(?:ft:)?(?:o\d|gpt-[5-9](?!.*-chat))")
"""Models that reason, tuned ones by what they were tuned from: they answer 400 to a temperature while they do."""

PLAIN = re.compile(r"(?:.*/)?(?:ft:)?(?:gpt-[34]|chatgpt-|gpt-[5-9].*-chat)")
"""Models that do not reason: they answer 400 to an effort. What is in neither pattern may take both."""

SCHEMA_NAME = "reply"
"""The API wants a name for the schema of a reply; models see it."""

NATIVE_TYPES = ("message", "reasoning", "function_call")
"""Of items in a response's output; one of them is in every message that a model of this API has given."""


def worded(request: ModelRequest, failures: Failures) -> Worded:
    """The request as this API words it. Nothing is stored at OpenAI: runs keep their own record.

    Raises:
        ModelFailed: a message holds what the API has no word for.
    """
    # Only those at the beginning: a later one is told where it stands, as an item like the others.
    system = list(takewhile(is_instruction, request.messages))
    sampled, reasons = _is_sampled(request), _may_reason(request.model)
    effort = request.reasoning_effort if reasons else None
    optional = {
        "instructions": "\n\n".join(message.text for message in system) or None,
        "max_output_tokens": request.max_tokens,
        "temperature": request.temperature if sampled else None,
        "top_p": request.top_p if sampled else None,
        "reasoning": {"effort": effort} if effort else None,
        "text": None if request.schema is None else {"format": _format(request.schema)},
        "tools": [_offer(tool) for tool in request.tools] or None,
        "tool_choice": _choice(request),
        # What is not stored there must come back whole, or the model forgets between two calls of tools what it
        # thought. Models that do not reason refuse to be asked.
        "include": ["reasoning.encrypted_content"] if request.tools and REASONING.match(request.model) else None,
    }
    conversation = request.messages[len(system) :]
    body = {
        "model": request.model,
        "input": [item for message in conversation for item in _items(message, failures)],
        "store": False,
        **{name: value for name, value in optional.items() if value is not None},
    }
    return Worded(merged(body, request.options), tuple(_left_out(request, failures.provider)))


def _left_out(request: ModelRequest, provider: str) -> Iterator[str]:
    """A line for each parameter that the API or the model does not take."""
    model = f"model '{request.model}'"
    given = {
        "temperature": (model, request.temperature is not None and not _is_sampled(request)),
        "top_p": (model, request.top_p is not None and not _is_sampled(request)),
        "stop": (provider, bool(request.stop)),
        "seed": (provider, request.seed is not None),
        "reasoning_effort": (model, request.reasoning_effort is not None and not _may_reason(request.model)),
    }
    for name, (who, is_left_out) in given.items():
        if is_left_out:
            yield f"{who} takes no {name}; the one given was left out"


def merged(body: dict[str, Any], options: dict[str, Json]) -> dict[str, Any]:
    """`options` over the body; an object in an object's place is merged with it, anything else replaces."""
    over = {
        name: merged(body[name], value) if isinstance(value, dict) and isinstance(body.get(name), dict) else value
        for name, value in options.items()
    }
    return {**body, **over}


def _is_sampled(request: ModelRequest) -> bool:
    """Whether a temperature may be sent: a model that reasons takes one only where it is told not to."""
    return REASONING.match(request.model) is None or request.reasoning_effort == "none"


def _may_reason(model: str) -> bool:
    """Whether the model may be sent an effort; one that nobody knows may."""
    return PLAIN.match(model) is None


def is_instruction(message: Message) -> bool:
    """Whether it is the system's and text alone, so that it may become one text with others."""
    return message.role == "system" and all(isinstance(part, str) for part in message.parts)


def _format(schema: Json) -> dict[str, Any]:
    """Strict wherever the schema is in strict mode's subset: a schema that is not is no mistake."""
    sent = asked(schema)
    return {"type": "json_schema", "name": SCHEMA_NAME, "schema": sent, "strict": is_strict(sent)}


def _offer(tool: ToolOffer) -> dict[str, Any]:
    """`strict` is always said, because the API takes its absence for yes."""
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": is_strict(tool.parameters),
    }


def _choice(request: ModelRequest) -> str | dict[str, str] | None:
    """None where it is the API's own, or there is nothing to choose from."""
    if not request.tools or request.tool_choice == "auto":
        return None
    if request.tool_choice in ("none", "required"):
        return request.tool_choice
    return {"type": "function", "name": request.tool_choice}


def _items(message: Message, failures: Failures) -> Iterator[Any]:
    """A message as items of the input: one for its parts, one for each call and return.

    Raises:
        ModelFailed: a part has no word there.
    """
    if message.role == "assistant" and _is_native(message.native):
        yield from message.native
        return
    if message.role == "assistant" and any(isinstance(part, Media) for part in message.parts):
        raise failures.unsent(
            "OpenAI's Responses API takes text alone in a message of the assistant; move its media to the user's"
        )
    if message.parts:
        yield {"role": "user" if message.role == "tool" else message.role, "content": _content(message, failures)}
    for called in message.calls:
        arguments = json.dumps(called.arguments, ensure_ascii=False)
        yield {"type": "function_call", "call_id": called.id, "name": called.name, "arguments": arguments}
    for given in message.returns:
        # The API has no word for a failure, so the content says it.
        output = f"Error: {given.content}" if given.failed else given.content
        yield {"type": "function_call_output", "call_id": given.id, "output": output}


def _is_native(native: Json) -> bool:
    """Whether it is this API's own: a conversation may have begun with another provider."""
    return isinstance(native, list) and any(
        isinstance(item, dict) and item.get("type") in NATIVE_TYPES for item in native
    )


def _content(message: Message, failures: Failures) -> str | list[dict[str, Any]]:
    """A text if it is nothing else."""
    if not any(isinstance(part, Media) for part in message.parts):
        return message.text
    return [_part(part, failures) for part in message.parts]


def _part(part: str | Media, failures: Failures) -> dict[str, Any]:
    """A part of a message that holds more than text.

    Raises:
        ModelFailed: the API does not take it.
    """
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    if part.data is None and not part.url:
        raise failures.unsent(f"{part.name or part.media_type} has neither bytes nor a URL; give it one")
    match part.media_type.partition("/")[0]:
        case "image":
            return {"type": "input_image", "image_url": _address(part), "detail": "auto"}
        # Which documents it reads is for the API to say: the list grows.
        case "application" | "text" if part.data is None:
            return {"type": "input_file", "file_url": part.url}
        case "application" | "text":
            return {"type": "input_file", "filename": _file_name(part), "file_data": _address(part)}
        case "audio":
            raise failures.unsent(
                f"OpenAI's Responses API takes no {part.media_type}; give it to a provider of kind openai-compatible"
                ' with api = "chat", or put it into words first'
            )
    raise failures.unsent(f"OpenAI's Responses API takes no {part.media_type}; give it images or documents")


def _address(media: Media) -> str:
    """Its URL, or one that holds its bytes."""
    if media.data is None:
        return str(media.url)
    return f"data:{media.media_type};base64,{base64.b64encode(media.data).decode()}"


def _file_name(media: Media) -> str:
    """The API goes by the ending."""
    media_type = media.media_type.partition(";")[0].strip()
    return media.name or f"document{mimetypes.guess_extension(media_type) or '.txt'}"
