"""A chat completion in nobody's dialect.

Its `choices` are alternatives, of which the first is the reply: a `message` and a `finish_reason`. Nothing in it is
taken for granted, because every server that speaks the API leaves out, renames or adds something of its own.
"""

from __future__ import annotations

import uuid

from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.base import ModelReply, ModelRequest, ToolCall
from orchestrator_worker.providers.compatible.failure import is_error, told
from orchestrator_worker.providers.compatible.request import is_wrapped
from orchestrator_worker.providers.compatible.stream import texts
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.headers import rate_limits
from orchestrator_worker.providers.openai.schema import unwrapped
from orchestrator_worker.providers.vendor import Answer

FINISH_REASONS = {
    "stop": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
}
"""Why a server stopped -> why a reply ended. OpenAI's words, and those that other servers pass on from below them.
Whether the model asked for tools is seen by its calls: servers that forced one say `stop`."""

PLAIN_FIELDS = frozenset({"role", "content", "tool_calls", "refusal"})
"""Of a message: what `ModelReply` says, or what is of no use to the server."""

PLAIN_CALL_FIELDS = frozenset({"index", "id", "type", "function"})
"""Of a call, likewise."""


def read(answer: Answer, request: ModelRequest, failures: Failures) -> ModelReply:
    """The reply.

    Raises:
        ModelFailed: the body is no completion, tells of an error, or did not end as it should.
    """
    completion = _completion(answer, failures)
    choice = mapping(sequence(completion.get("choices"))[0])
    message = mapping(choice["message"])
    calls = tuple(_call(mapping(raw)) for raw in sequence(message.get("tool_calls")))
    finish_reason = _finish_reason(choice, calls, answer, failures)
    usage, raw_usage = _usage(completion.get("usage"))
    model = completion.get("model")
    text = _text(message, calls, failures)
    return ModelReply(
        text=unwrapped(text) if is_wrapped(request) else text,
        model=model if isinstance(model, str) and model else request.model,
        finish_reason=finish_reason,
        calls=calls,
        native=_native(message, calls),
        usage=usage,
        raw_usage=raw_usage,
        warnings=() if raw_usage else (answers.uncounted(failures.provider),),
        limits=rate_limits(answer.headers),
    )


def _completion(answer: Answer, failures: Failures) -> dict[str, Json]:
    """The completion in a body; its first choice has a message. Gateways answer 200 with something else too.

    Raises:
        ModelFailed: it is an error, or nothing that we know.
    """
    completion = answers.parsed(answer.body, failures)
    text = answer.body.decode(errors="replace")
    if isinstance(completion, dict):
        choices = sequence(completion.get("choices"))
        if choices and isinstance(mapping(choices[0]).get("message"), dict):
            return completion
        if is_error(completion):
            raise told(completion, answer.headers, failures)
    raise failures.bad_response("no chat completion", text)


def _finish_reason(choice: dict[str, Json], calls: tuple[ToolCall, ...], answer: Answer, failures: Failures) -> str:
    """`stop`, `length` or `tools`; every other end is a failure.

    Raises:
        ModelFailed: the choice tells of an error, was filtered, or has ended for a reason that nobody knows.
    """
    reason = choice.get("finish_reason")
    if choice.get("error"):
        raise told(choice, answer.headers, failures)
    if reason == "content_filter":
        raise failures.filtered(f"{failures.provider}'s content filter stopped the reply; change the prompt")
    known = FINISH_REASONS.get(reason.lower()) if isinstance(reason, str) else None
    if known is None:
        raise failures.bad_response(f"finish reason '{reason}'", texts(mapping(choice["message"]).get("content")))
    return "tools" if calls and known == "stop" else known


def _text(message: dict[str, Json], calls: tuple[ToolCall, ...], failures: Failures) -> str:
    """The text, empty if there is none.

    Raises:
        ModelFailed: the model refused; asked the same again, it would again.
    """
    text, refusal = texts(message.get("content")), message.get("refusal")
    if isinstance(refusal, str) and refusal and not text and not calls:
        raise failures.filtered(f"the model refused: {failures.excerpt(refusal)}")
    return answers.storable(text)


def _call(raw: dict[str, Json]) -> ToolCall:
    """A call; servers that name none get an id of ours, by which they know it in the next turn."""
    function = mapping(raw.get("function"))
    name, id = function.get("name"), raw.get("id")
    arguments, problem = answers.call_arguments(function.get("arguments"))
    if not (isinstance(name, str) and name):
        name, problem = "", "the call names no tool"
    return ToolCall(
        id if isinstance(id, str) and id else f"call_{uuid.uuid4().hex}", answers.storable(name), arguments, problem
    )


def _native(message: dict[str, Json], calls: tuple[ToolCall, ...]) -> Json:
    """The message, where it asks for tools and holds more than that: servers whose models reason, or sign what they
    thought, want it back with the results. None where nothing would be lost."""
    raw_calls = [mapping(raw) for raw in sequence(message.get("tool_calls"))]
    more = {name: value for name, value in message.items() if name not in PLAIN_FIELDS and value}
    signed = any(raw.keys() - PLAIN_CALL_FIELDS for raw in raw_calls)
    if not calls or not (more or signed):
        return None
    worded = [_worded(raw, call) for raw, call in zip(raw_calls, calls, strict=True)]
    native: Json = {"role": "assistant", "content": message.get("content"), **more, "tool_calls": worded}
    return answers.storable_value(native)


def _worded(raw: dict[str, Json], call: ToolCall) -> dict[str, Json]:
    """A call as it goes back, under the id that its result will name. What is not JSON the server would refuse."""
    function = {**mapping(raw.get("function")), **({"arguments": "{}"} if call.problem else {})}
    signatures = {name: value for name, value in raw.items() if name not in PLAIN_CALL_FIELDS}
    return {"id": call.id, "type": "function", "function": function, **signatures}


def _usage(raw: Json) -> tuple[Usage, dict[str, Json]]:
    """Counts in our words and the record they came from, or nothing where they are missing or absurd.

    Servers leave the details out, or send null for them. Those that count reasoning beside the completion show it by
    their total.
    """
    if not isinstance(raw, dict):
        return Usage(), {}
    read, written = mapping(raw.get("prompt_tokens_details")), mapping(raw.get("completion_tokens_details"))
    prompt, completion, total = raw.get("prompt_tokens"), raw.get("completion_tokens"), raw.get("total_tokens")
    reasoning = written.get("reasoning_tokens") or 0
    # OpenAI counts reasoning as part of the completion; the sum tells which of the two a server does.
    counted = answers.total(prompt, completion, reasoning)
    counts = {
        "input_tokens": prompt,
        "output_tokens": answers.total(completion, reasoning) if reasoning and total == counted else completion,
        # The second name is DeepSeek's, and of some who serve its models.
        "cached_input_tokens": read.get("cached_tokens") or raw.get("prompt_cache_hit_tokens") or 0,
        "reasoning_tokens": reasoning,
        "audio_tokens": answers.total(read.get("audio_tokens") or 0, written.get("audio_tokens") or 0),
    }
    return answers.counted(counts, raw)
