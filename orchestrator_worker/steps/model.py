"""Model steps: one call of one model, `generate` or `analyze`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, cast

from pydantic import ValidationError

from orchestrator_client.contract.catalog import MODEL_ACTIONS, AnalyzeParameters, GenerateParameters, suggestion
from orchestrator_client.contract.errors import ModelFailed, ParametersInvalid
from orchestrator_client.contract.models import bare_name, provider_of
from orchestrator_client.contract.plan import Json
from orchestrator_worker.pricing import price
from orchestrator_worker.providers.base import Message, ModelReply, ModelRequest, Provider
from orchestrator_worker.steps.base import Call, Fail, Output, Want

DEFAULT_TIMEOUT_SECONDS = 600.0
"""For a step that states none: what the SDKs give a call."""

PROVIDER_GRACE_SECONDS = 5.0
"""By which a provider's deadline lies behind the step's, so that a late step always fails as one."""

Run = Callable[[Coroutine[Any, Any, ModelReply], float], ModelReply]
"""`run(coroutine, seconds)` runs it on the worker's loop; cancels it and raises StepTimeout when the time is up."""

_FENCED = re.compile(r"```[\w-]*[ \t]*\n(.*?)```", re.DOTALL)
"""A code fence, as models wrap JSON in unasked."""

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class ModelStep:
    """Performs model steps: calls the model that the parameters name and prices what it used.

    `run` is the worker's loop; `provider` gives a provider by name, and raises ParametersInvalid for one it lacks;
    `default_model` is for steps that name none.
    """

    def __init__(self, run: Run, provider: Callable[[str], Provider], default_model: str | None = None) -> None:
        self._run = run
        self._provider = provider
        self._default_model = default_model or ""

    def perform(self, call: Call) -> Want:
        """Call the model.

        Raises:
            ParametersInvalid: a parameter does not fit, or no model or provider is known by the name.
            ModelFailed: the provider failed.
            CredentialMissing: the worker has no key for the provider.
            StepTimeout: the step's time is up.
        """
        parameters = _parameters(call)
        model = _model(parameters, call, self._default_model)
        provider = self._provider(provider_of(model, default=call.step.provider))
        seconds = DEFAULT_TIMEOUT_SECONDS if call.step.timeout_seconds is None else call.step.timeout_seconds
        request = ModelRequest(
            model=bare_name(model),
            messages=tuple(_messages(parameters)),
            max_tokens=parameters.max_tokens,
            temperature=parameters.temperature,
            timeout_seconds=seconds + PROVIDER_GRACE_SECONDS,
        )
        return _want(parameters, self._run(provider.complete(request), seconds), provider.name)


def _parameters(call: Call) -> GenerateParameters:
    """The rendered parameters as the action's record."""
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


def _model(parameters: GenerateParameters, call: Call, default: str) -> str:
    """The model as written: in the parameters, else on the step, else the worker's default."""
    model = parameters.model or call.step.model or default
    if not model.strip():
        raise ParametersInvalid(
            "the step names no model and this worker has no default: write `model` in the step's parameters, or set"
            " ORCHESTRATOR_DEFAULT_MODEL in the environment of workers"
        )
    return model


def _messages(parameters: GenerateParameters) -> Iterator[Message]:
    """System, then the conversation given, then the prompt."""
    prompt = _prompt(parameters)
    if not prompt and not parameters.messages:
        raise ParametersInvalid("the step asks the model nothing: write `prompt` or `messages` in its parameters")
    if parameters.system:
        yield Message("system", parameters.system)
    for position, message in enumerate(parameters.messages):
        yield _message(message, position)
    if prompt:
        yield Message("user", prompt)


def _message(message: dict[str, Json], position: int) -> Message:
    """One message of a conversation that the parameters give; text only."""
    role, content = message.get("role", "user"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise ParametersInvalid(f"parameter 'messages.{position}.role': write one of {', '.join(_ROLES)}")
    if not isinstance(content, str):
        raise ParametersInvalid(f"parameter 'messages.{position}.content': write text, found {type(content).__name__}")
    return Message(_ROLES[role], content)


def _prompt(parameters: GenerateParameters) -> str:
    """The last message of the user. What `analyze` composes is what existing pipelines were written for."""
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


def _want(parameters: GenerateParameters, reply: ModelReply, provider: str) -> Want:
    """The reply as the step's value, priced."""
    value = _value(parameters, reply)
    cost = price(provider, reply.model, reply.raw_usage, reply.usage)
    usage = reply.usage.model_copy(update={"cost_usd": cost})
    if not reply.text.strip():
        return Fail(_empty(reply), {**value, "success": False}, usage, reply.model)
    warnings = list(reply.warnings)
    if cost is None:
        warnings.append(f"no price is known for this call of '{reply.model}'; its cost is not counted")
    if _wants_json(parameters):
        try:
            value["result"] = parsed_json(reply.text)
        except ValueError:
            warnings.append("the step asks for JSON and the reply is none; the text was kept as it came")
    return Output(value, usage=usage, model=reply.model, warnings=tuple(warnings))


def _value(parameters: GenerateParameters, reply: ModelReply) -> dict[str, Json]:
    """The shape that templates of existing pipelines read."""
    value: dict[str, Json] = {
        "action": "generate_text",
        "result": reply.text,
        "model_used": reply.model,
        "finish_reason": reply.finish_reason,
        "success": True,
    }
    if isinstance(parameters, AnalyzeParameters):
        value |= {"action": "analyze_text", "analysis_type": parameters.analysis_type}
    return value


def _empty(reply: ModelReply) -> ModelFailed:
    """Why nothing came. Steps behind this one would work on nothing, and say so in worse words."""
    if reply.finish_reason == "length":
        # Reasoning counts as output: a small limit is used up before the first word, and would be again.
        return ModelFailed(
            f"model '{reply.model}' used up its tokens and returned an empty reply; raise max_tokens", retryable=False
        )
    return ModelFailed(f"model '{reply.model}' returned an empty reply")


def _wants_json(parameters: GenerateParameters) -> bool:
    """Whether an analysis is to be parsed: existing pipelines ask for JSON in words, and read its fields."""
    return isinstance(parameters, AnalyzeParameters) and (
        "JSON" in parameters.prompt or "json" in parameters.analysis_type.lower()
    )


def parsed_json(text: str) -> Json:
    """What a model means by JSON: the reply itself, or what stands in its first code fence.

    Raises:
        ValueError: neither is JSON.
    """
    try:
        return _strict(text)
    except ValueError:
        fenced = _FENCED.search(text)
        if fenced is None:
            raise
        return _strict(fenced[1])


def _strict(text: str) -> Json:
    """JSON without the NaN and Infinity that Python adds to it; the store keeps neither."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _refuse(constant: str) -> Json:
    raise ValueError(f"{constant} is not JSON")
