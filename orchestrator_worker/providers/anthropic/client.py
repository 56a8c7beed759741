"""Anthropic's models, by the Messages API.

The one file that imports `anthropic`, and only when it is warmed up or first called. The SDK makes the request, finds
the errors and splits streams into events; bodies are worded and read next door, field by field, because its models of
an answer would hide from us what they do not know.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from orchestrator_client.contract.errors import ModelFailed
from orchestrator_client.contract.keys import KEY_VARIABLES
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.project import ProviderKind
from orchestrator_worker.providers import answers
from orchestrator_worker.providers.answers import mapping
from orchestrator_worker.providers.anthropic.reply import LIMIT_PREFIX, error_words, read, texts
from orchestrator_worker.providers.anthropic.request import worded
from orchestrator_worker.providers.anthropic.stream import Gathering
from orchestrator_worker.providers.base import ModelRequest, OnText
from orchestrator_worker.providers.failures import Failures
from orchestrator_worker.providers.headers import rate_limits
from orchestrator_worker.providers.vendor import Answer, Vendor

if TYPE_CHECKING:
    import httpx2
    from anthropic import AsyncAnthropic

URL_VARIABLE = "ANTHROPIC_BASE_URL"
"""Environment variable with the address of a gateway or test server, without `/v1`."""

UNSAMPLED_SINCE = "2026-10-21"
"""First version of the API, and the SDK's own, that takes no temperature. Versions are dates."""


def _failure(error: Exception, failures: Failures, seconds: float) -> ModelFailed:
    """What `error`, of the SDK or the HTTP library below it, means for the attempt that had so many seconds."""
    try:
        import anthropic
    except ImportError as missing:
        return failures.unsent(f"{missing}; install orchestrator[anthropic] on the workers")
    from orchestrator_worker.providers import http

    if isinstance(error, anthropic.APIStatusError):
        # Of a body that is no JSON the SDK gives the text, in which there is neither a code nor a message.
        code, message = error_words(error.body)
        headers = error.response.headers
        limits = rate_limits(headers, LIMIT_PREFIX)
        return failures.refused(error.status_code, code, message or error.response.text, headers, limits)
    return http.failure(error, failures, seconds, anthropic.APIConnectionError)


class Anthropic(Vendor["AsyncAnthropic"]):
    """Calls Anthropic, or a server that speaks its Messages API at the section's `base_url` or ANTHROPIC_BASE_URL."""

    vendor = "anthropic"
    key_variables = KEY_VARIABLES[ProviderKind.ANTHROPIC]
    failure = staticmethod(_failure)
    reply = staticmethod(read)

    @staticmethod
    def _import_sdk() -> None:
        """Import the SDK with the resource that is called, which it would load when that is first asked for."""
        import anthropic.resources.messages  # noqa: F401

        from orchestrator_worker.providers import http

        http.warm()

    async def _exchange(self, request: ModelRequest, failures: Failures, on_text: OnText | None) -> Answer:
        """Send the request and read the answer, whether it is the stream that was asked for or a whole message.

        The parameters that the SDK insists on are for the SDK alone, which looks at the model and the limit before it
        sends anything; the body holds them again, with what the SDK has no parameters for. The timeout must be
        explicit: without one, the SDK refuses to ask for more than 21,333 tokens.

        Raises:
            ModelFailed: a message cannot be sent, or the stream ended without the reason for its end.
        """
        import anthropic

        # Versions are dates, so they compare as text.
        samples = (self._section.api_version or UNSAMPLED_SINCE) < UNSAMPLED_SINCE
        call = worded(request, failures, samples, anthropic.transform_schema)
        create = self._clients.here(failures.key).messages.with_streaming_response.create
        async with create(
            model=call.body["model"],
            messages=call.body["messages"],
            max_tokens=call.body["max_tokens"],
            stream=on_text is not None,
            extra_body=call.body,
            timeout=request.timeout_seconds,
        ) as response:
            # A gateway that knows no streams answers with the whole message, though one was asked for.
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                body = await _gathered(response.http_response, failures, on_text)
            else:
                body = await response.read()
                _tell(body, failures, on_text)
            return Answer(body, response.headers, call.left_out)

    def _connect(self, key: str) -> AsyncAnthropic:
        """A client that tries once."""
        import anthropic

        from orchestrator_worker.providers import http

        version = self._section.api_version
        return anthropic.AsyncAnthropic(
            api_key=key,
            base_url=self._section.base_url or os.environ.get(URL_VARIABLE, "").strip() or "https://api.anthropic.com",
            max_retries=0,
            default_headers={**self._section.headers, **({"anthropic-version": version} if version else {})},
            # The worker traces its calls itself; the SDK's own spans would count each a second time.
            open_telemetry=False,
            http_client=http.pooled_client(),
        )


def _tell(body: bytes, failures: Failures, on_text: OnText | None) -> None:
    """Hand on the text of a message that came whole although a stream was asked for."""
    text = "".join(texts(answers.parsed(body, failures))) if on_text else ""
    if on_text and text:
        on_text(answers.storable(text))


async def _gathered(response: httpx2.Response, failures: Failures, on_text: OnText | None) -> bytes:
    """The body that the events of a stream amount to: a message, or the error that ended it.

    Raises:
        ModelFailed: the stream ended before its end, or holds something other than events.
    """
    from orchestrator_worker.providers import http

    gathering, said = Gathering(), ""
    # A generator that is left to the garbage collector holds its connection until then.
    async with contextlib.aclosing(_events(response, failures)) as events:
        async for event in events:
            text = gathering.add(event)
            if on_text and text:
                on_text(answers.storable(text))
            said += text
            if gathering.error:
                return gathering.body
            if gathering.stopped:
                await http.drain(events)
                break
    if not gathering.complete:
        raise failures.truncated(said)
    return gathering.body


async def _events(response: httpx2.Response, failures: Failures) -> AsyncGenerator[dict[str, Json]]:
    """What the events say, as it was sent: the SDK's types would leave out the fields that it does not know."""
    import anthropic

    try:
        async for event in anthropic.AsyncStream.raw_events(response):
            if event.data and event.event != "ping":
                said = mapping(answers.parsed(event.data.encode(errors="replace"), failures))
                yield {**said, "type": "error"} if event.event == "error" else said
    except UnicodeDecodeError as error:
        raise failures.bad_response("an event that is no text", str(error)) from None
