"""A request in the words of Google's Gemini API, as its REST reference spells them. Free of the SDK.

A message is a content of parts, and there are two roles: what the system says stands apart from the conversation, and
what tools return comes from the user.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.answers import mapping
from orchestrator_worker.providers.base import Media, Message, ModelRequest, ToolCall, ToolOffer, ToolReturn
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.google.content import nameless_calls
from orchestrator_worker.providers.vendor import Worded

ROLES = {"user": "user", "tool": "user", "assistant": "model"}
"""Our roles -> Google's."""

MEDIA = ("image/", "audio/", "video/", "text/", "application/pdf", "application/json")
"""Starts of the MIME types that some model of Google's reads; which of them a given model reads is its own affair."""

CHOICES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
"""Choice of a tool in our words -> in Google's; every other is a tool's name."""

BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Tokens that Gemini 2.5 may think, for each effort: those that Google's own OpenAI-compatible API takes for them."""

LEAST_BUDGET_OF_PRO = 128
"""Gemini 2.5 Pro cannot be kept from thinking."""


def worded(request: ModelRequest, failures: Failures) -> Worded:
    """The request as Google words it.

    Raises:
        ModelFailed: it holds something that Google has no word for, or JSON has none.
    """
    system = [message for message in request.messages if message.role == "system"]
    conversation = [message for message in request.messages if message.role != "system"]
    if not conversation:
        raise failures.unsent("it has no message but the system's; give it a prompt")
    if any(isinstance(part, Media) for message in system for part in message.parts):
        raise failures.unsent("Google takes no media in a system message; put them into the prompt")
    thinking, warning = _thinking(request)
    body = {
        "contents": _contents(conversation, failures),
        "systemInstruction": _system("\n\n".join(message.text for message in system)),
        "generationConfig": _config(request, thinking) or None,
        "tools": [{"functionDeclarations": [_offer(tool) for tool in request.tools]}] if request.tools else None,
        "toolConfig": _choice(request),
    }
    whole = _merged({name: value for name, value in body.items() if value is not None}, request.options)
    _check(whole, failures)
    return Worded(whole, (warning,) if warning else ())


def _thinking(request: ModelRequest) -> tuple[dict[str, Json], str]:
    """The effort as this model takes it, and a warning where that is not what was asked.

    Gemini 2.5 counts tokens, from 3 on there are levels; older models and other families do not think. The aliases
    that end in `-latest` stand for new models.
    """
    effort, model = request.reasoning_effort, request.model.removeprefix("models/")
    version = re.match(r"gemini-(\d+(?:\.\d+)?)", model)
    if effort is None:
        return {}, ""
    if effort not in BUDGETS or not model.startswith("gemini-") or (version and float(version[1]) < 2.5):
        return {}, f"model '{model}' takes no reasoning_effort '{effort}'; the one given was left out"
    least = f"model '{model}' cannot be kept from thinking; it thinks the least it can"
    if version and version[1] == "2.5":
        if effort == "none" and "pro" in model:
            return {"thinkingBudget": LEAST_BUDGET_OF_PRO}, least
        return {"thinkingBudget": BUDGETS[effort]}, ""
    # No model of this generation stops thinking altogether, and only the small ones go down to `minimal`.
    if effort in ("none", "minimal"):
        lowest = "minimal" if "flash" in model else "low"
        return {"thinkingLevel": lowest.upper()}, least if effort == "none" or lowest != effort else ""
    return {"thinkingLevel": effort.upper()}, ""


def _contents(conversation: list[Message], failures: Failures) -> list[Json]:
    """The messages. An id that was made up for a call goes back with neither the call nor its result."""
    contents: list[Json] = []
    nameless: frozenset[str] = frozenset()
    for message in conversation:
        native = mapping(message.native)
        if message.role == "assistant":
            nameless = nameless_calls(native)
        # What is native to another vendor, in a conversation that began there, has no parts.
        if "parts" in native:
            contents.append(native)
            continue
        parts = [_returned(result, nameless) for result in message.returns]
        parts += [_part(part, failures) for part in message.parts]
        parts += [_called(call) for call in message.calls]
        contents.append({"role": ROLES[message.role], "parts": parts})
    return contents


def _part(part: str | Media, failures: Failures) -> Json:
    """Text, or media by their bytes or URL.

    Raises:
        ModelFailed: Google does not take such media.
    """
    if isinstance(part, str):
        return {"text": part}
    if not part.media_type.startswith(MEDIA):
        raise failures.unsent(
            f"Google takes no media of type '{part.media_type}'; give it images, audio, video, PDF or text"
        )
    if part.data is not None:
        return {"inlineData": {"mimeType": part.media_type, "data": base64.b64encode(part.data).decode()}}
    if part.url:
        return {"fileData": {"mimeType": part.media_type, "fileUri": part.url}}
    raise failures.unsent(f"media of type '{part.media_type}' have neither bytes nor a URL; give them one")


def _called(call: ToolCall) -> Json:
    """A call in a message that was not Google's, or has lost its native part."""
    return {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}


def _returned(result: ToolReturn, nameless: frozenset[str]) -> Json:
    """What a tool gave back: under `output`, or under `error` if it failed, by which Google tells them apart."""
    said: dict[str, Json] = {"name": result.name, "response": {"error" if result.failed else "output": result.content}}
    return {"functionResponse": said if result.id in nameless else {"id": result.id, **said}}


def _system(text: str) -> Json:
    """What the system says; nothing where it says nothing, since Google takes no empty text."""
    return {"parts": [{"text": text}]} if text else None


def _config(request: ModelRequest, thinking: dict[str, Json]) -> dict[str, Json]:
    """Parameters of the generation that were asked for."""
    config: dict[str, Json] = {
        "maxOutputTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "thinkingConfig": thinking or None,
        "responseMimeType": None if request.schema is None else "application/json",
        "responseJsonSchema": _schema(request.schema),
    }
    return {name: value for name, value in config.items() if value is not None}


def _offer(tool: ToolOffer) -> Json:
    """A tool, its parameters in true JSON Schema; the field without `JsonSchema` takes a dialect of OpenAPI's."""
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": _schema(tool.parameters)}


def _schema(schema: Json) -> Json:
    """The schema, with nothing beside a `$ref`: Google refuses what generators like to put there, such as a
    description or a default. What it does not enforce the caller checks."""
    if isinstance(schema, list):
        return [_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    refers = isinstance(schema.get("$ref"), str)
    return {name: _schema(value) for name, value in schema.items() if not refers or name.startswith("$")}


def _choice(request: ModelRequest) -> Json:
    """Which of the tools to call; nothing where that is left to the model, which is what Google does unasked."""
    if not request.tools or request.tool_choice == "auto":
        return None
    if request.tool_choice in CHOICES:
        return {"functionCallingConfig": {"mode": CHOICES[request.tool_choice]}}
    return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [request.tool_choice]}}


def _merged(ours: dict[str, Any], theirs: dict[str, Json]) -> dict[str, Any]:
    """`theirs` over `ours`, object by object. Google and its SDK spell names in two ways, and either finds ours."""
    spelled = {name.replace("_", "").lower(): name for name in ours}
    merged = dict(ours)
    for name, value in theirs.items():
        # Lists are replaced: who names tools of Google's own in options names all that there are to be.
        known = spelled.get(name.replace("_", "").lower(), name)
        both = isinstance(value, dict) and isinstance(merged.get(known), dict)
        merged[known] = _merged(merged[known], value) if both and isinstance(value, dict) else value
    return merged


def _check(whole: dict[str, Any], failures: Failures) -> None:
    """Refuse what JSON cannot say: the SDK would send it, as something that is no JSON. The messages are spared, which
    are texts, and may be large."""
    try:
        json.dumps({name: value for name, value in whole.items() if name != "contents"}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise failures.unsent(f"a parameter, schema or option is no JSON ({error}); correct it") from None
