"""From the parameters of a model step to the one request model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

from pydantic import ValidationError

from orchestrator_client.contract.catalog import MODEL_ACTIONS, suggestion
from orchestrator_client.contract.catalog.models import AnalyzeParameters, GenerateParameters, PictureParameters
from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_worker.providers.base import Media, Message
from orchestrator_worker.steps import picture
from orchestrator_worker.steps.base import Call
from orchestrator_worker.steps.media import media_of
from orchestrator_worker.tools.base import ToolContext

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def parameters_of(call: Call) -> GenerateParameters:
    """The rendered parameters as the action's record.

    Raises:
        ParametersInvalid: there is no such action, or a parameter does not fit.
    """
    record = MODEL_ACTIONS.get(call.step.uses)
    if record is None:
        near = suggestion(call.step.uses, MODEL_ACTIONS)
        raise ParametersInvalid(
            f"no model action '{call.step.uses}'; {near or 'there are: ' + ', '.join(MODEL_ACTIONS)}"
        )
    try:
        return cast(GenerateParameters, record.model_validate(call.parameters))
    except ValidationError as error:
        raise ParametersInvalid("; ".join(_misfits(error))) from None


def _misfits(error: ValidationError) -> Iterator[str]:
    """One clause a parameter that does not fit, with the beginning of what was found."""
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"])
        found = json.dumps(problem["input"], default=repr, ensure_ascii=False)
        yield f"parameter '{place}': {problem['msg'].lower()}, found {found[:80]}"


def messages_of(parameters: GenerateParameters, context: ToolContext) -> Iterator[Message]:
    """System, then the conversation given, then the prompt with what is shown beside it.

    Raises:
        ParametersInvalid: the step asks nothing, or a message is none.
    """
    prompt = _prompt(parameters)
    shown = [
        *(media_of(image, context, "image/png") for image in parameters.images),
        *(media_of(file, context, "application/octet-stream") for file in parameters.files),
    ]
    if not prompt and not shown and not parameters.messages:
        raise ParametersInvalid("the step asks the model nothing: write `prompt` or `messages` in its parameters")
    if parameters.system:
        yield Message.of("system", parameters.system)
    for position, message in enumerate(parameters.messages):
        yield _message(message, position, context)
    if prompt or shown:
        yield Message("user", (*shown, *([prompt] if prompt else [])))


def _message(message: dict[str, Json], position: int, context: ToolContext) -> Message:
    """One message of a conversation that the parameters give, in the form that OpenAI's chat takes."""
    role, content = message.get("role", "user"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise ParametersInvalid(f"parameter 'messages.{position}.role': write one of {', '.join(_ROLES)}")
    if isinstance(content, str):
        return Message.of(_ROLES[role], content)
    if not isinstance(content, list):
        found = type(content).__name__
        raise ParametersInvalid(f"parameter 'messages.{position}.content': write text or parts, found {found}")
    return Message(_ROLES[role], tuple(_part(part, f"messages.{position}.content", context) for part in content))


def _part(part: Json, place: str, context: ToolContext) -> str | Media:
    """One part of a message: text, image_url, input_audio or file."""
    match part:
        case str() | {"type": "text" | "input_text", "text": str()}:
            return part if isinstance(part, str) else str(part["text"])
        case {"type": "image_url", "image_url": {"url": str() as url}} | {"image_url": str() as url}:
            return media_of(url, context, "image/png")
        case {"type": "input_audio", "input_audio": {"data": str() as data}}:
            kind = part["input_audio"].get("format", "wav")
            return media_of({"data": data, "media_type": f"audio/{kind}"}, context, "audio/wav")
        case {"type": "file", "file": {"file_data": str() as data}}:
            return media_of(data, context, "application/pdf")
        case {"type": "image" | "file" | "audio", **rest}:
            return media_of(dict(rest), context, "application/octet-stream")
    raise ParametersInvalid(f"parameter '{place}': a part must be text, image_url, input_audio or file")


def _prompt(parameters: GenerateParameters) -> str:
    """The last message of the user. What `analyze` composes is what existing pipelines were written for."""
    if isinstance(parameters, PictureParameters):
        return picture.prompt_of(parameters)
    if not isinstance(parameters, AnalyzeParameters):
        return parameters.prompt
    text = parameters.text
    if not isinstance(text, str):
        text = json.dumps(text, ensure_ascii=False)
    if not text:
        return parameters.prompt
    if not parameters.prompt:
        return f"Analyze the following text for {parameters.analysis_type}:\n\n{text}"
    return f"{parameters.prompt}\n\nData:\n{text}"
