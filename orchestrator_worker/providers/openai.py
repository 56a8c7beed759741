"""OpenAI's models, by the Responses API.

The one file that imports `openai`, and only when the first call is made.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.usage import Usage
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping, sequence
from orchestrator_worker.providers.base import ModelReply, ModelRequest
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.vendor import Vendor

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable with the key: the SDK's own name for it."""

URL_VARIABLE = "OPENAI_BASE_URL"
"""Environment variable with the address of a gateway or test server; ends in `/v1` as a rule."""

FIXED_TEMPERATURE = re.compile(r"(ft:)?(o\d|gpt-[5-9](?!.*-chat))")
"""Models that reason answer 400 to a temperature; their chat variants, which do not reason, take one."""


def _takes_temperature(model: str) -> bool:
    """Whether the model may be sent a temperature. Tuned models go by what they were tuned from."""
    return FIXED_TEMPERATURE.match(model) is None


def _call(request: ModelRequest) -> dict[str, Any]:
    """The request in OpenAI's words. Nothing is stored there: runs keep their own record."""
    system = list(takewhile(lambda message: message.role == "system", request.messages))
    conversation = request.messages[len(system) :]
    optional = {
        "instructions": "\n\n".join(message.text for message in system) or None,
        "max_output_tokens": request.max_tokens,
        "temperature": request.temperature if _takes_temperature(request.model) else None,
    }
    return {
        "model": request.model,
        "input": [{"role": message.role, "content": message.text} for message in conversation],
        "store": False,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _failure(error: Exception, failures: Failures, seconds: float) -> ModelFailed:
    """What `error`, of the SDK or the HTTP library below it, means for the attempt."""
    try:
        import openai
    except ImportError as missing:
        return failures.unsent(f"{missing}; install orchestrator[openai] on the workers")
    from orchestrator_worker.providers import http

    if isinstance(error, openai.APIStatusError):
        code = str(error.code or error.type or "")
        return failures.refused(error.status_code, code, _said(error), error.response.headers)
    return http.failure(error, failures, seconds, openai.APIConnectionError)


def _said(error: Any) -> str:
    """The vendor's own words in an error's body, or the body."""
    message = mapping(error.body).get("message")
    return message if isinstance(message, str) else str(error.response.text)


def _reply(body: bytes, request: ModelRequest, failures: Failures) -> ModelReply:
    """The answer in nobody's dialect.

    Raises:
        ModelFailed: the body is no answer, or one that did not end as it should.
    """
    answer = _answer(body, failures)
    finish_reason = _finish_reason(answer, failures)
    usage, raw_usage = _usage(answer.get("usage"))
    warnings = []
    if request.temperature is not None and not _takes_temperature(request.model):
        warnings.append(f"model '{request.model}' takes no temperature; the one given was left out")
    if not raw_usage:
        warnings.append(answers.uncounted(failures.provider))
    return ModelReply(
        text=_text(answer, failures),
        model=answer["model"] if isinstance(answer.get("model"), str) else request.model,
        finish_reason=finish_reason,
        usage=usage,
        raw_usage=raw_usage,
        warnings=tuple(warnings),
    )


def _answer(body: bytes, failures: Failures) -> dict[str, Json]:
    """The response object in a body; proxies, and servers that stumble, answer 200 with something else."""
    answer = answers.parsed(body, failures)
    # A failed response may lack its output; it says why all the same.
    if isinstance(answer, dict) and (isinstance(answer.get("output"), list) or answer.get("status") == "failed"):
        return answer
    raise failures.bad_response("no response object", body.decode(errors="replace"))


def _finish_reason(answer: dict[str, Json], failures: Failures) -> str:
    """`stop` or `length`; every other end is a failure."""
    match answer.get("status"), mapping(answer.get("incomplete_details")).get("reason"):
        case "completed", _:
            return "stop"
        case "incomplete", "max_output_tokens":
            return "length"
        case "incomplete", "content_filter":
            raise ModelFailed("openai's content filter stopped the reply; change the prompt", retryable=False)
        case status, _:
            raise _unfinished(str(status), answer.get("error"), failures)


def _unfinished(status: str, error: Json, failures: Failures) -> ModelFailed:
    """A response that ended without success. What is wrong with the prompt stays wrong."""
    code = str(mapping(error).get("code"))
    failed = failures.bad_response(f"status '{status}'", json.dumps(error) if error else "no explanation")
    if "policy" in code or code.startswith(("invalid_", "image_")):
        return ModelFailed(failed.message, retryable=False)
    return failed


def _text(answer: dict[str, Json], failures: Failures) -> str:
    """The answer's text, empty if it has none.

    Raises:
        ModelFailed: the model refused; asked the same again, it would again.
    """
    text = "".join(_parts(answer, "output_text", "text"))
    refusal = " ".join(_parts(answer, "refusal", "refusal"))
    if refusal and not text:
        raise ModelFailed(f"the model refused: {failures.excerpt(refusal)}", retryable=False)
    return answers.storable(text)


def _parts(answer: dict[str, Json], kind: str, field: str) -> Iterator[str]:
    """Texts of one kind in the answer's messages. Reasoning and whatever else stands in the output has none."""
    messages = (item for item in answer["output"] if isinstance(item, dict) and item.get("type") == "message")
    for message in messages:
        for part in sequence(message.get("content")):
            if isinstance(part, dict) and part.get("type") == kind and isinstance(part.get(field), str):
                yield part[field]


def _usage(raw: Json) -> tuple[Usage, dict[str, Json]]:
    """Counts in our words and the record they came from, or nothing where they are missing or absurd.

    Gateways leave the details out, or send null for them.
    """
    if not isinstance(raw, dict):
        return Usage(), {}
    read, written = mapping(raw.get("input_tokens_details")), mapping(raw.get("output_tokens_details"))
    counts = {
        "input_tokens": raw.get("input_tokens"),
        "output_tokens": raw.get("output_tokens"),
        "cached_input_tokens": read.get("cached_tokens") or 0,
        "reasoning_tokens": written.get("reasoning_tokens") or 0,
    }
    return answers.counted(counts, raw)


class OpenAI(Vendor["AsyncOpenAI"]):
    """Calls OpenAI, or a server that speaks its Responses API at `base_url` or OPENAI_BASE_URL."""

    name = "openai"
    key_variables = (KEY_VARIABLE,)
    failure = staticmethod(_failure)
    reply = staticmethod(_reply)

    async def _exchange(self, request: ModelRequest, key: str) -> bytes:
        """Send the request and read the whole body of a successful answer."""
        create = self._clients.here(key).responses.with_streaming_response.create
        async with create(**_call(request), timeout=request.timeout_seconds) as response:
            body: bytes = await response.read()
            return body

    def _connect(self, key: str) -> AsyncOpenAI:
        """A client that tries once. The first in a process takes about a second, to import the SDK."""
        import openai

        from orchestrator_worker.providers import http

        return openai.AsyncOpenAI(
            api_key=key,
            base_url=self._base_url or os.environ.get(URL_VARIABLE, "").strip() or "https://api.openai.com/v1",
            max_retries=0,
            http_client=http.pooled_client(),
        )
